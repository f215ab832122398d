"""Charts as static inline SVG: Altair drawn by vl-convert when the page is built. No script reaches the page.

Holds charts of quality, of costs, and of the machine, and what they share (`draw`). Typed scores come in; figures, each
an SVG under the sentence that it shows and the table that it is drawn from, go out.
"""

from __future__ import annotations

from bench.metrics.registry import title
from bench.report.charts import costs, load, machine, quality
from bench.report.charts.draw import Figure
from bench.report.details import Details
from bench.scoring.schema import Scores
from bench.spec.model import Volumes


def all_of(scores: Scores, volumes: Volumes, reference: str | None, shown: Details) -> dict[str, Figure]:
    """The page's charts by name; one that has nothing to show is left out."""
    done, leading, growth = scores.measured, scores.headline, scores.scenarios.data
    against = [p for p in scores.compared.get(leading, ()) if reference in (p.a, p.b)]
    traces = {name: trace for name, trace in shown.traces.items() if name in done}
    drawn = {
        "types": quality.by_type(done, scores.recommendation, title(leading)),
        "tradeoff": quality.tradeoff(done, scores.recommendation, title(leading)),
        "forest": quality.forest(against, reference, title(leading)) if reference and against else None,
        "data": quality.learning(growth, title(growth.metric)) if growth else None,
        "break_even": costs.break_even(done, scores.recommendation, volumes),
        "latencies": machine.latencies(done, shown.latencies),
        "memory": machine.memory(traces),
        "build": machine.build(done),
        "load": load.under_load(done),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}
