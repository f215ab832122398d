"""Charts over several runs of one dataset: quality, latency and memory of each system, beside the accepted baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import altair as alt

from bench.core.display import share, size, span
from bench.report.charts.draw import COLOURS, FAMILIES, Figure, Row, data, figure, panels

MOST = 12  # systems that have a row of charts
WIDTH, HEIGHT = 240, 54  # pixels of one chart
MEASURES = {"quality": share, "latency": span, "memory": size}  # and how a figure of it is shown
UNITS = {"quality": 1.0, "latency": 1000.0, "memory": 1e-6}  # of an axis: ms and MB


@dataclass(frozen=True)
class Point:
    """A system in one of the runs, which are numbered in the order of time; seconds and bytes."""

    system: str
    family: str
    number: int
    run: str
    quality: float | None
    latency: float | None
    memory: float | None


@dataclass(frozen=True)
class Accepted:
    """A baseline: system -> measure -> its figure, of a dataset known by its digest."""

    name: str
    dataset: str
    figures: Mapping[str, Mapping[str, float]]


def history(points: Sequence[Point], baseline: Accepted | None, *, what: str, measure: str) -> Figure | None:
    """A row of small charts a system, each from run to run, with the baseline as a dashed line."""
    by_system: dict[str, list[Point]] = {}
    for point in points:
        by_system.setdefault(point.system, []).append(point)
    names = [name for name, found in by_system.items() if len(found) > 1][:MOST]
    if not names:
        return None
    accepted = baseline.figures if baseline else {}

    def drawn(narrow: bool) -> Any:
        return alt.vconcat(
            *(
                _line(by_system[name], accepted.get(name, {}), measure if narrow or not n else None, narrow=narrow)
                for n, name in enumerate(names)
            ),
            spacing=6,
        )

    beside = f"; dashed: the baseline {baseline.name}" if baseline else ""
    runs = max(point.number for point in points)
    return figure(
        f"{what}: {runs} runs in the order of time, each system on its own axes{beside}",
        drawn,
        ("System", "Run", measure, "Median latency", "Peak memory"),
        [
            (p.system, p.run, *(show(getattr(p, m)) for m, show in MEASURES.items()))
            for n in names
            for p in by_system[n]
        ],
        [asdict(p) for n in names for p in by_system[n]],
    )


def _line(points: Sequence[Point], accepted: Mapping[str, float], measure: str | None, *, narrow: bool) -> Any:
    """The charts of one system; the first row carries their titles."""
    titles = {"quality": measure, "latency": "Median latency, ms", "memory": "Peak memory, MB"}
    charts = [_small(points, key, accepted.get(key), titles[key] if measure else None) for key in MEASURES]
    return panels(charts, narrow=narrow, spacing=24)


def _small(points: Sequence[Point], key: str, accepted: float | None, title: str | None) -> Any:
    unit = UNITS[key]
    found = [(p.number, value) for p in points if (value := getattr(p, key)) is not None]
    rows: list[Row] = [{"n": number, "y": unit * value} for number, value in found]
    said = [{**rows[-1], "text": MEASURES[key](found[-1][1])}] if rows else []
    x = alt.X("n:Q", title=None, axis=None, scale=alt.Scale(domain=[0.8, points[-1].number + 1.2]))
    label = alt.Axis(tickCount=2, format=".3~g", titleAngle=0, titleAlign="right")
    name = points[0].system if key == "quality" else None
    y = alt.Y("y:Q", title=name, axis=label, scale=alt.Scale(zero=False, nice=True, padding=6))
    ink = COLOURS[FAMILIES.index(points[0].family)]
    layers = [
        data(rows).mark_line(color=ink, strokeWidth=2).encode(x=x, y=y),
        data(rows).mark_point(color=ink, filled=True, size=30, opacity=1).encode(x=x, y=y),
        data(said).mark_text(align="left", dx=6, dy=-7, fontSize=11).encode(x=x, y=y, text="text:N"),
    ]
    if accepted is not None:
        layers.insert(0, data([{"y": unit * accepted}]).mark_rule(strokeDash=[4, 3], color="#6b7280").encode(y=y))
    drawn = alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)
    return drawn.properties(title=alt.Title(title, fontSize=12, anchor="start")) if title else drawn
