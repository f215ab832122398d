"""What decides, on figures small enough to work out by hand: gates, money, sentences, needs."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats as distributions

from bench.gate.decisions import confirmed, gate
from bench.gate.rules import DEFAULT, Rule, Rules
from bench.gate.snapshot import RunNoise, Snapshot, SystemSnapshot
from bench.report import decision
from bench.scoring import money
from bench.scoring.grade import Column
from bench.scoring.schema import BreakEven, Costs
from bench.scoring.schema.gate import Result
from bench.spec.model import Volumes
from bench.stats import permutation
from bench.stats.comparisons import Panel, compare
from bench.verdict.claim_terms import would_decide
from bench.verdict.contradictions import split, views
from bench.verdict.evidence import Evidence
from bench.verdict.question_types import ahead
from bench.verdict.score import VERSION, is_current
from tests.made_up import Made, asked, costs, right, scored

STEP = "step_s"


def snap(
    figures: list[float] | None, *, noise: RunNoise | None = None, latency: dict[str, float] | None = None
) -> Snapshot:
    given = {STEP: figures} if figures is not None else {}
    system = SystemSnapshot("done", 1, {}, latency or {}, given)
    kept = {STEP: noise, "p50_latency_s": noise} if noise else {}
    return Snapshot("run", "data", "spec", {"cpu": "x"}, {}, "em", {"s": system}, {}, kept)


def gated(old: list[float], new: list[float], noise: RunNoise | None, margin: float = 0.03) -> Result:
    (found,) = gate(snap(new), snap(old, noise=noise), Rules(rules=(Rule(metric=STEP, margin=margin),)))
    return found


QUIET = RunNoise(0.001, 20)


def test_without_calibration_an_increase_is_inconclusive() -> None:
    found = gated([100.0], [105.0], None)
    assert (found.state, found.old, found.new) == ("inconclusive", 100.0, 105.0)
    assert found.why == (
        "+5.0%; no calibration: how much repeats of one run differ is not known; accept the baseline with --repeat"
    )
    assert gated([100.0], [102.9], None).state == "pass"


@pytest.mark.parametrize(
    ("new", "noise", "state", "why"),
    [
        (105.0, QUIET, "fail", "+5.0%"),
        (101.0, QUIET, "pass", "+1.0%"),  # shown, and smaller than the margin
        (100.0, RunNoise(0.05, 20), "inconclusive", "an increase of the margin is not ruled out"),
        (90.0, QUIET, "improved", "-10.0%"),
        (98.0, QUIET, "pass", "-2.0%"),  # shown, and smaller than the margin
        (105.0, RunNoise(0.0, 20), "fail", "+5.0%"),  # repeats that never differ
        (100.0, RunNoise(0.0, 20), "pass", "+0.0%"),
    ],
)
def test_an_increase_needs_the_margin_and_the_evidence(new: float, noise: RunNoise, state: str, why: str) -> None:
    found = gated([100.0], [new], noise)
    assert (found.state, found.why) == (state, why)


def test_three_seeds_each_are_compared_by_welchs_interval() -> None:
    """Where repeats do not differ, what is left is the spread of the seeds: Welch's interval of the logarithms."""
    old, new = [100.0, 102.0, 104.0, 99.0], [104.0, 111.0, 115.0]
    found = gated(old, new, RunNoise(0.0, 20))
    welch = distributions.ttest_ind(np.log(new), np.log(old), equal_var=False)
    low, high = welch.confidence_interval(0.95)
    assert found.change == pytest.approx(math.expm1(np.log(new).mean() - np.log(old).mean()))
    assert (found.low, found.high) == pytest.approx((math.expm1(low), math.expm1(high)))


def test_figures_that_are_none_are_an_error() -> None:
    found = gated([0.0], [1.0], QUIET)
    assert (found.state, found.why) == ("errored", "a figure that is not above zero")


@pytest.mark.parametrize(("common", "state"), [(1, "missing"), (2, "fail")])
def test_latencies_need_two_questions_in_common(common: int, state: str) -> None:
    old = {f"q{i}": 1.0 for i in range(4)}
    new = {f"q{i}": 1.5 for i in range(common)} | {"other": 1.5}
    rules = Rules(rules=(Rule(metric="p50_latency_s", margin=0.1),))
    (found,) = gate(snap(None, latency=new), snap(None, latency=old, noise=QUIET), rules)
    assert found.state == state
    assert state != "missing" or found.why == "fewer than two questions were timed in both"


def test_the_default_rules_miss_only_what_the_baseline_has() -> None:
    lost = gate(snap(None), snap([1.0]), DEFAULT)
    assert [(r.state, r.rule.split()[0]) for r in lost] == [("missing", STEP)]
    assert gate(snap([1.0]), snap(None), DEFAULT) == []


def test_a_judge_that_warns_again_is_believed() -> None:
    first = Result(
        "faithfulness within 0.02", "s", "warn", old=None, new=None, change=None, low=None, high=None, why="p"
    )
    (again,) = confirmed([first], [first])
    assert (again.state, again.why) == ("warn", "p; the judge says so again")
    (passed,) = confirmed([first], [replace(first, state="pass")])
    assert passed.state == "pass"


def priced(fixed: float, thousand: float) -> Costs:
    month, ends = fixed + 100 * thousand, (0.9 * thousand, 1.1 * thousand)
    return costs(fixed, thousand, months=1, month=month, ends=ends)


def test_of_two_with_one_price_a_question_the_lower_fixed_cost_is_the_cheaper() -> None:
    (found,) = money.break_even({"a": priced(9.0, 1.0), "b": priced(4.0, 1.0)}, 0.0)
    assert found == BreakEven(a="a", b="b", low="a", high="b", questions_per_month=None, cheaper="b")


def test_the_range_of_a_break_even_is_open_where_the_prices_overlap() -> None:
    (found,) = money.break_even({"a": priced(9.0, 1.0), "b": priced(4.0, 1.15)}, 0.0)
    assert found.questions_per_month == pytest.approx(5.0 / 0.15 * 1000)
    assert found.interval is not None and found.interval[1] is None
    more, saved = 9.0 / money.TIMED - 4.0 * money.TIMED, 1.1 * 1.15 - 0.9  # at the ends that bring it nearest
    assert found.interval[0] == pytest.approx(more / saved * 1000)


def test_permutations_in_blocks_are_those_of_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.random(180) < share for share in (0.65, 0.55))
    both = Panel({"a": a[None].astype(float), "b": b[None].astype(float)}, [f"c{i // 3}" for i in range(180)])
    (whole,) = compare(both)
    monkeypatch.setattr(permutation, "SHARED", 0)
    monkeypatch.setattr(permutation, "BLOCK", 5000)  # a hundred rows at once
    (blocks,) = compare(both)
    assert whole.test == blocks.test == "cluster permutation" and 0.01 < whole.p < 0.5
    assert blocks.p == pytest.approx(whole.p, abs=0.02)


def test_a_pair_is_tested_alike_alone_and_among_others() -> None:
    """Of many clusters all pairs share their signs; which others there are changes no p value."""
    rng = np.random.default_rng(2)
    values = {name: rng.random((1, 900)) * share for name, share in (("a", 1.0), ("b", 1.04), ("c", 1.5))}
    names = [f"c{i}" for i in range(900)]
    together = compare(Panel(values, names))
    (alone,) = compare(Panel({name: values[name] for name in ("a", "b")}, names))
    assert alone.test == "cluster permutation" and 0.001 < alone.p < 0.9
    assert together[0].p == alone.p and together[1].p == 1 / (1 + permutation.PERMUTATIONS)


def test_the_sentence_names_who_is_equivalent_and_who_is_behind(tmp_path: Path) -> None:
    questions = asked(400)
    same, low = Made(right(0.8)), Made(right(0.2, "low"))
    two = scored(tmp_path / "two", {"a": same, "b": same}, questions, margin=0.05).recommendation.sentence
    alone = " It was not compared with the base model alone."
    assert two.endswith(f"n = 400). b is equivalent to it.{alone}")
    three = scored(tmp_path / "three", {"a": same, "b": same, "c": low}, questions, margin=0.05).recommendation.sentence
    assert three.endswith(f"n = 400). b is equivalent to it. All others are behind.{alone}")


def test_an_open_decision_names_its_rivals(tmp_path: Path) -> None:
    systems = {name: Made(right(0.6, name)) for name in ("a", "b", "c")}
    found = scored(tmp_path / "r", systems, asked(60)).recommendation
    rest = [name for name in systems if name != found.choice]
    assert found.sentence.startswith(f"No clear winner between {found.choice} and {rest[0]} or {rest[1]}; ")


@pytest.mark.parametrize(
    ("seeds", "rivals", "start"),
    [
        (1, {"c": Made(right(0.2, "c"))}, "Provisional, one seed: t: "),
        (2, {"c": Made(right(0.2, "c"))}, "Provisional, two seeds: t: "),
        (3, {"c": Made(right(0.2, "c"))}, "Use t: "),
        (1, {}, "Provisional, one seed: t: "),  # nothing else, or the base model alone, is what it is compared with
        (1, {"base": Made(right(0.2, "c"), kind="closed_book")}, "Provisional, one seed: t: "),
    ],
)
def test_below_three_seeds_a_choice_is_provisional(
    seeds: int, rivals: dict[str, Made], start: str, tmp_path: Path
) -> None:
    tuned = Made(right(0.9), kind="lora", tuned=True, seeds=seeds)
    assert scored(tmp_path / "r", {"t": tuned, **rivals}, asked(300)).recommendation.sentence.startswith(start)


def test_a_need_is_met_missed_or_open(tmp_path: Path) -> None:
    needs = {"p50_latency_s": 0.02, "memory_bytes": 1.0, "provenance": True}
    found = scored(
        tmp_path / "r", {"a": Made(right(0.9), latency_s=0.01)}, asked(100), needs=needs
    ).recommendation.needs["a"]
    told = {need.need: (need.state, need.met) for need in found}
    assert told["p50_latency_s"] == ("met", True) and told["memory_bytes"] == ("missed", False)
    (shown,) = [need for need in found if need.need == "provenance"]
    assert (shown.limit, shown.value, shown.met, shown.state) == (True, False, False, "missed")


def pair(a: str, b: str, verdict: str) -> Any:
    return SimpleNamespace(a=a, b=b, verdict=verdict)


@pytest.mark.parametrize(
    ("pairs", "first"),
    [
        ([pair("a", "b", "better"), pair("a", "c", "better"), pair("b", "c", "better")], ("a",)),
        ([pair("a", "b", "worse"), pair("a", "c", "inconclusive"), pair("b", "c", "better")], ("b",)),
        ([pair("a", "b", "inconclusive"), pair("a", "c", "better"), pair("b", "c", "better")], ("a", "b")),
        ([pair("a", "b", "better"), pair("a", "c", "worse"), pair("b", "c", "equivalent")], ("c",)),
        ([pair("a", "b", "equivalent"), pair("a", "c", "inconclusive")], ()),
    ],
)
def test_who_is_ahead_is_better_than_one_and_worse_than_none(pairs: list[Any], first: tuple[str, ...]) -> None:
    systems: dict[str, Any] = dict.fromkeys("abc")
    assert ahead(systems, pairs) == first


def test_scores_of_another_version_are_not_current() -> None:
    assert is_current({"version": VERSION}) and not is_current({"version": VERSION - 1}) and not is_current({})
    assert not is_current([VERSION])


def test_at_which_volume_another_costs_less(tmp_path: Path) -> None:
    systems = {"a": Made(right(200), kind="rag"), "b": Made(right(150), kind="lora")}
    found = scored(tmp_path / "r", systems, asked(200)).recommendation
    costs = {"a": priced(1.0, 0.1), "b": priced(50.0, 0.01)}
    told = list(decision._volumes(found.model_copy(update={"costs": costs}), Volumes(updates_per_month=0)))
    (number,) = re.findall(r"From about ([\d,]+) questions a month on, b costs less than a", told[0])
    assert 49.0 / 0.09 * 1000 < int(number.replace(",", "")) < 5e6  # later than at the same figures without an interval
    small = {"a": priced(0.001, 1e-6), "b": priced(0.01, 1e-7)}
    assert not list(decision._volumes(found.model_copy(update={"costs": small}), Volumes(updates_per_month=0)))


@pytest.mark.parametrize(
    ("state", "end"), [("winner", "all systems have."), ("undecided", "corrected for the number of comparisons.")]
)
def test_how_sure_a_choice_is(state: str, end: str, tmp_path: Path) -> None:
    systems = {"a": Made(right(200), kind="rag"), "b": Made(right(150), kind="lora")}
    found = scored(tmp_path / "r", systems, asked(200)).recommendation.model_copy(
        update={"outcome": state, "probability": 0.963}
    )
    told = decision.sure(found, many_seeds=False)
    assert told.startswith("How sure: a scores highest in 96.3% of 10,000 resamples") and told.endswith(end)


def answered(*values: float) -> Column:
    """A column on the questions q0, q1, ..., each a cluster of its own."""
    asked = [f"q{n}" for n in range(len(values))]
    return Column(asked, np.array([values]), asked, ["all"] * len(values))


def test_the_parts_of_the_questions_by_hand() -> None:
    columns = {"a": answered(1.0, 0.0, 1.0), "b": answered(1.0, 0.0)}
    evidence: Any = SimpleNamespace(run=SimpleNamespace(leaks={"q0": ["exact"]}), unanswerable=frozenset({"q2", "q9"}))
    assert views(evidence, columns) == {"clean": {"q1", "q2"}, "answerable": {"q0", "q1"}, "unanswerable": {"q2"}}
    none: Any = SimpleNamespace(run=SimpleNamespace(leaks={}), unanswerable=frozenset())
    assert views(none, columns) == {}, "the whole, and nothing, are no parts"


def test_opposite_halves_are_told_of_every_system_that_has_both() -> None:
    def pair(choice: str, other: str, measure: str) -> Any:
        if other == "lacks":
            return None
        good, bad = [1.0] * 60, [0.0] * 60
        mine, its = (good, bad) if measure == "answerable_em" else (bad, good)
        clusters = [f"c{n}" for n in range(60)]
        return compare(Panel({choice: np.array([mine]), other: np.array([its])}, clusters))[0]

    evidence: Any = SimpleNamespace(pair=pair)
    (found,) = split(evidence, "choice", ["lacks", "other"])
    assert found.to == "other" and found.answerable.difference == 1.0 and found.unanswerable.difference == -1.0


def test_an_estimate_of_a_type_of_question_is_of_those_alone() -> None:
    asked = [f"q{n}" for n in range(8)]
    column = Column(asked, np.array([[1.0] * 6 + [0.0] * 2]), asked, ["easy"] * 6 + ["hard"] * 2)
    nothing: Any = None
    evidence = Evidence(nothing, {}, {"a": {"em": column}}, {}, "em", {})
    found = {which: evidence.estimate("a", "em", which) for which in (None, "easy", "hard")}
    assert {which: (e.mean, e.n) for which, e in found.items() if e} == {
        None: (0.75, 8),
        "easy": (1.0, 6),
        "hard": (0.0, 2),
    }
    assert evidence.estimate("a", "f1") is None and evidence.estimate("a", "em", "other") is None


def open_pair(verdict: str = "inconclusive", **known: Any) -> Any:
    return SimpleNamespace(**{"verdict": verdict, "n": 100, "n90": None, "within90": None, "margin": 0.05, **known})


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        ([open_pair(n90=400), open_pair(n90=300)], "with 90% power takes n = 400 questions."),
        ([open_pair(n90=400), open_pair("better", n90=9000)], "with 90% power takes n = 400 questions."),
        ([open_pair("better", n90=9000)], "with 90% power takes n = 9,000 questions."),  # where none is open
        ([open_pair(n90=400), open_pair()], "with 90% power takes n = 400 questions."),
        ([open_pair(n90=400), open_pair(n90=100)], "it takes more questions, or more independent ones, to show it."),
        ([open_pair(margin=None)], "set a margin to show that there is none."),
        ([open_pair(within90=700), open_pair(within90=900)], "less than the margin takes n = 900 questions."),
        ([open_pair(within90=700), open_pair()], "How many questions would decide it cannot be said from these."),
        ([open_pair(within90=90)], "How many questions would decide it cannot be said from these."),
    ],
)
def test_what_would_decide_a_claim(pairs: list[Any], told: str) -> None:
    assert would_decide(pairs).endswith(told) and would_decide(pairs)[0].isupper()
