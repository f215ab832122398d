"""Charts of time and memory: every latency that was measured, memory over time, and what a build is made of."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from bench.core.display import count, size, span
from bench.execution.run_file import Memory
from bench.report.charts.draw import COLOURS, ROW, SEVERAL, Figure, Row, colour, data, lines, svg
from bench.scoring.resources import by_stage
from bench.scoring.schema import MeasuredSystem

MOST = 150  # marks a system: more say no more
Measured = Mapping[str, MeasuredSystem]


def latencies(done: Measured, seconds: Mapping[str, Sequence[float]]) -> Figure | None:
    """One mark for each question answered alone, and the median."""
    rows, medians, table = [], [], []
    for name, system in done.items():
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
    x = alt.X("ms:Q", title="Latency of a question asked alone, ms (log)", scale=alt.Scale(type="log", nice=True))
    ticks = data(rows).mark_tick(thickness=1.2, opacity=0.45, size=15).encode(x=x, y=lines(names), color=colour())
    points = data(medians).mark_point(shape="diamond", size=70, filled=True, opacity=1, color="currentColor")
    middle = points.encode(x=x, y=lines(names))
    return Figure(
        _between(medians),
        svg((ticks + middle).properties(width=760, height=ROW * len(names))),
        ("System", "Fastest", "Median", "Slowest", "Questions"),
        table,
    )


def _between(medians: Sequence[Row]) -> str:
    if not medians:
        return "Latency of every question asked alone"
    slow, fast = (how(medians, key=lambda row: float(row["ms"])) for how in (max, min))
    low, high = span(fast["ms"] / 1000), span(slow["ms"] / 1000)
    return f"Median latency from {low} ({fast['system']}) to {high} ({slow['system']})"


def memory(traces: Mapping[str, Mapping[str, Memory]]) -> Figure | None:
    """Memory over time, a panel a system: of the process that trained, and of the one that answered."""
    panels: list[Any] = []
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
            panels.append(_panel(rows, name))
    if not panels or not max(peaks.values()):
        return None
    (name, process), highest = max(peaks.items(), key=lambda item: item[1])
    return Figure(
        f"Highest {'GPU' if gpu else 'resident'} memory: {size(highest)} ({name}, while {process})",
        svg(alt.concat(*panels, columns=4, spacing=14)),
        ("System", "Process", "Phase", "Duration", "Highest sample"),
        table,
    )


def _phases(points: Sequence[tuple[float, int, str]]) -> list[tuple[str, str, str]]:
    """(phase, how long, highest sample) of a trace; a phase lasts until the next begins."""
    phases = [(phase, list(part)) for phase, part in itertools.groupby(points, key=lambda point: point[2])]
    ends = [part[0][0] for _, part in phases[1:]] + [points[-1][0]] if points else []
    return [
        (phase, span(end - part[0][0]), size(max(used for _, used, _ in part)))
        for (phase, part), end in zip(phases, ends, strict=True)
    ]


def _panel(rows: Sequence[Row], name: str) -> Any:
    processes = ["training", "answering"]
    colours = alt.Scale(domain=processes, range=[COLOURS[2], COLOURS[1]])
    dashes = alt.Scale(domain=processes, range=[[4, 2], [1, 0]])
    line = data(rows).mark_line(interpolate="step-after", strokeWidth=1.6)
    drawn = line.encode(
        x=alt.X("s:Q", title="s", axis=alt.Axis(tickCount=4)),
        y=alt.Y("mb:Q", title="MB", axis=alt.Axis(tickCount=4)),
        color=alt.Color("process:N", scale=colours, legend=alt.Legend(title=None, orient="top")),
        strokeDash=alt.StrokeDash("process:N", scale=dashes, legend=None),
    )
    starts = [b for a, b in itertools.pairwise(rows) if a["process"] == b["process"] and a["phase"] != b["phase"]]
    marks = data(starts).mark_rule(strokeDash=[2, 2], color="#9aa2ad").encode(x="s:Q")
    title = alt.Title(name, fontSize=12, anchor="start", limit=180)
    return (marks + drawn).properties(width=165, height=95, title=title)


def build(done: Measured) -> Figure | None:
    """What the seconds of a build are spent on."""
    stages = {name: {s: v for s, v in by_stage(system.build).items() if v} for name, system in done.items()}
    names = [name for name, found in stages.items() if found]
    if not names:
        return None
    parts = [part for part in by_stage(done[names[0]].build) if any(part in stages[name] for name in names)]
    order = list(by_stage(done[names[0]].build))
    rows = [
        {"system": name, "part": part, "s": seconds, "order": order.index(part)}
        for name in names
        for part, seconds in stages[name].items()
    ]
    scale = alt.Scale(domain=parts, range=list(SEVERAL[: len(parts)]))
    bars = data(rows).mark_bar(height=13)
    chart = bars.encode(
        x=alt.X("s:Q", title="Build time, s", stack=True),
        y=lines(names),
        order="order:Q",
        color=alt.Color("part:N", scale=scale, legend=alt.Legend(title=None, orient="top", columns=3)),
    )
    longest = max(names, key=lambda name: done[name].build.total_s)
    most = max(stages[longest], key=lambda part: stages[longest][part] or 0.0)
    return Figure(
        f"The longest build is {longest}'s: {span(done[longest].build.total_s)}, most of it {most}",
        svg(chart.properties(width=760, height=ROW * len(names))),
        ("System", *parts),
        [(name, *(span(stages[name].get(part)) for part in parts)) for name in names],
    )
