"""Charts of time and memory: every latency that was measured, memory over time, and what a build is made of."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from bench.core.display import count, size, span
from bench.execution.cell_result import Memory
from bench.report.charts.draw import (
    COLOURS,
    LINE,
    NARROW,
    ROW,
    Figure,
    Row,
    colour,
    data,
    figure,
    lines,
    panels,
    shape,
    spread,
)
from bench.scoring.resources import by_stage
from bench.scoring.schema import MeasuredSystem

HIGH = 95  # pixels of a panel of memory
WIDTH = 740  # pixels of a chart, without its names
MOST = 150  # marks a system: more say no more
Measured = Mapping[str, MeasuredSystem]


def latencies(done: Measured, seconds: Mapping[str, Sequence[float]]) -> Figure | None:
    """One mark for each question answered alone, and the median."""
    rows, medians, table = [], [], []
    for name, system in sorted(done.items(), key=lambda item: item[1].speed.p50_s or math.inf):
        found = sorted(seconds.get(name, ()))
        if not found:
            continue
        step = max(1, len(found) // MOST)
        rows += [{"system": name, "family": system.shown_family, "ms": 1000 * s} for s in (*found[::step], found[-1])]
        median = system.speed.p50_s
        if median is not None:
            medians.append({"system": name, "ms": 1000 * median})
        table.append((name, span(found[0]), span(median), span(found[-1]), count(len(found))))
    if not rows:
        return None
    names = [row[0] for row in table]
    ticks = data(rows).mark_tick(thickness=1.2, opacity=0.45, size=15)
    points = data(medians).mark_point(shape="diamond", size=70, filled=True, opacity=1, color="currentColor")
    families = [{"system": name, "family": done[name].shown_family} for name in names]
    beside = data(families).mark_text(align="left", dx=6, fontSize=11)

    def drawn(narrow: bool) -> Any:
        width = NARROW - 40 if narrow else WIDTH
        x = alt.X(
            "ms:Q",
            title="Latency of a question alone, ms (log)",
            scale=alt.Scale(type="log", nice=True),
            axis=alt.Axis(tickCount=3) if narrow else alt.Axis(),
        )
        layers = (
            ticks.encode(x=x, y=lines(names), color=colour(None)),
            points.encode(x=x, y=lines(names)),
            beside.encode(x=alt.value(width), y=lines(names), text="family:N"),
        )
        return alt.layer(*layers).properties(width=width, height=ROW * len(names))

    return figure(
        _between(medians),
        drawn,
        ("System", "Fastest", "Median", "Slowest", "Questions"),
        table,
        rows,
    )


def _between(medians: Sequence[Row]) -> str:
    if not medians:
        return "Latency of every question asked alone"
    slow, fast = (how(medians, key=lambda row: float(row["ms"])) for how in (max, min))
    low, high = span(fast["ms"] / 1000), span(slow["ms"] / 1000)
    return f"Median latency from {low} ({fast['system']}) to {high} ({slow['system']})"


def memory(traces: Mapping[str, Mapping[str, Memory]]) -> Figure | None:
    """Memory over time, a panel a system: of the process that trained, and of the one that answered."""
    drawn: dict[str, list[Row]] = {}
    table: list[tuple[str, ...]] = []
    peaks: dict[tuple[str, str], float] = {}
    gpu = any(point[2] is not None for found in traces.values() for m in found.values() for point in m.trace)
    for name, found in traces.items():
        rows: list[Row] = []
        for process, measured in found.items():
            points = [(s, on_gpu if gpu else rss, phase) for s, rss, on_gpu, phase in measured.trace]
            known = [(s, used, phase) for s, used, phase in points if used is not None]
            rows += [{"s": s, "mb": used / 1e6, "process": process, "phase": phase} for s, used, phase in known]
            peak = measured.peak_gpu_process_bytes if gpu else measured.peak_rss_growth_bytes
            peaks[name, process] = peak or 0
            table += [(name, process, *row) for row in _phases(known)]
        if rows:
            drawn[name] = rows
    if not drawn or not max(peaks.values()):
        return None
    most = 1.15 * max(row["mb"] for rows in drawn.values() for row in rows)
    longest = max(row["s"] for rows in drawn.values() for row in rows)
    drawn = dict(sorted(drawn.items(), key=lambda item: -max(row["mb"] for row in item[1])))
    (name, process), highest = max(peaks.items(), key=lambda item: item[1])

    def panels_of(narrow: bool) -> Any:
        found = [
            _panel(rows, system, most, longest, width=NARROW + 50 if narrow else 165) for system, rows in drawn.items()
        ]
        return alt.concat(*found, columns=1 if narrow else 4, spacing=14)

    return figure(
        f"{'GPU' if gpu else 'Resident'} memory of cells over time: at most {size(highest)} ({name}, while {process})",
        panels_of,
        ("System", "Process", "Phase", "Duration", "Highest sample"),
        table,
        [{"system": system, **row} for system, rows in drawn.items() for row in rows],
    )


def _phases(points: Sequence[tuple[float, int, str]]) -> list[tuple[str, str, str]]:
    """(phase, how long, highest sample) of a trace; a phase lasts until the next begins."""
    phases = [(phase, list(part)) for phase, part in itertools.groupby(points, key=lambda point: point[2])]
    ends = [part[0][0] for _, part in phases[1:]] + [points[-1][0]] if points else []
    return [
        (phase, span(end - part[0][0]), size(max(used for _, used, _ in part)))
        for (phase, part), end in zip(phases, ends, strict=True)
    ]


def _panel(rows: Sequence[Row], name: str, highest: float, longest: float, *, width: int) -> Any:
    """The memory of one system, up to the `highest` of all, over the seconds of the `longest`.

    Each line is named where it is highest.
    """
    processes = ["training", "answering"]
    colours = alt.Color("process:N", scale=alt.Scale(domain=processes, range=[COLOURS[2], COLOURS[1]]), legend=None)
    dashes = alt.Scale(domain=processes, range=[[4, 2], [1, 0]])
    x = alt.X("s:Q", title="s", axis=alt.Axis(tickCount=4), scale=alt.Scale(domain=[0, longest]))
    y = alt.Y("mb:Q", title="MB", axis=alt.Axis(tickCount=4), scale=alt.Scale(domain=[0, highest]))
    line = data(rows).mark_line(interpolate="step-after", strokeWidth=1.6)
    drawn = line.encode(x=x, y=y, color=colours, strokeDash=alt.StrokeDash("process:N", scale=dashes, legend=None))
    starts = [b for a, b in itertools.pairwise(rows) if a["process"] == b["process"] and a["phase"] != b["phase"]]
    marks = data(starts).mark_rule(strokeDash=[2, 2], color="#9aa2ad").encode(x="s:Q")
    peaks = [max((row for row in rows if row["process"] == p), key=lambda r: r["mb"], default=None) for p in processes]
    known = [row for row in peaks if row]
    middle = longest / 2
    places = spread([(HIGH * (1 - row["mb"] / highest) - LINE / 2, LINE) for row in known], HIGH)
    said = [
        data([row])
        .mark_text(align="left" if row["s"] < middle else "right", dx=3 if row["s"] < middle else -3, fontSize=11)
        .encode(x=x, y=alt.value(place), text="process:N")
        for row, place in zip(known, places, strict=True)
    ]
    title = alt.Title(name, fontSize=12, anchor="start", limit=180)
    return alt.layer(marks, drawn, *said).properties(width=width, height=HIGH, title=title)


def build(done: Measured) -> Figure | None:
    """What the seconds of a build are spent on: a panel each, all on one scale."""
    stages = {name: {s: v for s, v in by_stage(system.build).items() if v} for name, system in done.items()}
    whole = {name: s for name, found in stages.items() if found and (s := done[name].build.total_s)}
    names = sorted(whole, key=lambda name: -whole[name])
    if not names:
        return None
    parts = [part for part in by_stage(done[names[0]].build) if any(part in stages[name] for name in names)]
    panels_of = {"all": {name: whole[name] for name in names}}
    panels_of |= {part: {name: stages[name][part] or 0.0 for name in names if part in stages[name]} for part in parts}
    rows: dict[str, list[Row]] = {
        part: [{"system": name, "s": s, "family": done[name].shown_family} for name, s in found.items()]
        for part, found in panels_of.items()
    }
    every = [row["s"] for found in rows.values() for row in found]
    edges = alt.Scale(type="log", domain=[min(every) / 1.5, max(every) * 1.5])
    x = alt.X("s:Q", title="s (log)", scale=edges, axis=alt.Axis(tickCount=3, format="~g"))

    def drawn(narrow: bool) -> Any:
        width = NARROW if narrow else (WIDTH + 20) / len(rows) - 20
        charts: list[Any] = []
        for part, found in rows.items():
            here = [name for name in names if name in panels_of[part]] if narrow else names
            y = lines(here) if narrow or not charts else lines(here).axis(labels=False, ticks=False)
            points = data(found).mark_point(filled=True, size=60, opacity=1)
            chart = points.encode(x=x, y=y, color=colour(None), shape=shape(None))
            title = alt.Title(part, fontSize=12, anchor="start", limit=150)
            charts.append(chart.properties(title=title, width=width, height=ROW * len(here)))
        return panels(charts, narrow=narrow)

    longest = names[0]
    most = max(stages[longest], key=lambda part: stages[longest][part] or 0.0)
    return figure(
        f"The longest build is {longest}'s: {span(whole[longest])}, most of it {most}",
        drawn,
        ("System", "All", *parts),
        [(name, span(whole[name]), *(span(stages[name].get(part)) for part in parts)) for name in names],
        [{"stage": part, **row} for part, found in rows.items() for row in found],
    )
