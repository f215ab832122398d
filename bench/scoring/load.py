"""What a system did under each level of load, from the samples that its cell took."""

from __future__ import annotations

from collections.abc import Sequence

from bench.execution.cell_result import LoadLevel
from bench.scoring.schema import Loaded
from bench.spec.model import Needs
from bench.stats.intervals import percentile


def loaded(levels: Sequence[LoadLevel], needs: Needs) -> tuple[Loaded, ...]:
    """Each level's latencies, throughput, and goodput at the spec's latency need, of the highest percentile that has
    one.

    Goodput counts what was answered in time (Zhong et al. 2401.09670); what failed was not.
    """
    need_s = needs.p95_latency_s or needs.p90_latency_s or needs.p50_latency_s
    return tuple(_loaded(level, need_s) for level in levels)


def _loaded(at: LoadLevel, need_s: float | None) -> Loaded:
    answered = [(due, first, whole) for due, first, whole, failed in at.samples if not failed]
    in_time = [(due, whole) for due, _, whole in answered if need_s is not None and whole <= need_s]
    whole_s = [whole for _, _, whole in answered]
    first_s = [first for _, first, _ in answered if first is not None]

    def rate(ends: Sequence[float]) -> float:
        return sum(end <= at.seconds for end in ends) / at.seconds

    return Loaded(
        mode=at.mode,
        level=at.level,
        n=len(at.samples),
        failed=len(at.samples) - len(answered),
        first_p50_s=percentile(first_s, 50),
        first_p95_s=percentile(first_s, 95),
        p50_s=percentile(whole_s, 50),
        p95_s=percentile(whole_s, 95),
        throughput=rate([due + whole for due, _, whole in answered]),
        need_s=need_s,
        goodput=None if need_s is None else rate([due + whole for due, whole in in_time]),
        within=None if need_s is None or not at.samples else len(in_time) / len(at.samples),
    )
