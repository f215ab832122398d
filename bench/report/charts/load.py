"""Charts of systems under load: latency and throughput over the number of askers, or of arrivals a second."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from bench.core.display import count, percent, span
from bench.report.charts.draw import (
    DIRECT,
    LEGEND,
    NARROW,
    Figure,
    Row,
    data,
    figure,
    names_beside,
    panels,
    shades,
)
from bench.scoring.schema import Loaded, MeasuredSystem

WIDTH, HEIGHT = 300, 170  # pixels of a panel
LEVELS = {"closed": "Askers at once", "open": "Arrivals a second"}
PERCENTILES = {"p50_s": [1, 0], "p95_s": [5, 3]}  # and the dashes of their lines


def under_load(done: Mapping[str, MeasuredSystem]) -> Figure | None:
    """The latency and the throughput of every system that was asked so; None where none was."""
    found = {name: system.load for name, system in done.items() if system.load}
    if not found:
        return None
    colours = shades({name: done[name].shown_family for name in found})
    scale = alt.Scale(domain=list(found), range=colours)
    colour = alt.Color("system:N", scale=scale, legend=None if len(found) <= DIRECT else LEGEND)
    by_mode = {mode: {name: [at for at in load if at.mode == mode] for name, load in found.items()} for mode in LEVELS}

    def drawn(narrow: bool) -> Any:
        width = NARROW - 20 if narrow else WIDTH
        rows = [
            panels(
                list(filter(None, (draw(levels, mode, colour, width) for draw in (_latency, _throughput)))),
                narrow=narrow,
                spacing=110,
            )
            for mode, levels in by_mode.items()
            if any(levels.values())
        ]
        return alt.vconcat(*rows, spacing=20)

    return figure(
        _told(found),
        drawn,
        (
            "System",
            "Load",
            "p50",
            "p95",
            "First token p50",
            "First token p95",
            "Answers/s",
            "Goodput/s",
            "In time",
            "Asked",
            "Failed",
        ),
        [
            (
                name,
                f"{at.level:g} {'askers' if at.mode == 'closed' else 'a second'}",
                *(span(s) for s in (at.p50_s, at.p95_s, at.first_p50_s, at.first_p95_s)),
                *(count(n) for n in (at.throughput, at.goodput)),
                percent(at.within),
                str(at.n),
                str(at.failed),
            )
            for name, load in found.items()
            for at in load
        ],
        [
            {
                "system": name,
                **at.model_dump(include={"mode", "level", *PERCENTILES, "throughput", "goodput", "n", "failed"}),
            }
            for name, load in found.items()
            for at in load
        ],
    )


def _told(found: Mapping[str, Sequence[Loaded]]) -> str:
    """The most answers a second of any system; in time, where there is a need."""
    every = [
        (at.throughput if at.goodput is None else at.goodput, name, at) for name, load in found.items() for at in load
    ]
    most, name, at = max(every, key=lambda item: item[0])
    within = f" within {span(at.need_s)}" if at.need_s is not None else ""
    level = f"{at.level:g} {'askers at once' if at.mode == 'closed' else 'arrivals a second'}"
    return f"Most answers a second{within}: {count(most)}, by {name} with {level}"


def _latency(levels: Mapping[str, Sequence[Loaded]], mode: str, colour: Any, width: int) -> Any:
    rows = [
        {"system": name, "level": at.level, "ms": 1000 * seconds, "which": which}
        for name, load in levels.items()
        for at in load
        for which in PERCENTILES
        if (seconds := getattr(at, which)) is not None
    ]
    dash = alt.StrokeDash(
        "which:N", scale=alt.Scale(domain=list(PERCENTILES), range=list(PERCENTILES.values())), legend=None
    )
    title = "ms (log): p50, dashed p95"
    return _panel(rows, "ms", mode, title, colour, width, log=True, dash=dash)


def _throughput(levels: Mapping[str, Sequence[Loaded]], mode: str, colour: Any, width: int) -> Any:
    needed = any(at.goodput is not None for load in levels.values() for at in load)
    rows = [
        {"system": name, "level": at.level, "rate": at.goodput if needed else at.throughput, "which": "p50_s"}
        for name, load in levels.items()
        for at in load
    ]
    return _panel(rows, "rate", mode, f"Answers a second{' in time' if needed else ''}", colour, width, log=False)


def _panel(
    rows: Sequence[Row], of: str, mode: str, title: str, colour: Any, width: int, *, log: bool, dash: Any = None
) -> Any:
    """Lines over the levels, named at their ends where they are few."""
    known = [row[of] for row in rows]
    if not known:  # too few answers for a percentile
        return None
    edges = [min(known) / 1.2, max(known) * 1.2] if log else [0.0, 1.1 * max(known) or 1.0]
    scale = alt.Scale(type="log", domain=edges, nice=False) if log else alt.Scale(domain=edges, nice=False)
    levels = sorted({row["level"] for row in rows})
    x = alt.X("level:O", title=LEVELS[mode], sort=levels, axis=alt.Axis(labelAngle=0, format="~g"))
    y = alt.Y(f"{of}:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5, format=".3~r"))
    base = data(rows).encode(x=x, y=y, color=colour)
    line = base.mark_line(strokeWidth=2).encode(strokeDash=dash) if dash is not None else base.mark_line(strokeWidth=2)
    points = base.mark_point(filled=True, size=40, opacity=1)
    ends = list({row["system"]: row for row in rows if row["which"] == "p50_s"}.values())
    said = names_beside(ends, [_height(row[of], edges, log) for row in ends], HEIGHT, x=x)
    return alt.layer(line, points, *said).properties(width=width, height=HEIGHT)


def _height(value: float, edges: Sequence[float], log: bool) -> float:
    """Pixels from the top of a panel."""
    low, high, at = (math.log(max(v, 1e-9)) if log else v for v in (*edges, value))
    return HEIGHT * (high - at) / (high - low)
