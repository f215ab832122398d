"""Charts as static inline SVG: Altair drawn by vl-convert when the page is built. No script reaches the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.report.charts import costs, machine, quality
from bench.report.charts.draw import Figure
from bench.scoring.grade import METRICS


def all_of(
    done: Mapping[str, Any],
    scores: Mapping[str, Any],
    volumes: Mapping[str, float],
    reference: str | None,
    seconds: Mapping[str, Sequence[float]],
    traces: Mapping[str, Mapping[str, Any]],
) -> dict[str, Figure]:
    """The page's charts by name; one that has nothing to show is left out."""
    metric, title = scores["headline"], METRICS[scores["headline"]][0]
    against = [p for p in scores["compared"].get(metric, ()) if reference in (p["a"], p["b"])]
    growth = scores["scenarios"]["data"]
    drawn = {
        "side_by_side": quality.side_by_side(done, metric, title),
        "tradeoff": quality.tradeoff(done, scores["recommendation"], title),
        "forest": quality.forest(against, reference, title) if reference and against else None,
        "data": quality.learning(growth, METRICS[growth["metric"]][0]) if growth else None,
        "break_even": costs.break_even(done, scores["recommendation"], volumes),
        "latencies": machine.latencies(done, seconds),
        "memory": machine.memory(traces),
        "build": machine.build(done),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}
