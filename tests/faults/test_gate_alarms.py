"""Runs that did not change, of systems that vary in ways of their own: the gate fails none, or says it cannot tell."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from bench.gate.decisions import gate, verdict
from bench.gate.noise import floors, run_noise
from bench.gate.rules import Rule, Rules
from bench.gate.snapshot import Snapshot, SystemSnapshot, Values

EM = Rules(rules=(Rule(metric="em", margin=0.02),))
LATENCY = Rules(rules=(Rule(metric="p50_latency_s", margin=0.1),))


def run(systems: dict[str, SystemSnapshot]) -> Snapshot:
    machine: dict[str, Any] = {"cpu": "x", "cores": 2, "threads": 2, "gpus": []}
    return Snapshot("run", "data", "spec", machine, {}, "em", systems)


def calibrated(repeats: list[Snapshot]) -> Snapshot:
    return replace(repeats[0], noise=run_noise(repeats), floors=floors(repeats))


def trained(rng: np.random.Generator, seeds: int, *, mean: float = 0.7, n: int = 500) -> SystemSnapshot:
    """A system that each training makes better or worse by three points."""
    ids = [f"q{i}" for i in range(n)]
    rows = [(rng.random(n) < mean + 0.03 * rng.normal()).astype(float).tolist() for _ in range(seeds)]
    return SystemSnapshot("done", seeds, {"em": Values(ids, ids, rows)}, {}, {"step_s": [1.0] * seeds})


def states(new: Snapshot, old: Snapshot, rules: Rules) -> list[str]:
    return [result.state for result in gate(new, old, rules)]


def test_one_training_against_another_fails_only_where_repeats_were_seen() -> None:
    rng = np.random.default_rng(1)
    once = Counter(verdict(gate(run({"l": trained(rng, 1)}), run({"l": trained(rng, 1)}), EM)) for _ in range(60))
    assert not once["fail"] and once["inconclusive"]
    told = [g for _ in range(60) for g in gate(run({"l": trained(rng, 1)}), run({"l": trained(rng, 1)}), EM)]
    assert any("how much one training differs from another is not known" in g.why for g in told)
    fails = 0
    for _ in range(100):
        repeats = [run({f"l{i}": trained(rng, 1) for i in range(5)}) for _ in range(3)]
        again = run({f"l{i}": trained(rng, 1) for i in range(5)})
        fails += verdict(gate(again, calibrated(repeats), EM)) == "fail"
    assert fails <= 10
    repeats = [run({"l": trained(rng, 1)}) for _ in range(8)]
    assert states(run({"l": trained(rng, 1, mean=0.3)}), calibrated(repeats), EM) == ["fail"]


def test_what_repeats_alike_fails_on_a_loss() -> None:
    """Trainings that repeat to the bit, as on one machine they do, leave nothing to a training's noise."""
    rng = np.random.default_rng(2)
    one, worse = trained(rng, 1), trained(rng, 1, mean=0.5)
    assert states(run({"l": worse}), calibrated([run({"l": one})] * 3), EM) == ["fail"]


def answered(rng: np.random.Generator, share: float, right: float = 0.9) -> SystemSnapshot:
    """Values of the questions that it answers, and none of the others."""
    ids = [f"q{i}" for i in np.flatnonzero(rng.random(400) < share)]
    values = Values(ids, ids, [(rng.random(len(ids)) < right).astype(float).tolist()])
    return SystemSnapshot("done", 1, dict.fromkeys(("k_precision", "answer_accuracy"), values), {}, {})


def test_other_questions_left_without_an_answer_are_no_failure() -> None:
    rng = np.random.default_rng(3)
    precision, judged = (Rules(rules=(Rule(metric=m, margin=0.05),)) for m in ("k_precision", "answer_accuracy"))
    found = Counter(
        verdict(gate(run({"s": answered(rng, 0.95)}), run({"s": answered(rng, 0.95)}), precision)) for _ in range(100)
    )
    assert found["fail"] <= 5
    assert "errored" not in states(run({"s": answered(rng, 0.97)}), run({"s": answered(rng, 0.97)}), judged)
    less = run({"s": answered(rng, 0.6)})  # a third of the answers are gone, and count as 0
    assert states(less, run({"s": answered(rng, 0.95)}), precision) == ["fail"]
    assert states(less, run({"s": answered(rng, 0.95)}), judged) == ["inconclusive"]


def test_a_bound_of_quality_holds_where_its_interval_does() -> None:
    rng, ids = np.random.default_rng(4), [f"q{i}" for i in range(200)]
    bound = Rules(rules=(Rule(metric="em", min=0.68),))

    def told(share: float) -> str:
        values = Values(ids, ids, [(rng.random(200) < share).astype(float).tolist()])
        one = run({"s": SystemSnapshot("done", 1, {"em": values}, {}, {})})
        return verdict(gate(one, one, bound))

    found = Counter(told(0.7) for _ in range(200))
    assert found["fail"] <= 10 and found["inconclusive"]
    assert told(0.5) == "fail" and told(0.9) == "pass"


def timed(seconds: np.ndarray, rng: np.random.Generator, sd: float, slower: float = 1.0) -> SystemSnapshot:
    factor = slower * rng.lognormal(0, sd)
    latency = {f"q{i}": float(s * factor * rng.lognormal(0, 0.02)) for i, s in enumerate(seconds)}
    return SystemSnapshot("done", 1, {}, latency, {})


def test_one_restless_system_among_quiet_ones_fails_no_gate() -> None:
    """Nine systems repeat within 1%, and one, such as an endpoint, within 30%."""
    rng, fails, lost = np.random.default_rng(5), 0, 0
    for _ in range(100):
        seconds = rng.lognormal(-3, 0.3, 30)

        def once(slower: float = 1.0, seconds: np.ndarray = seconds) -> Snapshot:
            return run({f"s{i}": timed(seconds, rng, 0.01 if i else 0.3, slower if i == 1 else 1.0) for i in range(10)})

        base = calibrated([once() for _ in range(4)])
        fails += "fail" in states(once(), replace(base, floors={}), LATENCY)
        lost += "fail" not in states(once(1.3), replace(base, floors={}), LATENCY)
    assert fails <= 10 and lost <= 5


def test_two_restless_systems_do_not_hide_each_other() -> None:
    rng, fails = np.random.default_rng(7), 0
    for _ in range(100):
        seconds = rng.lognormal(-3, 0.3, 30)

        def once(seconds: np.ndarray = seconds) -> Snapshot:
            return run({f"s{i}": timed(seconds, rng, 0.3 if i < 2 else 0.01) for i in range(8)})

        base = calibrated([once() for _ in range(3)])
        fails += "fail" in states(once(), replace(base, floors={}), LATENCY)
    assert fails <= 10


def test_a_tail_is_judged_by_what_tails_differ_by() -> None:
    """The slowest tenth differs from run to run by 30%, the median by 1%."""
    rng, fails = np.random.default_rng(8), 0
    tail = Rules(rules=(Rule(metric="p95_latency_s", margin=0.1),))
    seconds = rng.lognormal(-3, 0.3, 200)

    def once() -> Snapshot:
        slow = np.where(np.arange(200) < 20, 3 * rng.lognormal(0, 0.3), 1.0)
        return run({"s": timed(seconds * slow, rng, 0.01)})

    for _ in range(60):
        fails += "fail" in states(once(), calibrated([once() for _ in range(3)]), tail)
    assert fails <= 6


def test_a_type_of_question_has_a_training_noise_of_its_own() -> None:
    rng = np.random.default_rng(9)
    of_jargon = Rules(rules=(Rule(metric="em", margin=0.05, stratum="jargon"),))
    ids, strata = [f"q{i}" for i in range(800)], ["jargon"] * 200 + ["docs"] * 600

    def once() -> Snapshot:
        levels = np.r_[np.full(200, 0.6 + 0.06 * rng.normal()), np.full(600, 0.7)]
        values = Values(ids, ids, [(rng.random(800) < levels).astype(float).tolist()], strata)
        return run({"l": SystemSnapshot("done", 1, {"em": values}, {}, {"step_s": [1.0]})})

    assert not any("fail" in states(once(), calibrated([once() for _ in range(3)]), of_jargon) for _ in range(60))


def test_without_calibration_a_loss_that_is_not_ruled_out_is_no_pass() -> None:
    """Thirty questions whose times differ by a factor of two and more, 9% slower: 25% may well be."""
    rng = np.random.default_rng(6)
    seconds = rng.lognormal(-3, 0.3, 30)
    before = {f"q{i}": float(s) for i, s in enumerate(seconds)}
    now = {q: float(s * rng.lognormal(0.05, 0.9)) for q, s in before.items()}
    one, other = (run({"s": SystemSnapshot("done", 1, {}, latency, {})}) for latency in (before, now))
    (found,) = gate(other, one, LATENCY)
    assert found.high is not None and found.high > 0.1 and found.state == "inconclusive"
