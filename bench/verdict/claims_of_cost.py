"""Rules of the claims on what systems take: time and memory of QLoRA and of 4-bit weights."""

from __future__ import annotations

import math
import statistics

from bench.scoring.schema import Slowdown, SlowdownPoint
from bench.scoring.schema.scenarios import REPEATS
from bench.stats import intervals
from bench.verdict.claim_terms import (
    DRIFT,
    Finding,
    first,
    rag,
)
from bench.verdict.evidence import Evidence
from bench.verdict.noise import Noise

ABOUT = (1.15, 1.45)  # what "about 30% slower" may mean
SMALLEST = 100_000_000  # parameters, below which weights are too small a part of what training holds


def slowdowns(evidence: Evidence) -> list[Slowdown]:
    """What the experiments on the QLoRA slowdown found, one a model."""
    return [facts for found in evidence.experiments.values() for facts in found if isinstance(facts, Slowdown)]


def qlora_slower(evidence: Evidence) -> Finding | None:
    """Confirmed where every interval lies inside "about 30%", refuted where one lies outside: the answer is a curve."""
    found = slowdowns(evidence)
    alike = [facts for facts in found if not facts.whole_recipe] or found  # the precision alone, where it is told
    points = [(facts, point) for facts in alike for point in facts.points]
    if not points:
        return None
    measured = "; ".join(
        f"{facts.model} on {facts.device}, {point.tokens:,} tokens a step: "
        f"ratio {point.ratio:.2f} {_ends_as_text(point)}"
        for facts, point in points
    )
    ends = [(point.low, point.high) if point.low and point.high else (0.0, math.inf) for _, point in points]
    inside = [ABOUT[0] <= low and high <= ABOUT[1] for low, high in ends]
    outside = [high < ABOUT[0] or low > ABOUT[1] for low, high in ends]
    if all(inside):
        return Finding("confirmed", measured)
    if any(outside):
        curve = "It depends on the tokens of a step: not every size refutes it, and the answer is a curve."
        return Finding("refuted", measured, "" if all(outside) else curve)
    steps = max(point.pairs for _, point in points)
    return Finding(
        "inconclusive", measured, f"It takes more than {steps} pairs of steps at each size, or a quieter machine."
    )


def _ends_as_text(point: SlowdownPoint) -> str:
    if point.low is None or point.high is None:
        return f"(no interval from {point.pairs} pairs)"
    return f"({point.low:.2f} to {point.high:.2f})"


def qlora_memory(evidence: Evidence) -> Finding | None:
    """Confirmed where QLoRA's peak is below LoRA's by more than 5% on every model, refuted where it is above on one.

    Models below 100 million parameters say nothing: their weights are a small part of the memory.
    """
    rows = [(facts, ratio) for facts in slowdowns(evidence) if (ratio := facts.memory.ratio)]
    if not rows:
        return None
    measured = "; ".join(
        f"{facts.model} on {facts.device}: peak {(facts.memory.lora_bytes or 0) / 1e9:.2f} to "
        f"{facts.memory.qlora_bytes / 1e9:.2f} GB{_at_most(facts)} (ratio {low:.2f} to {high:.2f}: "
        f"{_runs(facts.memory.runs)})"
        for facts, (low, high) in rows
    )
    ratios = [ratio for facts, ratio in rows if facts.parameters is None or facts.parameters >= SMALLEST]
    if not ratios:
        return Finding("inconclusive", measured, "It takes a model of 100 million parameters or more.")
    if all(high < 0.95 for _, high in ratios):
        return Finding("confirmed", measured)
    if any(low > 1.05 for low, _ in ratios):
        return Finding("refuted", measured)
    return Finding("inconclusive", measured, "The peaks are within 5% of each other, or of the noise of their runs.")


def _at_most(facts: Slowdown) -> str:
    """At how many tokens a step the peaks were taken, where that is known."""
    tokens = facts.recipe.get("tokens")
    return f" at {max(tokens):,} tokens a step" if tokens else ""


def _runs(number: int) -> str:
    """What the range of a ratio of peaks rests on."""
    return f"over {number} runs" if number > 1 else f"one run, and processes may differ by {REPEATS - 1:.0%}"


def qlora_70b(evidence: Evidence) -> Finding | None:
    """A 70B model trains in four bits within the 80 GB of one GPU."""
    rows = [facts for facts in slowdowns(evidence) if facts.model == "llama3-70b" and facts.device != "cpu"]
    if not rows:
        return None
    memory = rows[0].memory  # a card must hold what loading takes, too, and what torch does not see
    seen = (memory.qlora_bytes, memory.loading.get("qlora"), memory.process.get("qlora"))
    peak = max(bytes_ for bytes_ in seen if bytes_)
    most = max(rows[0].recipe.get("tokens") or [0])
    spare = (80e9 - peak) / 1e9
    measured = (
        f"peak {peak / 1e9:.1f} GB on {rows[0].device} with {most:,} tokens a step, {abs(spare):.1f} GB "
        f"{'below' if spare > 0 else 'above'} the 80 GB of one GPU"
    )
    if abs(peak / 80e9 - 1) < 0.05:
        return Finding("inconclusive", measured, "The peak is within 5% of the 80 GB, as two runs may differ.")
    return Finding("confirmed" if peak < 80e9 else "refuted", measured)


def four_bit_slower(evidence: Evidence) -> Finding | None:
    """Median over questions of the ratio of latencies, one question at a time, with the interval of its ranks; batches
    are told beside."""
    four, plain = first(evidence, "rag", precision="nf4"), rag(evidence)
    if not (four and plain):
        return None
    ratios = evidence.ratios(four, plain)
    interval = intervals.median_interval(ratios)
    if interval is None:
        return None
    low, high = interval
    measured = (
        f"latency of {four} over {plain}, one question at a time: median ratio {statistics.median(ratios):.2f} "
        f"(95% interval {low:.2f} to {high:.2f}, n = {len(ratios)})"
    )
    rates = [evidence.named[name].speed.questions_per_s for name in (four, plain)]
    if all(rates):
        measured += f"; in batches {rates[0]:.3g} against {rates[1]:.3g} questions a second"
    timed = all(evidence.named[name].speed.rounds for name in (four, plain))
    drift = 10 ** Noise(evidence.named).between("latency", four, plain) if timed else DRIFT
    if low > drift:
        return Finding("confirmed", measured)
    if high < 1 / drift:
        return Finding("refuted", measured)
    how = "Rounds" if timed else "Two processes at two times"
    more = "a larger effect, or more rounds" if timed else "a larger effect, or `measure.rounds`"
    return Finding("inconclusive", measured, f"{how} differ by up to {100 * (drift - 1):.0f}% here; it takes {more}.")
