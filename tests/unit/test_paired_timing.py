"""V10: slowdowns planted in a stub trainer are measured, and the claim is decided from them."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest

from bench.execution.run_file import SystemEntry, read_run
from bench.scoring.schema import Slowdown
from bench.stats import paired_timing
from bench.verdict import claims
from bench.verdict.evidence import Evidence
from bench.verdict.score import read_scores
from tests.golden.make import STORED


class Clock:
    """The clock that the steps are timed by: the load of the machine that runs the test does not reach it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.noise = random.Random("steps")

    def perf_counter(self) -> float:
        return self.now

    def step(self, seconds: float) -> None:
        """A step that takes about this long, 3% of noise around it."""
        self.now += seconds * self.noise.lognormvariate(0.0, 0.03)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(paired_timing, "time", made)
    return made


def measured(clock: Clock, slower: float, *, pairs: int = 25, step_s: float = 0.01) -> dict[str, Any]:
    steps = partial(clock.step, step_s), partial(clock.step, step_s * (1 + slower))
    return dict(paired_timing.ratio(paired_timing.in_turns(*steps, pairs=pairs)))


def claim(clock: Clock, slower: float) -> claims.Finding:
    """What the ledger says of three sizes with the same slowdown."""
    points = [
        {**measured(clock, slower), "tokens": t, "rows": 1, "lora_s": 1.0, "qlora_s": 1.0} for t in (128, 512, 2048)
    ]
    facts = Slowdown(
        model="stub",
        random_weights=True,
        device="cpu",
        recipe={},
        points=points,
        memory_of="GPU allocated",
        memory={"lora_bytes": 2e9, "qlora_bytes": 1e9},
    )
    evidence = Evidence(read_run(STORED), {}, {}, {"slowdown": (facts,)}, "em", {})
    found = claims.qlora_slower(evidence)
    assert found is not None
    memory = claims.qlora_memory(evidence)
    assert memory is not None and memory.status == "confirmed"
    return found


@pytest.mark.parametrize(
    ("slower", "status"), [(0.0, "refuted"), (0.1, "refuted"), (0.3, "confirmed"), (0.6, "refuted")]
)
def test_planted_slowdowns(clock: Clock, slower: float, status: str) -> None:
    assert measured(clock, slower)["ratio"] == pytest.approx(1 + slower, abs=0.04)
    assert claim(clock, slower).status == status


def test_who_goes_first_alternates() -> None:
    order: list[str] = []
    paired_timing.in_turns(lambda: order.append("a"), lambda: order.append("b"), pairs=4, warmup=1)
    assert "".join(order) == "ab" + "abba" * 2


def test_a_drifting_machine_does_not_bias_the_ratio(clock: Clock) -> None:
    """Steps get slower by half over the run; two separate training times would differ, the ratio of turns does not."""

    def step(base: float) -> None:
        clock.step(base * (1 + clock.now))

    pairs = paired_timing.in_turns(partial(step, 0.004), partial(step, 0.004), pairs=41)
    assert paired_timing.ratio(pairs)["ratio"] == pytest.approx(1.0, abs=0.03)


def test_a_confounded_pair_is_refused() -> None:
    lora = {"precision": "native", "rank": 16, "rows": 1, "gradient_checkpointing": False}
    paired_timing.matched(lora, {**lora, "precision": "nf4"}, but="precision")
    with pytest.raises(ValueError, match="rows \\(1 against 4\\)"):
        paired_timing.matched(lora, {**lora, "precision": "nf4", "rows": 4}, but="precision")
    with pytest.raises(ValueError, match="gradient_checkpointing"):
        paired_timing.matched(lora, {**lora, "gradient_checkpointing": True}, but="precision")


def test_few_pairs_have_no_interval() -> None:
    assert paired_timing.ratio([(1.0, 2.0)] * 7)["low"] is None
    assert paired_timing.ratio([(1.0, 2.0)] * 8)["low"] == 2.0


@pytest.mark.parametrize(
    ("slower", "status"),
    [(0.8, "inconclusive"), (1.0, "inconclusive"), (1.2, "inconclusive"), (1.7, "confirmed"), (0.5, "refuted")],
)
def test_latencies_of_two_processes_decide_only_what_no_drift_explains(slower: float, status: str) -> None:
    """Cells run one after the other: a machine that got busier in between must not decide a claim."""
    precisions = {"rag": "native", "four": "nf4"}
    systems = {n: SystemEntry(kind="rag", config={"precision": p}) for n, p in precisions.items()}
    stored = read_run(STORED).model_copy(update={"systems": systems})
    done = dict.fromkeys(systems, read_scores(STORED).measured["right"])
    latency = {"rag": {f"q{i}": 0.1 for i in range(64)}, "four": {f"q{i}": 0.1 * slower for i in range(64)}}
    found = claims.four_bit_slower(Evidence(stored, done, {n: {} for n in systems}, {}, "em", latency))
    assert found is not None and found.status == status
