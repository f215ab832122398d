"""What a gate compares of times, memory and percentiles, and how gaps are filled, in figures worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from bench.execution.cell_result import CellResult
from bench.gate import decisions, times
from bench.gate.snapshot import RunNoise
from bench.scoring import resources
from bench.scoring.grade import Column
from bench.scoring.schema.gate import Result
from bench.stats.bootstrap import Spread
from bench.stats.few import Few, Guarded, Shifted
from bench.verdict.evidence import without_gaps


def cell(seed: int = 1, **facts: Any) -> CellResult:
    return CellResult.model_validate({"system": "s", "kind": "lora", "seed": seed, "status": "done", **facts})


def turn(number: int, alone: dict[str, float], reference: float | None, yardstick: float = 1.0) -> dict[str, Any]:
    return {
        "round": number,
        "yardstick_s": [yardstick, yardstick],
        "alone_s": alone,
        "batches": [],
        "reference_s": reference,
    }


def adapter(loop_s: float) -> dict[str, Any]:
    memory = {"peak_rss_growth_bytes": 100, "peak_gpu_allocated_bytes": 30}
    return {
        "kind": "adapter",
        "build_s": 9.0,
        "bytes": 1,
        "hit": False,
        "facts": {"train_loop_s": loop_s},
        "memory": memory,
    }


def tuned(seed: int, loop_s: float, step_s: float, reference_s: float | None, trials: int = 1) -> CellResult:
    tuning = {"step_s": step_s, "reference_s": reference_s, "trials": trials}
    return cell(seed, notes={"tuning": tuning}, artefacts=[adapter(loop_s)])


def test_figures_are_of_each_seed_that_has_them() -> None:
    memory = {"peak_rss_growth_bytes": 7, "peak_gpu_allocated_bytes": 5}
    found = times.figures([tuned(1, 4.0, 0.5, None), cell(2, memory=memory)])
    assert found == {
        "peak_rss_growth_bytes": [7],
        "peak_gpu_allocated_bytes": [5],
        "train_s": [4.0],
        "step_s": [0.5],
        "train_peak_rss_growth_bytes": [100],
        "train_peak_gpu_bytes": [30],
    }
    assert times.figures([cell()]) == {}


def test_memory_is_of_the_seed_that_a_round_measured() -> None:
    """What a whole cell took, with what its allocator kept, is another figure than a round's."""
    whole = {"peak_rss_growth_bytes": 300, "peak_gpu_allocated_bytes": None}
    of_a_round = cell(1, memory=whole, turns=[turn(1, {}, None) | {"peak_rss_growth_bytes": 100}, turn(2, {}, None)])
    seeds = [of_a_round, cell(2, memory=whole), cell(3, memory=whole | {"peak_rss_growth_bytes": 400})]
    assert times.figures(seeds)["peak_rss_growth_bytes"] == [100]
    assert resources.memory(seeds).peak_rss_growth_bytes == 100
    assert times.figures(seeds[1:])["peak_rss_growth_bytes"] == [300, 400]
    assert resources.memory(seeds[1:]).peak_rss_growth_bytes == 400


def test_latencies_beside_the_reference_work_are_the_lower_quartile_of_rounds() -> None:
    rounds = [turn(n, {"q": 1.0 * n, "p": 2.0}, 0.5) for n in range(1, 6)] + [turn(6, {"q": 0.0, "lone": 1.0}, None)]
    assert times.latency_beside([cell(turns=rounds)]) == {"q": pytest.approx(4.0), "p": pytest.approx(4.0)}
    assert times.latency_beside([cell()]) == {}


def test_training_times_beside_the_reference_work() -> None:
    both = [tuned(1, 4.0, 0.5, 0.1), tuned(2, 6.0, 0.7, 0.2)]
    found = times.figures_beside(both)
    assert found == {"train_s": pytest.approx([40.0, 30.0]), "step_s": pytest.approx([5.0, 3.5])}
    searched = [both[0], tuned(2, 6.0, 0.7, 0.2, trials=2)]
    assert list(times.figures_beside(searched)) == ["step_s"]  # the reference is beside the best trial alone
    assert times.figures_beside([both[0], tuned(2, 6.0, 0.7, None)]) == {}
    assert times.figures_beside([cell()]) == {}


def test_yardsticks_and_the_reference_work_are_told_apart_by_when() -> None:
    first = cell(turns=[turn(1, {}, 0.3, 1.0), turn(2, {}, 0.5, 3.0), turn(3, {}, None, 2.0)], yardstick_s=[1.5, 4.0])
    assert times.yardsticks([first], 9.0) == {"answering": 2.0, "building": 4.0}
    assert times.yardsticks([cell()], 9.0) == {"answering": 9.0}
    assert times.yardsticks([cell()], None) == {}
    assert times.reference([first]) == {"answering": pytest.approx(0.4)}
    assert times.reference([tuned(1, 1.0, 1.0, 0.2), tuned(2, 1.0, 1.0, 0.4)]) == {"building": pytest.approx(0.3)}
    assert times.reference([cell()]) == {}


def result(state: str, new: float | None = 1.0, *, rule: str = "em within 0.02", system: str = "a") -> Result:
    return Result(rule, system, state, old=1.0, new=new, change=None, low=None, high=None, why="")


@pytest.mark.parametrize("state", ["missing", "not comparable", "errored"])
def test_nothing_is_compared_where_every_rule_found_nothing(state: str) -> None:
    assert not decisions.is_any_compared([result(state)])
    assert not decisions.is_any_compared([result("pass", None)])
    assert decisions.is_any_compared([result(state), result("fail")])


def spread(times_by: float, questions: int = 400, factor: float = 1.0) -> dict[str, float]:
    """Latencies of which one in ten takes `times_by` as long."""
    return {f"q{i}": factor * (times_by if i % 10 == 0 else 1.0) * (1 + 0.001 * (i % 7)) for i in range(questions)}


def test_a_percentile_is_compared_by_itself() -> None:
    """One answer in ten takes three times as long, and then four times: the mean is 8% higher, p95 is a third."""
    quiet = RunNoise(sd=0.01, df=20)
    found = decisions._tail(95, 0.15, spread(4.0), spread(3.0), quiet)
    assert found.state == "fail" and found.change == pytest.approx(1 / 3, abs=0.01)
    assert found.old == pytest.approx(3.0, abs=0.03) and found.new == pytest.approx(4.0, abs=0.03)
    assert decisions._tail(95, 0.15, spread(3.0), spread(3.0), quiet).state == "pass"
    assert decisions._tail(95, 0.15, spread(3.0), spread(4.0), quiet).state == "improved"
    assert found == decisions._tail(95, 0.15, spread(4.0), spread(3.0), quiet)  # the same draws each time


def test_training_differs_by_more_than_runs_do_or_not() -> None:
    noise = RunNoise(sd=0.02, df=20)
    worse = decisions._figures(0.10, [130.0], [100.0], noise)
    assert (worse.state, worse.old, worse.new) == ("fail", 100.0, 130.0) and worse.change == pytest.approx(0.3)
    assert decisions._figures(0.10, [101.0], [100.0], noise).state == "pass"
    assert decisions._figures(0.10, [130.0], [100.0], None).state == "inconclusive"  # how much runs differ is not known
    assert decisions._figures(0.10, [0.5], [0.5], noise).state == "pass"  # less than one second, or one byte


def test_gaps_of_a_seed_are_zeros_unless_they_are_excused() -> None:
    gappy = np.array([[1.0, np.nan, 0.5], [1.0, 0.8, np.nan]])
    column = Column(["a", "b", "c"], np.zeros((2, 3)), ["a", "b", "c"], ["all"] * 3, gappy)
    found = without_gaps(column, {"c"})
    assert found.values.tolist() == [[1.0, 0.0, 0.5], [1.0, 0.8, 0.5]] and found.gappy is None
    assert found.questions == column.questions and without_gaps(found, {"c"}) is found


def test_few_that_differ_beside_known_points() -> None:
    """No question of fifty differs: one in seventeen could at most, exactly. Points are added as they are."""
    none = Few(0.0, 0.0, 50.0)
    assert none.interval(0.90)[1] == pytest.approx(1 - 0.05 ** (1 / 50)) and none.interval(0.90)[0] < -0.05
    assert none.one_sided(0.05)[1] == pytest.approx(0.95**50, rel=1e-3)
    moved = Shifted(none, 0.02)
    low, high = none.interval()
    assert moved.interval() == (pytest.approx(low + 0.02), pytest.approx(high + 0.02)) and moved.method == none.method
    assert moved.one_sided(0.05) == pytest.approx(none.one_sided(0.03))
    assert moved.p == pytest.approx(min(1.0, 2 * min(none.one_sided(-0.02)))) and math.isclose(
        Shifted(none, 0.0).p, 1.0
    )


def test_of_seeds_and_few_clusters_the_wider_counts_at_each_end() -> None:
    few = Few(0.3, 0.1, 50.0)
    for spread in (Spread(0.2, 0.001, 10.0), Spread(0.2, 0.5, 10.0), Spread(0.4, 0.05, 10.0)):
        guarded, ends = Guarded(spread, few), (spread.interval(0.9), few.interval(0.9))
        assert guarded.interval(0.9) == (min(low for low, _ in ends), max(high for _, high in ends))
        sides = spread.one_sided(0.05), few.one_sided(0.05)
        assert guarded.one_sided(0.05) == (max(over for over, _ in sides), max(under for _, under in sides))
