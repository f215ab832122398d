"""The reference work between what is timed: it takes away what a machine does to both, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.core import meters, reference
from bench.gate.decisions import gate, verdict
from bench.gate.noise import check_margins, floors, run_noise
from bench.gate.rules import Rule, Rules
from bench.gate.snapshot import Snapshot, SystemSnapshot
from bench.scoring.schema.gate import Result

TIMES = Rules(rules=(Rule(metric="p50_latency_s", margin=0.1), Rule(metric="step_s", margin=0.1)))
SYSTEMS = 6


def run(
    rng: np.random.Generator,
    *,
    machine: float = 1.0,
    slower: float = 1.0,
    sd: float = 0.08,
    beside: bool = True,
    device: str = "cpu",
    rounds: int = 3,
    both: float = 1.0,
) -> Snapshot:
    """A run on a machine that differs by `sd` from run to run, and by a third of it from one system to the next; what
    is done beside a time differs as it does, within 1%. `slower` is the first system alone, `both` the work too."""
    systems, whole = {}, machine * rng.lognormal(0, sd)
    for n in range(SYSTEMS):
        state = whole * rng.lognormal(0, sd / 3) * (both if n == 0 else 1.0)
        seconds = 0.05 * state * (slower if n == 0 else 1.0) * rng.lognormal(0, 0.01)
        latency = {f"q{i}": seconds * (1 + i / 50) for i in range(16)}
        work = 0.02 * state
        systems[f"s{n}"] = SystemSnapshot(
            "done",
            1,
            {},
            latency,
            {"step_s": [3 * seconds], "train_s": [300 * seconds]},
            {"answering": 0.02, "building": 0.02},
            {q: s / work for q, s in latency.items()} if beside else {},
            {"step_s": [3 * seconds / work], "train_s": [300 * seconds / work]} if beside else {},
            {"answering": work, "building": work} if beside else {},
            device,
            rounds,
        )
    return Snapshot("r", "data", "spec", {"cpu": "x"}, {"torch": "2"}, "em", systems)


def held(new: Snapshot, repeats: list[Snapshot]) -> list[Result]:
    old = replace(repeats[0], floors=floors(repeats), noise=run_noise(repeats))
    return gate(new, old, TIMES)


def test_a_restless_machine_passes_and_a_slower_system_fails() -> None:
    rng = np.random.default_rng(3)
    repeats = [run(rng) for _ in range(3)]
    check_margins(TIMES, floors(repeats))  # the margins hold above what repeats differ by beside the reference work
    assert verdict(held(run(rng), repeats)) == "pass"
    assert verdict(held(run(rng, machine=1.3), repeats)) == "pass"
    found = held(run(rng, slower=1.25), repeats)
    assert {(r.system, r.state) for r in found if r.state != "pass"} == {("s0", "fail")}
    said = next(r for r in found if r.state == "fail")
    assert said.new and said.new > 0.01 and "as the clock saw it" in said.why  # seconds, not shares of the work


def test_without_it_the_same_machine_tells_nothing() -> None:
    rng = np.random.default_rng(3)
    repeats = [run(rng, beside=False) for _ in range(3)]
    assert verdict(held(run(rng, slower=1.25, beside=False), repeats)) == "inconclusive"


def test_another_torch_is_another_work() -> None:
    rng = np.random.default_rng(3)
    repeats = [run(rng) for _ in range(3)]
    other = replace(run(rng, slower=1.25), versions={"torch": "3"})
    assert not [r for r in held(other, repeats) if "as the clock saw it" in r.why]


def test_beside_a_full_load_nothing_fails() -> None:
    rng = np.random.default_rng(3)
    repeats = [run(rng) for _ in range(3)]
    found = held(run(rng, machine=6.0, slower=1.25), repeats)
    assert {r.state for r in found if r.system == "s0"} == {"inconclusive"}
    assert any("too unlike it to tell" in r.why for r in found)
    quiet = held(
        run(rng), [run(rng, machine=6.0) for _ in range(3)]
    )  # nor is anything better where the baseline was so
    assert {r.state for r in quiet} == {"inconclusive"}


@pytest.mark.parametrize("other", [{"device": "cuda"}, {"rounds": 5}])
def test_what_is_not_alike_is_compared_by_the_clock(other: dict[str, Any]) -> None:
    rng = np.random.default_rng(3)
    repeats = [run(rng) for _ in range(3)]
    found = [r for r in held(run(rng, **other), repeats) if r.rule.startswith("p50")]
    assert not [r for r in found if "over the reference work" in r.why]


def test_a_system_that_slows_the_work_beside_it_does_not_pass() -> None:
    rng = np.random.default_rng(3)
    repeats = [run(rng, sd=0.02) for _ in range(3)]
    found = held(run(rng, sd=0.02, both=1.4), repeats)
    assert {r.state for r in found if r.system == "s0"} == {"inconclusive"}
    assert all("slower beside this system than beside the others" in r.why for r in found if r.system == "s0")
    assert {r.state for r in found if r.system != "s0"} == {"pass"}


def test_it_is_done_where_a_model_is_and_draws_no_random_number(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(meters, "_notes", {})
    assert reference.seconds() is None
    for device in ("endpoint", "cuda", "cpu"):
        meters.note("device", device)
        assert reference.seconds() is None  # a retriever has a device, and no model
    meters.note("parameters", 7)
    torch.manual_seed(1)
    reference.seconds()
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert (reference.seconds() or 0) > 0 and torch.rand(1) == drawn
    assert reference.middle([None, 3.0, 1.0, 2.0]) == 2.0 and reference.middle([None]) is None
