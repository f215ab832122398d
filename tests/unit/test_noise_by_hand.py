"""The noise of repeats and what a gate makes of it, on figures small enough to work out by hand."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import numpy as np
import pytest

from bench.core.errors import UserError
from bench.gate.decisions import confirmed, gate
from bench.gate.noise import check_margins, detectable, floors, run_noise
from bench.gate.rules import Rule, Rules
from bench.gate.samples import summary
from bench.gate.snapshot import RunNoise, Snapshot, SystemSnapshot, Values
from bench.scoring.grade import panel
from bench.scoring.schema.gate import Result
from bench.stats.comparisons import compare
from tests.unit.test_by_hand import STEP, gated

QUESTIONS = tuple(f"q{n}" for n in range(40))


def snap(name: str = "run", *, em: float | None = None, dataset: str = "data", **steps: list[float]) -> Snapshot:
    """A run: exact match of `em` on the same 40 questions, and the step times of each system."""
    rows = ([float(n < 40 * (em or 0.0)) for n in range(40)],)
    values = {"em": Values(QUESTIONS, QUESTIONS, rows)} if em is not None else {}
    systems = {s: SystemSnapshot("done", 1, values, {}, {STEP: taken} if taken else {}) for s, taken in steps.items()}
    return Snapshot(name, dataset, "spec", {"cpu": "x"}, {}, "em", systems, {}, {})


def test_a_floor_is_the_largest_spread_of_any_system() -> None:
    repeats = [snap(em=em, a=[a], b=[b]) for em, a, b in ((0.5, 1.0, 10.0), (0.525, 1.1, 10.4), (0.45, 1.05, 13.0))]
    found = floors(repeats)
    assert found == pytest.approx({"em": 0.075, STEP: 3.0 / 10.4})  # a share of the median for times, points for scores
    assert list(found) == ["em", STEP]


def test_a_floor_needs_three_runs_that_have_the_figure() -> None:
    repeats = [snap(a=[1.0], b=[]), snap(a=[2.0], b=[3.0]), snap(a=[1.0], b=[4.0])]
    assert floors(repeats) == {STEP: 1.0}  # of `a`; `b` has two
    assert floors([snap(em=0.0, a=[], b=[1.0])] * 3) == {STEP: 0.0}  # nothing is ever right: no share of it


@pytest.mark.parametrize(
    ("repeats", "said"),
    [
        (
            [snap(a=[1.0])] * 2,
            "gate calibrate: 2 repeats are too few to see the noise. Give three runs of one spec, or more.",
        ),
        (
            [snap(a=[1.0]), snap(a=[1.0]), snap(a=[1.0], dataset="other")],
            "gate calibrate: the repeats are of different datasets or machines. Repeat one run on one machine.",
        ),
        (
            [snap(a=[1.0]), snap(a=[1.0]), replace(snap(a=[1.0]), machine={"cpu": "y"})],
            "gate calibrate: the repeats are of different datasets or machines. Repeat one run on one machine.",
        ),
    ],
)
def test_what_cannot_be_calibrated_is_told(repeats: list[Snapshot], said: str) -> None:
    with pytest.raises(UserError) as e:
        floors(repeats)
    assert str(e.value) == said


def test_a_margin_below_its_floor_is_told_with_the_least_that_holds() -> None:
    rules = Rules(rules=(Rule(metric=STEP, margin=0.1), Rule(metric="em", margin=0.02), Rule(metric=STEP, max=3.0)))
    check_margins(rules, {STEP: 0.1, "em": 0.02})  # as large as the noise is enough
    with pytest.raises(UserError) as e:
        check_margins(rules, {STEP: 0.1234, "other": 5.0})
    assert str(e.value) == (
        f"rules: the margin 0.1 of {STEP} is below the noise of 0.123. Set it to 0.124 or more, or measure on a "
        "quieter machine."
    )


def test_the_noise_of_runs_is_pooled_over_systems() -> None:
    a, b = (1.0, 1.1, 1.3), (5.0, 5.5)
    repeats = [snap(a=[x], b=[y] if y else []) for x, y in zip(a, (*b, 0.0), strict=True)]
    logs = [[math.log(v) for v in of] for of in (a, b)]
    pooled = (2 * statistics.variance(logs[0]) + 1 * statistics.variance(logs[1])) / 3
    assert run_noise(repeats) == {STEP: RunNoise(pytest.approx(math.sqrt(pooled)), 3)}
    assert run_noise([snap(a=[1.0])]) == {}


def test_what_a_gate_can_find_follows_from_two_runs_that_do_not_differ() -> None:
    rng = np.random.default_rng(1)
    columns = [tuple(map(float, rng.random(40) < 0.5)) for _ in range(2)]
    runs = [
        Snapshot("r", "d", "s", {}, {}, "em", {"s": SystemSnapshot("done", 1, {"em": value}, {}, {})}, {}, {})
        for value in (Values(QUESTIONS, QUESTIONS, (list(c),)) for c in columns)
    ]

    both = panel({"a": runs[0].systems["s"].values["em"].column, "b": runs[1].systems["s"].values["em"].column})
    assert both is not None
    pair = compare(both)[0]
    assert detectable(*runs) == {"em": pytest.approx((1.96 + 1.2816) * (pair.high - pair.low) / 2 / 1.96)}
    assert detectable(runs[0], replace(runs[1], systems={})) == {}


@pytest.mark.parametrize(
    ("bounds", "state"),
    [
        ({"min": 2.0}, "pass"),
        ({"min": 2.01}, "fail"),
        ({"max": 2.0}, "pass"),
        ({"max": 1.99}, "fail"),
        ({"min": 1.0, "max": 3.0}, "pass"),
        ({"min": 3.0, "max": 4.0}, "fail"),
    ],
)
def test_a_budget_bounds_the_worst_seed(bounds: dict[str, float], state: str) -> None:
    rules = Rules(rules=(Rule(metric=STEP, **bounds),))
    (found,) = gate(snap(s=[1.0, 2.0]), snap(s=[9.0]), rules)
    assert (found.state, found.why, found.new, found.old) == (state, "budget", 2.0, None)
    assert summary(STEP, [1.0, 3.0, 2.0]) == 3.0


def test_three_seeds_against_two_are_compared_by_their_medians() -> None:
    found = gated([100.0, 101.0, 140.0], [111.0, 112.0], RunNoise(0.001, 20))
    assert found.change == pytest.approx(111.5 / 101.0 - 1) and found.state == "fail"
    assert (found.old, found.new) == (101.0, 111.5)


FAILED = Result("faithfulness within 0.02", "s", "fail", old=0.9, new=0.8, change=-0.1, low=-0.2, high=-0.05, why="p")


@pytest.mark.parametrize(
    ("first", "second", "state", "why"),
    [
        ("fail", "fail", "fail", "p; the judge says so again"),
        ("fail", "warn", "fail", "p; the judge says so again"),
        ("warn", "fail", "warn", "p; the judge says so again"),
        ("fail", "pass", "inconclusive", "p; asked again the judge says pass"),
        ("fail", "improved", "inconclusive", "p; asked again the judge says improved"),
        ("fail", "inconclusive", "inconclusive", "p; asked again the judge says inconclusive"),
        ("warn", "pass", "pass", "p; asked again the judge says pass"),
        ("fail", "errored", "fail", "p; asked again, the judge did not answer: q"),
        ("fail", "missing", "fail", "p; asked again, the judge did not answer: q"),
        ("pass", "fail", "pass", "p"),
    ],
)
def test_a_judge_is_asked_again(first: str, second: str, state: str, why: str) -> None:
    result = replace(FAILED, state=first)
    again = replace(FAILED, state=second, why="q")
    (found,) = confirmed([result], [again])
    assert (found.state, found.why, found.old, found.change) == (state, why, 0.9, -0.1)


@pytest.mark.parametrize("other", [{"system": "t"}, {"rule": "em within 0.02"}])
def test_a_repeat_of_another_rule_or_system_changes_nothing(other: dict[str, str]) -> None:
    assert confirmed([FAILED], [replace(FAILED, state="pass", **other)]) == [FAILED]
    plain = replace(FAILED, rule="em within 0.02")
    assert confirmed([plain], [replace(plain, state="pass")]) == [plain]  # no judge had a say in it
