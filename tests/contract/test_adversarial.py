"""Made-up systems that try to make the verdict lie: each was, or could be, told as a winner that it is not."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.core.vocabulary import Answer, Hit
from bench.spec.cells import cells
from bench.spec.load import parse
from tests.conftest import raw_spec
from tests.made_up import Asked, Made, asked, right, scored, showing, turns

JUDGE = {"base_url": "http://localhost:1/v1", "model": "m", "metrics": ["answer_accuracy"], "max_failed": 0.9}


def always(text: str, *hits: Hit) -> Any:
    return lambda question, seed: Answer(text, hits or None)


def test_a_headline_covers_every_scored_question(tmp_path: Path) -> None:
    """20 of 300 questions have choices: a system that is right on those alone does not lead."""
    questions = [
        Asked(f"q{i}", choices=("yes", "no") if i < 20 else (), answers=("yes",) if i < 20 else ("pump",))
        for i in range(300)
    ]
    good = Made(lambda q, s: Answer(q.answers[0] if random.Random(q.id).random() < 0.97 else "no"))
    found = scored(tmp_path, {"yes-man": Made(always("yes")), "good": good}, questions).recommendation
    assert found.metric == "em" and found.sentence.startswith("Use good:")


def test_a_measure_of_a_share_says_which(tmp_path: Path) -> None:
    """Asked for by name it is told with the share that it is about."""
    questions = [
        Asked(f"q{i}", choices=("yes", "no") if i < 20 else (), answers=("yes",) if i < 20 else ("pump",))
        for i in range(300)
    ]
    systems = {"yes-man": Made(always("yes")), "good": Made(always("pump"))}
    found = scored(tmp_path, systems, questions, needs={"metric": "label_accuracy"}).recommendation
    assert found.choice == "yes-man" and "on 20 of 300 questions; it says nothing of the others" in found.sentence


def test_who_mostly_abstains_is_not_the_most_faithful(tmp_path: Path) -> None:
    """K-Precision is defined where a system answers: 30 grounded answers of 300 are no 1.00."""
    mute = lambda q, s: Answer("yes" if int(q.id[1:]) % 10 == 0 else "unknown", (Hit("c", "p", "yes", 1.0),))
    most = showing(right(0.9), "yes")
    found = scored(tmp_path, {"mute": Made(mute), "most": Made(most)}, asked(), needs={"metric": "k_precision"})
    assert found.recommendation.choice == "most" and found.recommendation.sentence.startswith("Use most:")
    assert found.measured["mute"].scores["k_precision"].mean == 1.0  # the table shows what was measured
    alone = scored(tmp_path / "alone", {"mute": Made(mute)}, asked(), needs={"metric": "k_precision"}).recommendation
    assert "k-precision 0.10" in alone.sentence


def test_errors_count_against_a_system_in_every_measure(tmp_path: Path) -> None:
    """Half of the answers failed, and the other half cite well."""

    def half(question: Asked, seed: int) -> Answer:
        if int(question.id[1:]) % 2:
            return Answer("", error="out of memory")
        return Answer("yes [1]", (Hit("c", "p", "yes", 1.0),))

    plain = showing(right(0.9), "yes")

    def steady(question: Asked, seed: int) -> Answer:
        found = plain(question, seed)
        return replace(found, text=f"{found.text} [1]")

    systems = {"half": Made(half), "steady": Made(steady)}
    found = scored(tmp_path, systems, asked(), needs={"metric": "citation_recall"}).recommendation
    assert found.choice == "steady"


def test_a_third_system_takes_no_questions_from_a_pair(tmp_path: Path) -> None:
    few = lambda q, s: Answer("yes", (Hit("c", "p", "yes", 1.0),)) if int(q.id[1:]) < 6 else Answer("unknown", ())
    systems = {"a": Made(showing(right(1.0), "yes")), "b": Made(showing(right(0.5), "yes")), "few": Made(few)}
    pairs = {(p.a, p.b): p for p in scored(tmp_path, systems, asked()).compared["k_precision"]}
    assert (pairs["a", "b"].n, pairs["a", "b"].verdict) == (300, "better")
    assert pairs["a", "few"].n == 6


def test_a_mute_system_does_not_win_on_unanswerable_questions(tmp_path: Path) -> None:
    questions = [Asked(f"q{i}", answers=() if i < 180 else ("yes",)) for i in range(300)]
    reader = lambda q, s: right(0.9)(q, s) if q.answers else Answer("unknown" if int(q.id[1:]) % 9 == 0 else "yes")
    found = scored(tmp_path, {"mute": Made(always("unknown")), "reader": Made(reader)}, questions).recommendation
    assert found.outcome == "contradicted" and found.sentence.startswith("No winner: mute")
    assert (
        "on the 120 questions that the corpus answers, reader scores 0.9" in found.sentence
        and "against 0.00" in found.sentence
    )


def test_a_memoriser_does_not_win_on_leaked_questions(tmp_path: Path) -> None:
    leaked = [f"q{i}" for i in range(240)]
    memoriser = lambda q, s: Answer("yes" if q.id in leaked else "no")
    systems = {"memoriser": Made(memoriser), "honest": Made(right(0.62))}
    found = scored(tmp_path, systems, asked(), leaked=leaked).recommendation
    assert (
        found.outcome == "contradicted"
        and "on the 60 questions that training has not seen, honest scores 0." in found.sentence
    )


def test_a_lead_that_rests_on_leaked_questions_is_none(tmp_path: Path) -> None:
    """On the clean ones it is level: too little to show that it is behind, and no lead either."""
    leaked = [f"q{i}" for i in range(270)]
    a = lambda q, s: Answer("yes" if q.id in leaked or int(q.id[1:]) % 2 else "no")
    b = lambda q, s: Answer("yes" if int(q.id[1:]) % 2 else "no")
    found = scored(tmp_path, {"a": Made(a), "b": Made(b)}, asked(), leaked=leaked).recommendation
    assert found.outcome == "contradicted" and found.contradictions[0].view == "clean"


def test_a_rival_whose_verdicts_failed_is_not_beaten(tmp_path: Path) -> None:
    """Four in five verdicts failed: its accuracy is anything from 0 to .8."""
    a = Made(always("yes"), judged=lambda q, s: 0.6 if int(q.id[1:]) % 2 else 0.7)
    b = Made(always("no"), judged=lambda q, s: None if int(q.id[1:]) % 5 else 0.0)
    needs = {"metric": "answer_accuracy"}
    found = scored(tmp_path, {"a": a, "b": b}, asked(), needs=needs, judge=JUDGE).recommendation
    assert (
        found.outcome == "contradicted"
        and "if every failed verdict of the judge had gone the other way, b" in found.sentence
    )
    strict = scored(
        tmp_path / "t", {"a": a, "b": b}, asked(), needs=needs, judge={**JUDGE, "max_failed": 0.1}
    ).recommendation
    assert strict.sentence.startswith("No verdict: answer accuracy (judge) is not decisive for b.")


def test_every_clause_is_of_the_system_that_it_names(tmp_path: Path) -> None:
    """b is cheaper and equivalent to the best, and c cannot be told from b: then b is not recommended over c."""
    questions = asked(1500)
    a = Made(right(0.80, "x"), latency_s=0.1)
    b = Made(lambda q, s: right(0.80, "x")(q, s) if int(q.id[1:]) % 60 else Answer("no"), latency_s=0.001)
    c = Made(right(0.77, "z"), latency_s=0.01)
    found = scored(
        tmp_path, {"a": a, "b": b, "c": c}, questions, margin=0.03, prices={"cpu_hour_usd": 1.0}
    ).recommendation
    for pair in found.against:
        assert pair.a == found.choice
    if found.outcome != "undecided":
        assert all(pair.verdict in ("better", "equivalent") or pair.non_inferior for pair in found.against)
    else:
        assert found.among and all(name in found.sentence for name in found.among)


def test_a_millisecond_is_no_difference(tmp_path: Path) -> None:
    """Identical answers, 4 against 5 ms, and a weight on latency: repeats of one run differ by as much."""
    same = right(0.8, "x")
    systems = {"a": Made(same, latency_s=0.004), "b": Made(same, latency_s=0.005)}
    found = scored(tmp_path, systems, asked(), needs={"weights": {"latency": 0.01}}).recommendation
    assert found.outcome == "undecided" and found.probability is not None and found.probability < 0.99
    far = {"a": Made(same, latency_s=0.004), "b": Made(same, latency_s=0.4)}
    told = scored(tmp_path / "t", far, asked(), needs={"weights": {"latency": 0.1}}).recommendation
    assert told.choice == "a" and told.outcome == "winner"  # the control: a hundred times is one


@pytest.mark.parametrize(
    ("mine", "other", "outcome"),
    [
        ([1.0, 1.02, 0.98], [1.01, 1.0, 0.99], "winner"),  # times that repeat
        ([1.0, 2.0, 0.5], [1.02, 1.96, 0.5], "winner"),  # busy rounds hurt both alike
        ([1.0, 1.6, 0.6], [0.6, 1.0, 1.6], "undecided"),  # times that do not repeat
    ],
)
def test_rounds_say_what_a_difference_in_time_is_worth(
    tmp_path: Path, mine: list[float], other: list[float], outcome: str
) -> None:
    """Identical answers, one system twice as fast: that counts where the rounds agree on it."""
    same = right(0.8, "x")
    systems = {
        "a": Made(same, latency_s=0.005, cell=turns(0.005, mine)),
        "b": Made(same, latency_s=0.010, cell=turns(0.010, other)),
    }
    found = scored(tmp_path, systems, asked(), needs={"weights": {"latency": 0.1}}).recommendation
    assert found.outcome == outcome, found.sentence


def test_tuned_once_is_provisional(tmp_path: Path) -> None:
    once = {"lora": Made(right(0.9, "a"), tuned=True), "qlora": Made(right(0.7, "b"), tuned=True)}
    found = scored(tmp_path, once, asked()).recommendation
    assert found.outcome == "provisional" and found.sentence.startswith("Provisional, one seed: lora")
    thrice = {name: Made(made.says, tuned=True, seeds=3) for name, made in once.items()}
    assert scored(tmp_path / "t", thrice, asked()).recommendation.sentence.startswith("Use lora:")


def test_more_questions_are_not_asked_for_where_seeds_differ(tmp_path: Path) -> None:
    systems = {
        "a": Made(right(0.70, "a", seed_sd=0.06), tuned=True, seeds=3),
        "b": Made(right(0.60, "b", seed_sd=0.06), tuned=True, seeds=3),
    }
    found = scored(tmp_path, systems, asked(600)).recommendation
    assert found.outcome == "undecided"
    assert "questions are needed" not in found.sentence and found.questions is None


def test_a_failed_seed_makes_no_difference_certain(tmp_path: Path) -> None:
    """Three seeds against two of the same quality."""
    wrong = 0
    for trial in range(6):
        systems = {
            "a": Made(right(0.7, f"a{trial}", seed_sd=0.04), tuned=True, seeds=3),
            "b": Made(right(0.7, f"b{trial}", seed_sd=0.04), tuned=True, seeds=2),
        }
        wrong += scored(tmp_path / str(trial), systems, asked(400)).recommendation.outcome != "undecided"
    assert wrong <= 1


@pytest.mark.parametrize(("share", "state"), [(0.50, "not decided"), (0.9, "met"), (0.1, "missed")])
def test_a_need_at_the_limit_is_not_decided(tmp_path: Path, share: float, state: str) -> None:
    found = scored(tmp_path, {"a": Made(right(share, "x"))}, asked(80), needs={"min_quality": 0.5}).recommendation
    assert found.needs["a"][0].state == state
    assert ("`min_quality` is not decided" in found.sentence) == (state == "not decided")


def test_what_was_not_measured_is_not_called_missed(tmp_path: Path) -> None:
    found = scored(tmp_path, {"a": Made(right(0.5))}, asked(80), needs={"usd_per_month": 5.0}).recommendation
    assert found.needs["a"][0].state == "unmeasured" and "was not measured for usd_per_month" in found.sentence
    assert "misses" not in found.sentence


# of our own making


def test_opposite_halves_leave_no_winner_among_many(tmp_path: Path) -> None:
    """The best on the whole, by far, is shown to be behind on the answerable half of a rival that is not second."""
    questions = [Asked(f"q{i}", answers=() if i % 2 else ("yes",)) for i in range(600)]
    half = lambda up, down: (
        lambda q, s: (
            right(up, "u")(q, s) if q.answers else Answer("unknown" if right(down, "d")(q, s).text == "yes" else "yes")
        )
    )
    systems = {"first": Made(half(0.6, 1.0)), "second": Made(half(0.5, 0.9)), "third": Made(half(0.9, 0.2))}
    found = scored(tmp_path, systems, questions).recommendation
    assert found.outcome == "contradicted" and {row.to for row in found.contradictions} == {"third"}


def test_a_clean_winner_with_leaks_elsewhere_stays(tmp_path: Path) -> None:
    """The control: leaked questions that help nobody do not take a winner away."""
    leaked = [f"q{i}" for i in range(100)]
    found = scored(
        tmp_path, {"a": Made(right(0.9, "a")), "b": Made(right(0.5, "b"))}, asked(), leaked=leaked
    ).recommendation
    assert found.outcome == "winner" and not found.contradictions


def test_gaps_of_a_seed_do_not_hide_its_spread(tmp_path: Path) -> None:
    """A measure that some seeds miss on some questions is no single run: seeds still count as seeds."""

    def gappy(base: Any) -> Any:
        return lambda q, s: base(q, s) if (int(q.id[1:]) + s) % 7 else Answer("unknown", ())

    systems = {
        name: Made(gappy(showing(right(0.7, name, seed_sd=0.1), "yes")), tuned=True, seeds=3) for name in ("a", "b")
    }
    (pair,) = scored(tmp_path, systems, asked()).compared["k_precision"]
    assert pair.seeds == 3


def test_an_abstainer_does_not_win_by_the_judge(tmp_path: Path) -> None:
    """Who answers one question in ten, and that one well, is not the most accurate."""
    shy = Made(lambda q, s: Answer("yes" if int(q.id[1:]) % 10 == 0 else "unknown"), judged=lambda q, s: 1.0)
    bold = Made(always("yes"), judged=lambda q, s: 0.8)
    folder = tmp_path / "r"
    found = scored(folder, {"shy": shy, "bold": bold}, asked(), needs={"metric": "answer_accuracy"}, judge=JUDGE)
    assert found.recommendation.choice == "bold"


def test_two_that_share_no_question_are_not_compared(tmp_path: Path) -> None:
    even = Made(lambda q, s: Answer("yes"), judged=lambda q, s: 1.0 if int(q.id[1:]) % 2 else None)
    odd = Made(lambda q, s: Answer("yes"), judged=lambda q, s: None if int(q.id[1:]) % 2 else 0.1)
    found = scored(tmp_path, {"even": even, "odd": odd}, asked(), needs={"metric": "answer_accuracy"}, judge=JUDGE)
    assert found.recommendation.outcome in (
        "undecided",
        "contradicted",
    ) and not found.recommendation.sentence.startswith("Use")


def test_a_tie_of_all_is_no_winner(tmp_path: Path) -> None:
    systems = {name: Made(right(0.8, "same")) for name in "abc"}
    open_ = scored(tmp_path, systems, asked()).recommendation
    assert open_.outcome == "undecided" and "no difference was seen" in open_.sentence and open_.questions is None
    level = scored(tmp_path / "t", systems, asked(), margin=0.05).recommendation
    assert level.outcome == "equivalent" and set(level.equivalent) == {"b", "c"}


def test_ten_equal_systems_give_no_winner(tmp_path: Path) -> None:
    told = 0
    for trial in range(4):
        systems = {f"s{i}": Made(right(0.7, f"{trial}/{i}")) for i in range(10)}
        told += scored(tmp_path / str(trial), systems, asked(100)).recommendation.outcome == "winner"
    assert told <= 1


def test_clustered_questions_are_not_counted_one_by_one(tmp_path: Path) -> None:
    """300 questions on six documents: one document more is no significant lead."""
    questions = [Asked(f"q{i}", group=f"d{i % 6}") for i in range(300)]
    by_document = lambda good: lambda q, s: Answer("yes" if q.group in good else "no")
    systems = {"a": Made(by_document({"d0", "d1", "d2", "d3"})), "b": Made(by_document({"d0", "d1", "d2"}))}
    assert scored(tmp_path, systems, questions).recommendation.outcome == "undecided"


def test_a_need_that_only_noise_meets_is_told(tmp_path: Path) -> None:
    """The winner meets its latency limit by a hair: whether it does is part of the sentence."""
    systems = {"a": Made(right(0.9, "a"), latency_s=0.0100), "b": Made(right(0.5, "b"), latency_s=0.002)}
    found = scored(tmp_path, systems, asked(), needs={"p50_latency_s": 0.01001}).recommendation
    assert found.choice == "a" and "`p50_latency_s` is not decided" in found.sentence


def test_half_of_the_seeds_failing_is_told(tmp_path: Path) -> None:
    systems = {
        "a": Made(right(0.9, "a"), tuned=True, seeds=2, cell={}),
        "b": Made(right(0.5, "b"), tuned=True, seeds=2),
    }
    found = scored(tmp_path, systems, asked()).recommendation
    assert any("takes three seeds" in caveat for caveat in found.caveats)


def test_a_lost_decimal_point_is_no_right_answer(tmp_path: Path) -> None:
    """SQuAD's normalisation takes 1.5 bar for 15 bar: where answers are numeric, their values decide."""
    questions = [Asked(f"q{i}", answers=(f"{i}.5 bar",)) for i in range(300)]
    sloppy = Made(lambda q, s: Answer(q.answers[0].replace(".", "")))
    careful = Made(lambda q, s: Answer(q.answers[0] if int(q.id[1:]) % 5 else "no"))
    found = scored(tmp_path, {"sloppy": sloppy, "careful": careful}, questions)
    assert found.headline == "numeric" and found.recommendation.sentence.startswith("Use careful:")
    named = scored(
        tmp_path / "t", {"sloppy": sloppy, "careful": careful}, [*questions, Asked("q300", answers=("Ito",))]
    )
    assert named.headline == "em_strict" and named.recommendation.sentence.startswith("Use careful:")
    assert found.measured["sloppy"].scores["em"].mean == 1.0 and found.measured["sloppy"].strictly == 300


def test_one_system_that_is_wrong_on_everything_is_not_recommended(tmp_path: Path) -> None:
    found = scored(tmp_path, {"zero": Made(right(0.0))}, asked()).recommendation
    assert found.outcome == "nothing works" and found.sentence.startswith("Nothing works: the highest is zero")


@pytest.mark.parametrize(
    ("alone", "outcome", "said"),
    [
        (
            0.70,
            "not better than the base model",
            r"rag, .* is not shown to be better than the base model alone \(base, ",
        ),
        (0.90, "not better than the base model", r"Nothing is recommended: rag, .* is worse than the base model alone"),
        (0.30, "winner", r"Use rag: "),
    ],
)
def test_what_the_base_model_knows_by_itself_is_no_merit(tmp_path: Path, alone: float, outcome: str, said: str) -> None:
    """Two systems, one far ahead of the other, on questions that the base model may answer without either."""
    systems = {
        "base": Made(right(alone, "b"), kind="closed_book"),
        "rag": Made(right(0.70, "r")),
        "bad": Made(right(0.2, "w")),
    }
    found = scored(tmp_path, systems, asked()).recommendation
    assert found.outcome == outcome and re.search(said, found.sentence), found.sentence
    assert [pair.b for pair in found.controls] == ["base"]


def test_the_base_model_alone_is_asked_wherever_nobody_asks_it() -> None:
    def kinds_of(*systems: dict[str, str], **more: bool) -> dict[str, str]:
        return {c.system: c.kind for c in cells(parse(raw_spec(systems=list(systems), **more)))}

    rag, own = {"name": "rag", "kind": "rag"}, {"name": "own", "kind": "tests.kinds.echo"}
    assert kinds_of(rag, control=True) == {"rag": "rag", "closed-book": "closed_book"}
    assert kinds_of({**rag, "name": "closed-book"}, control=True)["base-model"] == "closed_book"
    asked_already = kinds_of(rag, {"name": "alone", "kind": "closed_book"}, control=True)
    assert list(asked_already) == ["rag", "alone"]
    assert list(kinds_of(own, control=True)) == ["own"] and list(kinds_of(rag, control=False)) == ["rag"]


def test_a_busy_minute_at_first_is_no_latency(tmp_path: Path) -> None:
    """The questions of the rounds were answered at first beside other work, 50 times slower than ever after, the others
    were not: brought to the level of the rounds these would seem 50 times faster than they are."""
    slow, fast = 0.5, 0.01
    calm = Made(right(0.8), latency_s=fast, cell=turns(fast, [1, 1.1, 0.9]))
    busy = Made(right(0.8), latency_s=slow, cell=turns(fast, [1, 1.1, 0.9]))
    found = scored(tmp_path, {"calm": calm, "busy": busy}, asked(100)).measured
    assert (found["busy"].speed.of_rounds, found["busy"].speed.n) == (True, 16)
    assert (found["calm"].speed.of_rounds, found["calm"].speed.n) == (False, 100)
    assert found["busy"].speed.p50_s == pytest.approx(found["calm"].speed.p50_s, rel=0.05)
    assert found["busy"].speed.p90_s is None and found["busy"].speed.per_token_s is None
