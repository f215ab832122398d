"""The needs of the spec against each system: met, missed, not decided by what was measured, or not measured."""

from __future__ import annotations

from collections.abc import Iterator

from bench.execution.cell_result import Number
from bench.scoring.grade import estimate
from bench.scoring.resources import latency_interval
from bench.scoring.schema import Costs, MeasuredSystem, Need, NeedState
from bench.spec.model import Needs
from bench.verdict.evidence import Evidence

PERCENTILES = {"p50_latency_s": 50, "p90_latency_s": 90, "p95_latency_s": 95}


def constraints(name: str, evidence: Evidence, costs: Costs, memory: Number | None) -> tuple[Need, ...]:
    """Each need of the spec against this system. A need is not decided where the 95% interval holds the limit."""
    system, needs = evidence.named[name], evidence.run.spec.needs
    latency = list(evidence.latency.get(name, {}).values())
    intervals = {"usd_per_month": costs.usd_per_month_interval}
    found = []
    for key, limit, value in _limits(system, needs, costs, memory):
        percent = PERCENTILES.get(key)
        ends = (
            latency_interval(latency, percent, system.speed.level, system.speed.level_interval)
            if percent
            else intervals.get(key)
        )
        found.append(_need(key, limit, value, ends))
    if needs.min_quality is not None:
        score = estimate(evidence.ranked[name])
        ends = (score.low, score.high) if score else None
        value = score.mean if score else None
        found.append(_need("min_quality", needs.min_quality, value, ends, at_least=True))
    if needs.provenance:
        found.append(_required("provenance", name in evidence.shows))
    if needs.data_stays:
        found.append(_required("data_stays", not system.endpoint))
    return tuple(found)


def _limits(
    system: MeasuredSystem, needs: Needs, costs: Costs, memory: Number | None
) -> Iterator[tuple[str, float, Number | None]]:
    """(need, limit, value) of every figure that the spec limits."""
    rows: tuple[tuple[str, float | None, Number | None], ...] = (
        ("p50_latency_s", needs.p50_latency_s, system.speed.p50_s),
        ("p90_latency_s", needs.p90_latency_s, system.speed.p90_s),
        ("p95_latency_s", needs.p95_latency_s, system.speed.p95_s),
        ("memory_bytes", needs.memory_bytes, memory),
        ("refresh_s", needs.refresh_s, costs.refresh_s),
        ("usd_per_month", needs.usd_per_month, costs.usd_per_month),
    )
    return ((key, limit, value) for key, limit, value in rows if limit is not None)


def _need(
    key: str, limit: float, value: Number | None, ends: tuple[float, float] | None, *, at_least: bool = False
) -> Need:
    """A limit against a figure with its interval; without an interval the figure alone decides."""
    if value is None:
        return Need(need=key, limit=limit, value=None, met=None, state="unmeasured")
    low, high = ends or (value, value)
    sign = 1 if at_least else -1
    worst, best = sorted((sign * low, sign * high))
    state: NeedState = "not decided"
    if worst >= sign * limit:
        state = "met"
    elif best < sign * limit:
        state = "missed"
    met = {"met": True, "missed": False}.get(state)
    return Need(need=key, limit=limit, value=value, met=met, state=state, low=low, high=high)


def _required(key: str, has: bool) -> Need:
    return Need(need=key, limit=True, value=has, met=has, state="met" if has else "missed")


def may_serve(needs: tuple[Need, ...]) -> bool:
    """Whether a system misses none of its needs, as far as was measured."""
    return all(need.state in ("met", "not decided") for need in needs)
