"""What contradicts a choice, what may speak for another, and what a team is told of one seed: on figures by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.core.vocabulary import Answer
from bench.gate.decisions import gate
from bench.gate.rules import Rule, Rules
from bench.scoring import money
from bench.scoring.grade import Column
from bench.scoring.schema import Costs, Doubt, Recommendation
from bench.spec.model import Weights
from bench.verdict.claim_terms import pair_as_text
from bench.verdict.contradictions import contradictions, remembered
from bench.verdict.decision import Decision, Weighing, seen_from
from bench.verdict.score import score
from tests.conftest import ROOT
from tests.made_up import Asked, Made, asked, costs, right, saying, scored, showing
from tests.unit.test_by_hand import QUIET, snap
from tests.unit.test_sentences import rival

N = 200
NOTHING_WEIGHED = Weighing({name: {} for name in "ab"}, Weights(), noise=SimpleNamespace())  # type: ignore[arg-type]


def column(*wrong: range) -> Column:
    """A system that is wrong on these questions of N."""
    names = [f"q{i}" for i in range(N)]
    values = [float(not any(i in part for part in wrong)) for i in range(N)]
    return Column(names, np.array([values]), names, ["all"] * N)


def evidence(a: Column, b: Column, **known: Any) -> Any:
    """Of which training has seen the first half of the questions; `a` was trained unless it is said otherwise."""
    doubts = known.get("doubts", {})
    named = {
        name: SimpleNamespace(
            has_seen_training=name == "a" and known.get("trained", True), doubts={"em": doubts[name]} if doubts else {}
        )
        for name in "ab"
    }
    seen = {} if doubts else {f"q{i}": ("exact",) for i in range(N // 2)}
    run = SimpleNamespace(leaks=seen)
    return SimpleNamespace(
        ranked={"a": a, "b": b}, run=run, unanswerable=frozenset(), named=named, margin=0.05, headline="em"
    )


def decided(of: Any, **fields: Any) -> Decision:
    against = tuple(NOTHING_WEIGHED.against(of.ranked, "a", of.margin))
    known: dict[str, Any] = {"outcome": "winner", "equivalent": (), "among": ()}
    return Decision(
        choice="a", best="a", probability=None, probabilities={}, common=N, questions=None,
        **{**known, **fields}, against=against,
    )  # fmt: skip


def against_it(of: Any, **fields: Any) -> list[tuple[str, str, float, float, int]]:
    found = contradictions(of, decided(of, **fields), ["a", "b"], NOTHING_WEIGHED)
    return [(row.view, row.to, round(row.mine, 3), round(row.its, 3), row.n) for row in found]


UNSEEN_BETTER, UNSEEN_SLIGHTLY, UNSEEN_BEHIND = range(100, 130), range(100, 102), range(0)
SEEN = range(60)  # on what training has seen `b` is far behind


def test_a_trained_winner_must_be_shown_to_be_ahead_on_unseen_questions() -> None:
    """Two questions of a hundred show nothing, though they rule out that it is behind by the margin."""
    clear, slight = (evidence(column(), column(SEEN, part)) for part in (UNSEEN_BETTER, UNSEEN_SLIGHTLY))
    assert against_it(clear) == []
    assert against_it(slight) == [("clean", "b", 1.0, 0.98, 100)]
    assert against_it(evidence(column(), column(SEEN, UNSEEN_SLIGHTLY), trained=False)) == []
    behind = evidence(column(range(100, 101)), column(SEEN, UNSEEN_BEHIND), trained=False)
    assert against_it(behind) == [("clean", "b", 0.99, 1.0, 100)]
    level = evidence(column(), column(SEEN), trained=False)
    assert against_it(level) == [("clean", "b", 1.0, 1.0, 100)]


def test_what_is_level_with_a_trained_choice_must_be_no_better_by_the_margin_there() -> None:
    level = {"outcome": "equivalent", "equivalent": ("b",)}
    slight = evidence(column(), column(UNSEEN_SLIGHTLY))
    assert against_it(slight, **level) == []
    open_ = evidence(column(range(100, 110)), column(range(110, 118)))
    assert against_it(open_, **level) == [("clean", "b", 0.9, 0.92, 100)]
    assert against_it(evidence(column(range(100, 110)), column(range(110, 118)), trained=False), **level) == []
    far = evidence(column(range(100, 106)), column(), trained=False)
    assert against_it(far, **level) == [("clean", "b", 0.94, 1.0, 100)]


def doubt(low: float, high: float, failed: float) -> Doubt:
    return Doubt(failed=failed, bounds=(low, high), demoted=False, decisive=True)


@pytest.mark.parametrize(
    ("mine", "its", "outcome", "contradicts"),
    [
        (doubt(0.9, 0.95, 0.05), doubt(0.7, 0.92, 0.2), "winner", True),
        (doubt(0.9, 0.95, 0.05), doubt(0.7, 0.9, 0.2), "winner", False),  # level is not ahead
        (doubt(0.9, 0.9, 0.0), doubt(0.7, 0.92, 0.2), "winner", True),
        (doubt(0.9, 0.9, 0.0), doubt(0.92, 0.92, 0.0), "winner", False),  # no verdict failed
        (doubt(0.75, 0.9, 0.15), doubt(0.7, 0.79, 0.1), "equivalent", False),  # by less than the margin
        (doubt(0.75, 0.9, 0.15), doubt(0.7, 0.81, 0.1), "equivalent", True),
    ],
)
def test_failed_verdicts_that_go_the_other_way(mine: Doubt, its: Doubt, outcome: str, contradicts: bool) -> None:
    of = evidence(column(), column(range(40)), doubts={"a": mine, "b": its})
    fields = {"outcome": outcome, "equivalent": ("b",) if outcome == "equivalent" else ()}
    expected = [("judge", "b", mine.bounds[0], its.bounds[1], N)] if contradicts else []
    assert against_it(of, **fields) == expected


def ahead_of_base(of: Any) -> list[tuple[str, float, float, int]]:
    return [(row.to, row.mine, row.its, row.n) for row in remembered(of, "a", ["b"]) if row.view == "clean"]


def test_what_was_trained_must_be_ahead_of_the_base_model_on_unseen_questions() -> None:
    assert ahead_of_base(evidence(column(), column(UNSEEN_BETTER))) == []
    slight = column(), column(SEEN, UNSEEN_SLIGHTLY)
    assert ahead_of_base(evidence(*slight)) == [("b", 1.0, 0.98, 100)]
    assert ahead_of_base(evidence(*slight, trained=False)) == []
    assert ahead_of_base(evidence(column(), column(SEEN), trained=False)) == [("b", 1.0, 1.0, 100)]
    every = evidence(column(), column(SEEN))
    every.run.leaks = {f"q{i}": ("exact",) for i in range(N)}
    assert ahead_of_base(every) == []  # no question is left


def wrong(*parts: range) -> Any:
    return lambda q, _: Answer("no" if any(int(q.id[1:]) in part for part in parts) else "yes")


FIRST, SECOND = wrong(range(40, 60)), wrong(range(30))  # .67 and .50 of sixty, which shows nothing but no loss of .3


def recommended(folder: Path, first: Made, second: Made, **spec: Any) -> Recommendation:
    systems = {"first": first, "second": second}
    return scored(folder, systems, asked(60), margin=0.3, **spec).recommendation


def test_what_both_meet_speaks_for_neither(tmp_path: Path) -> None:
    needs = {"p50_latency_s": 1.0, "min_quality": 0.1}
    found = recommended(tmp_path, Made(FIRST), Made(SECOND), needs=needs)
    assert found.outcome == "not worse" and found.sentence.endswith(" It was not compared with the base model alone.")
    assert [(need.need, need.state) for need in found.needs["first"]] == [(name, "met") for name in needs]
    few = recommended(tmp_path / "few", Made(FIRST), Made(SECOND), needs={"p90_latency_s": 2.0, "p95_latency_s": 2.0})
    assert [(n.need, n.state) for n in few.needs["second"]] == [(f"p{p}_latency_s", "unmeasured") for p in (90, 95)]


def test_sources_and_data_that_stays_are_met_or_missed(tmp_path: Path) -> None:
    needs = {"provenance": True, "data_stays": True}
    found = recommended(tmp_path, Made(showing(FIRST, "yes")), Made(SECOND), needs=needs)
    states = {name: [(n.need, n.limit, n.value, n.met, n.state) for n in rows] for name, rows in found.needs.items()}
    stays = ("data_stays", True, True, True, "met")
    assert states == {
        "first": [("provenance", True, True, True, "met"), stays],
        "second": [("provenance", True, False, False, "missed"), stays],
    }
    assert found.choice == "first" and found.feasible == ("first",)


def test_what_is_level_after_one_seed_is_provisional(tmp_path: Path) -> None:
    tuned = Made(FIRST, kind="lora", tuned=True)
    found = recommended(tmp_path, tuned, Made(FIRST))
    assert found.equivalent == ("second",) and found.outcome == "provisional"
    assert found.sentence.startswith("Provisional, one seed: first: ")


@pytest.mark.parametrize(
    ("seeds", "once"), [(1, ", provisionally (one seed)"), (2, ", provisionally (two seeds)"), (3, "")]
)
def test_what_is_no_better_than_the_base_model_after_few_seeds(seeds: int, once: str, tmp_path: Path) -> None:
    systems = {
        "base": Made(saying((range(40), "yes")), kind="closed_book"),
        "lora": Made(saying((range(41), "yes")), kind="lora", tuned=True, seeds=seeds),
    }
    found = scored(tmp_path, systems, asked(60)).recommendation
    assert found.outcome == "not better than the base model"
    assert found.sentence.startswith(f"Nothing is recommended{once}: lora, exact match 0.68 (")
    assert "), is not shown to be better than the base model alone (base, 0.67)." in found.sentence


def test_experiments_alone_are_told(tmp_path: Path) -> None:
    shutil.copy(ROOT / "reports" / "published" / "nvidia-h200-shapes" / "run.json", tmp_path / "run.json")
    raw = json.loads((tmp_path / "run.json").read_text())
    experiments = {cell["system"] for cell in raw["cells"].values() if cell.get("facts") is not None}
    raw["systems"] = {name: entry for name, entry in raw["systems"].items() if name in experiments}
    (tmp_path / "run.json").write_text(json.dumps(raw))
    (tmp_path / "records.jsonl").touch()
    assert score(tmp_path).recommendation.sentence == (
        "This run has only experiments, so no systems were compared. Their results are below."
    )


def test_the_time_to_absorb_a_change_of_the_corpus() -> None:
    """What reads passages indexes anew; what has its facts in its weights trains anew, if it was trained here."""

    def system(**fields: Any) -> Any:
        known = {"trained": True, "family": "tuning", "trained_elsewhere": False, "refresh_s": 2.0}
        return SimpleNamespace(**{**known, **fields}, build=SimpleNamespace(total_s=50.0))

    assert money.refresh_s(system()) == 50.0 and money.refresh_s(system(), 30.0) == 30.0
    assert money.refresh_s(system(trained_elsewhere=True)) is None
    assert money.refresh_s(system(family="both")) == money.refresh_s(system(trained=False)) == 2.0
    assert money.refresh_s(system(trained=False, trained_elsewhere=True), 30.0) == 2.0


def test_a_pair_as_text() -> None:
    pair = rival("y", a="x", p=0.204, test="McNemar")
    assert pair_as_text(pair, "em") == (
        "Exact match: x minus y +0.10 (95% interval -0.10 to +0.30, n = 100, McNemar p = 0.2)"
    )


def test_who_is_ranked_by_zeros_is_told(tmp_path: Path) -> None:
    """A measure that has no value where a system does not answer."""
    questions = [Asked(f"q{i}", gold=("p",)) for i in range(40)]
    some = lambda q, _: Answer("yes and no" if int(q.id[1:]) < 20 else "unknown")
    systems = {"some": Made(showing(some, "yes and no")), "all": Made(showing(right(1.1), "yes and no"))}
    found = scored(tmp_path, systems, questions, needs={"metric": "k_precision"}).recommendation
    assert found.caveats == (
        "K-Precision has no value where a system does not answer. To rank some, such questions count as 0.",
    )


def test_a_pair_seen_from_its_other_side() -> None:
    """Every figure of one system against another is that of the other against it, the other way round."""
    a, b = column(range(100, 112)), column(range(60), range(130, 132))
    (pair,) = NOTHING_WEIGHED.against({"a": a, "b": b}, "a", 0.05)
    (other,) = NOTHING_WEIGHED.against({"b": b, "a": a}, "b", 0.05)
    found = seen_from(pair, "b")
    assert seen_from(pair, "a") is pair and (found.a, found.b, found.verdict) == ("b", "a", "worse") and found.effect
    assert (found.won, found.lost) == (pair.lost, pair.won) == (12.0, 62.0)
    for name in ("difference", "effect", "p", "n", "n90", "p_worse", "p_better", "non_inferior", "margin"):
        assert getattr(found, name) == pytest.approx(getattr(other, name)), name
    assert (found.low, found.high) == (-pair.high, -pair.low)


def test_a_month_is_known_within_what_its_builds_and_updates_are() -> None:
    """1 a thousand questions, 9 fixed, 1 of it storage; 4 updates of 2: 17 without questions, timed within 15%."""
    known = costs(96.0, 1.0, months=12, storage=1.0, refresh=2.0, month=17.0, ends=(0.5, 2.0))
    low, high = (1.0 + (8.0 + 4 * 2.0) * factor for factor in (1 / money.TIMED, money.TIMED))

    def cheapest(one: Costs, usd: float) -> tuple[str, ...]:
        """Of that and of a month that costs so much, whatever was timed."""
        certain = costs(0.0, 0.0, storage=usd, refresh=0.0, month=usd, ends=(0.0, 0.0))
        return money.cheapest({"one": one, "certain": certain}, 0.0, 4.0)

    assert cheapest(known, low - 0.01) == ("certain",)
    assert cheapest(known, low + 0.01) == cheapest(known, high - 0.01) == ("one", "certain")
    assert cheapest(known, high + 0.01) == ("one",)
    untimed = known.model_copy(update={"thousand_questions_interval_usd": None})
    assert cheapest(untimed, 17.0 / money.TIMED - 0.01) == ("certain",)
    assert cheapest(untimed, 17.0 / money.TIMED + 0.01) == ("one", "certain")
    assert cheapest(untimed, 17.0 * money.TIMED + 0.01) == ("one",)


def test_a_median_latency_is_told_with_that_of_the_baseline() -> None:
    old, new = ({f"q{i}": factor * (1.0 + i / 10) for i in range(5)} for factor in (1.0, 2.0))
    rules = Rules(rules=(Rule(metric="p50_latency_s", margin=0.1),))
    (found,) = gate(snap(None, latency=new), snap(None, latency=old, noise=QUIET), rules)
    assert (found.state, found.old, found.new) == ("fail", 1.2, 2.4)
