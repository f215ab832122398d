"""Where no winner is shown, but that another system is better by the margin is ruled out, the first may be used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bench.core.vocabulary import Answer
from bench.report import decision, report
from bench.scoring.schema import Costs, Criteria, Recommendation
from bench.spec.model import Volumes
from bench.verdict.noise import Noise
from bench.verdict.trades import trades
from tests.made_up import Made, asked, costs, right, scored, showing

JUDGE = {"base_url": "http://localhost:1/v1", "model": "m", "metrics": ["answer_accuracy"], "max_failed": 0.9}


def wrong_on(every: int) -> Any:
    """Wrong on one question in so many."""
    return lambda q, _: Answer("no" if int(q.id[1:]) % every == 1 else "yes")


FIRST, SECOND = wrong_on(10), wrong_on(8)  # .90 and .875, and they differ on a fifth of the questions


def always_yes(q: Any, _: int) -> Answer:
    """Always right."""
    return Answer("yes")


def dear(thousand: float, fixed: float) -> Costs:
    """What an endpoint costs, known to the cent."""
    return costs(fixed, thousand, months=1, month=100 * thousand, ends=(thousand, thousand))


def found(folder: Path, first: Made, second: Made, n: int = 400, **more: Any) -> Recommendation:
    spec = {"margin": 0.05, **more}
    return scored(folder, {"first": first, "second": second, "low": Made(right(0.3))}, asked(n), **spec).recommendation


def test_what_is_not_worse_by_the_margin_may_be_used(tmp_path: Path) -> None:
    told = found(tmp_path, Made(FIRST), Made(SECOND))
    (pair,) = (pair for pair in told.against if pair.b == "second")
    assert pair.verdict == "inconclusive" and pair.non_inferior and pair.p_worse is not None and pair.p_worse < 0.05
    assert told.outcome == "not worse" and told.choice == "first" and told.among == ("second",) and not told.trades
    assert told.sentence.startswith("Use first: exact match 0.90 (95% interval ")
    ruled_out = "That second is better by 0.05 or more is ruled out, and it is not clearly cheaper, quicker or smaller."
    assert f"{ruled_out} All others are behind. It was not compared with the base model alone." in told.sentence
    assert decision.changes(told, Volumes())[0].startswith("More data, which could still show that first or second")
    page = report(tmp_path).read_text()
    assert "Use first:" in page and "too little once it is corrected" not in page


def test_without_a_margin_or_with_few_questions_it_is_open(tmp_path: Path) -> None:
    assert found(tmp_path / "a", Made(FIRST), Made(SECOND), margin=None).outcome == "undecided"
    assert found(tmp_path / "b", Made(FIRST), Made(SECOND), n=60).outcome == "undecided"


def built(seconds: float) -> dict[str, Any]:
    """A cell that built an index."""
    return {"artefacts": [{"digest": "d", "kind": "index", "build_s": seconds, "bytes": 1, "hit": False}]}


@pytest.mark.parametrize(
    ("better", "first", "second"),
    [
        ("latency", Made(FIRST, latency_s=0.5), Made(SECOND)),
        ("build", Made(FIRST, cell=built(4000.0)), Made(SECOND, cell=built(1.0))),
        ("build", Made(FIRST, cell=built(4000.0)), Made(SECOND)),  # what needs no build
        ("update", Made(FIRST, cell={"refresh_s": 600.0}), Made(SECOND, cell={"refresh_s": 1.0})),
    ],
)
def test_what_speaks_for_the_other_leaves_it_open(tmp_path: Path, better: str, first: Made, second: Made) -> None:
    """The second is quicker, and whether it is worse at all is not known."""
    told = found(tmp_path, first, second)
    assert [(trade.what, trade.to, trade.over) for trade in told.trades] == [(better, "second", "first")]
    assert told.outcome == "undecided" and told.sentence.startswith("No clear winner between first and second")
    assert decision.meanwhile(told).startswith("Until that is known: second ")


def test_half_an_hour_to_build_and_seconds_to_update_speak_for_nothing(tmp_path: Path) -> None:
    first, second = ({**built(36 * seconds), "refresh_s": seconds} for seconds in (50.0, 1.0))
    assert found(tmp_path, Made(FIRST, cell=first), Made(SECOND, cell=second)).outcome == "not worse"


def test_a_small_sum_speaks_for_nothing(tmp_path: Path) -> None:
    """Ten times as long a question: cents a month at one price of an hour, and hundreds at another."""
    for usd, told in ((1e-6, ["latency"]), (100.0, ["cost", "latency"])):
        trades = found(
            tmp_path / str(usd), Made(FIRST, latency_s=0.5), Made(SECOND), prices={"cpu_hour_usd": usd}
        ).trades
        assert [trade.what for trade in trades] == told


def test_what_was_measured_of_one_alone_leaves_it_open(tmp_path: Path) -> None:
    for name, cell in {"mine": {"refresh_s": None}, "its": {"refresh_s": 0.1}}.items():
        other = {"its": {"refresh_s": None}}.get(name, {"refresh_s": 0.1})
        assert found(tmp_path / name, Made(FIRST, cell=cell), Made(SECOND, cell=other)).outcome == "undecided"


def test_sources_that_the_other_alone_shows_leave_it_open(tmp_path: Path) -> None:
    assert found(tmp_path / "its", Made(FIRST), Made(showing(SECOND, "yes"))).outcome == "undecided"
    assert found(tmp_path / "mine", Made(showing(FIRST, "yes")), Made(SECOND)).outcome == "not worse"


def test_a_need_that_the_other_alone_is_known_to_meet_leaves_it_open(tmp_path: Path) -> None:
    """The first answers as quickly as asked, or not; the second does."""
    needs = {"p50_latency_s": 0.0101}
    told = found(tmp_path, Made(FIRST), Made(SECOND, latency_s=0.005), needs=needs)
    assert [row.state for row in told.needs["first"]] == ["not decided"] and told.needs["second"][0].state == "met"
    assert told.outcome == "undecided"


def test_a_sum_that_is_known_exactly_speaks_below_what_repeats_differ_by(tmp_path: Path) -> None:
    """Two endpoints of one price a token: a sixth of twelve hundred dollars."""
    priced = {name: dear(usd, 0.0) for name, usd in (("first", 12.0), ("second", 10.0))}
    figures = {
        name: Criteria(cost=100 * usd, latency=None, memory=None) for name, usd in (("first", 12), ("second", 10))
    }
    system = scored(tmp_path, {"first": Made(FIRST), "second": Made(SECOND)}, asked()).measured
    noise = Noise(system, priced, Volumes(questions_per_month=100_000))
    (trade,) = trades(noise, figures, "first", "second")
    assert (trade.what, trade.to, trade.less, trade.more) == ("cost", "second", 1000.0, 1200.0)


def test_what_speaks_for_the_choice_is_said(tmp_path: Path) -> None:
    told = found(tmp_path, Made(FIRST), Made(SECOND, latency_s=0.5))
    assert told.outcome == "not worse" and [trade.what for trade in told.trades] == ["latency"]
    assert re.fullmatch(
        r"What speaks for it: first answers in [\d.]+ ms instead of 49\d ms\.", decision.meanwhile(told)
    )


def test_one_seed_is_provisional_here_too(tmp_path: Path) -> None:
    told = found(tmp_path, Made(FIRST), Made(SECOND, tuned=True))
    assert told.outcome == "provisional" and told.sentence.startswith("Provisional, one seed: first: exact match")
    assert "That second is better by 0.05 or more is ruled out" in told.sentence


LEAKED = [f"q{i}" for i in range(360)]


def test_few_unseen_questions_leave_it_open(tmp_path: Path) -> None:
    told = found(tmp_path, Made(FIRST, tuned=True, seeds=2), Made(SECOND), leaked=LEAKED)
    assert told.outcome == "undecided" and not told.contradictions


def test_what_leads_on_unseen_questions_leaves_it_open(tmp_path: Path) -> None:
    """There the second is ahead by more than the margin, on too few questions to show it."""
    first = Made(lambda q, s: Answer("no" if int(q.id[1:]) % 12 == 1 or int(q.id[1:]) in (364, 374, 384) else "yes"))
    assert found(tmp_path, first, Made(SECOND), leaked=LEAKED).outcome == "undecided"


def test_many_unseen_questions_rule_it_out_too(tmp_path: Path) -> None:
    half = [f"q{i}" for i in range(0, 700, 2)]
    systems = {"first": Made(FIRST), "second": Made(SECOND)}
    told = scored(tmp_path, systems, asked(700), margin=0.05, leaked=half).recommendation
    assert told.outcome == "not worse"


def test_failed_verdicts_do_not_make_it_no_worse(tmp_path: Path) -> None:
    """If every failed verdict on the second were a yes, it would be ahead by more than the margin."""
    by = lambda says, failed: lambda q, s: None if int(q.id[1:]) % failed == 3 else float(says(q, s).text == "yes")
    first, second = Made(FIRST, judged=by(FIRST, 10**9)), Made(SECOND, judged=by(SECOND, 6))
    told = found(tmp_path, first, second, needs={"metric": "answer_accuracy"}, judge=JUDGE)
    assert told.outcome in ("contradicted", "undecided") and not told.sentence.startswith("Use")


def test_equivalence_does_not_outlive_failed_verdicts(tmp_path: Path) -> None:
    """Two that are level where the judge read both; what it failed to read could part them by more than the margin."""

    def told(folder: Path, failed: int) -> Recommendation:
        reads = lambda q, _: float(int(q.id[1:]) % 10 < 8)
        some = lambda q, s: None if int(q.id[1:]) % 10 == failed else reads(q, s)
        systems = {"a": Made(FIRST, judged=reads), "b": Made(FIRST, judged=some)}
        needs = {"metric": "answer_accuracy"}
        return scored(folder, systems, asked(2000), margin=0.05, needs=needs, judge=JUDGE).recommendation

    assert told(tmp_path / "none", -1).outcome == "equivalent"
    assert told(tmp_path / "some", 8).outcome == "contradicted"


def test_who_is_shown_to_be_behind_where_both_were_asked_is_no_winner(tmp_path: Path) -> None:
    """The judge read the first on half of the questions, and on these the second is ahead."""
    number = lambda q: int(q.id[1:])
    first = lambda q, _: float(number(q) % 20 > 2) if number(q) < 200 else None
    second = lambda q, _: float(number(q) % 20 > 0) if number(q) < 200 else float(number(q) % 5 > 1)
    systems = {"first": Made(FIRST, judged=first), "second": Made(FIRST, judged=second)}
    needs = {"metric": "answer_accuracy"}
    told = scored(tmp_path, systems, asked(400), needs=needs, judge=JUDGE).recommendation
    assert told.choice == "first" and [pair.verdict for pair in told.against] == ["worse"]
    assert told.outcome == "undecided" and not told.sentence.startswith("Use")
    assert "on the 200 questions that both have, second is ahead of first" in told.sentence


def test_points_for_the_time_are_no_evidence_of_quality(tmp_path: Path) -> None:
    """Twelve questions, all right with both: that says little of others, however quick one of them is."""
    for seconds in (0.03, 0.1):
        systems = {"quick": Made(always_yes, latency_s=0.01), "slow": Made(always_yes, latency_s=seconds)}
        needs = {"weights": {"latency": 0.1}}
        told = scored(tmp_path / str(seconds), systems, asked(12), margin=0.05, needs=needs).recommendation
        assert told.outcome == "undecided", told.sentence
    many = scored(tmp_path / "many", systems, asked(400), margin=0.05, needs=needs).recommendation
    assert many.outcome == "winner" and many.choice == "quick"


def test_a_failed_verdict_counts_beside_what_is_weighed(tmp_path: Path) -> None:
    """One failed verdict of two thousand, and a system that is ten times as quick: equivalent as without it."""
    by = lambda wrong, failed: lambda q, _: None if q.id == failed else float(int(q.id[1:]) % 50 >= wrong)
    quick = Made(FIRST, judged=by(5, ""), latency_s=0.01)
    slow = Made(FIRST, judged=by(1, "q7"), latency_s=0.1)
    needs = {"metric": "answer_accuracy", "weights": {"latency": 0.1}}
    systems = {"quick": quick, "slow": slow}
    told = scored(tmp_path, systems, asked(2000), margin=0.05, needs=needs, judge=JUDGE).recommendation
    assert told.outcome == "equivalent"
