"""Charts of time and memory: every latency that was measured, memory as it went, and what a build is made of."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from bench.core.display import count, size, span
from bench.report.charts.draw import COLOURS, ROW, SEVERAL, Figure, colour, data, family, lines, svg

MOST = 150  # marks a system: more say no more


def latencies(done: Mapping[str, Any], seconds: Mapping[str, Sequence[float]]) -> Figure | None:
    """One mark for each question answered alone, and the median."""
    rows, medians, told = [], [], []
    for n, s in done.items():
        found = sorted(seconds.get(n, ()))
        if not found:
            continue
        step = max(1, len(found) // MOST)
        kept = [*found[::step], found[-1]]
        rows += [{"system": n, "family": family(s), "ms": 1000 * v} for v in kept]
        if s["speed"]["p50_s"] is not None:
            medians.append({"system": n, "ms": 1000 * s["speed"]["p50_s"]})
        told.append((n, span(found[0]), span(s["speed"]["p50_s"]), span(found[-1]), count(len(found))))
    if not rows:
        return None
    names = [t[0] for t in told]
    x = alt.X("ms:Q", title="Latency of a question asked alone, ms (log)", scale=alt.Scale(type="log", nice=True))
    ticks = data(rows).mark_tick(thickness=1.2, opacity=0.45, size=15).encode(x=x, y=lines(names), color=colour())
    middle = (
        data(medians)
        .mark_point(shape="diamond", size=70, filled=True, opacity=1, color="#1a1d21")
        .encode(x=x, y=lines(names))
    )
    between = "Latency of every question asked alone"
    if medians:
        slow, fast = (how(medians, key=lambda m: float(m["ms"])) for how in (max, min))
        between = f"Median latency from {span(fast['ms'] / 1000)} ({fast['system']}) to {span(slow['ms'] / 1000)} ({slow['system']})"
    return Figure(
        between,
        svg((ticks + middle).properties(width=760, height=ROW * len(names))),
        ("System", "Fastest", "Median", "Slowest", "Questions"), told,
    )  # fmt: skip


def memory(traces: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure | None:
    """Memory over time, a panel a system: of the process that trained, and of the one that answered."""
    panels: list[Any] = []
    told: list[tuple[str, ...]] = []
    peaks: dict[tuple[str, str], float] = {}
    gpu = any(p[2] is not None for found in traces.values() for m in found.values() for p in m["trace"])
    for n, found in traces.items():
        rows: list[dict[str, Any]] = []
        for process, m in found.items():
            trace = [(s, on_gpu if gpu else rss, phase) for s, rss, on_gpu, phase in m["trace"]]
            known = [(s, used, phase) for s, used, phase in trace if used is not None]
            rows += [{"s": s, "mb": used / 1e6, "process": process, "phase": phase} for s, used, phase in known]
            peaks[n, process] = m["peak_gpu_process_bytes" if gpu else "peak_rss_bytes"] or 0
            phases = [(p, list(part)) for p, part in itertools.groupby(known, key=lambda r: r[2])]
            ends = [part[0][0] for _, part in phases[1:]] + [known[-1][0]] if known else []
            for (phase, part), end in zip(phases, ends, strict=True):
                told.append((n, process, phase, span(end - part[0][0]), size(max(used for _, used, _ in part))))
        if rows:
            panels.append(_panel(rows, n))
    if not panels or not max(peaks.values()):
        return None
    (name, process), highest = max(peaks.items(), key=lambda item: item[1])
    return Figure(
        f"{'GPU memory' if gpu else 'Resident memory'} peaks at {size(highest)}: {name}, {process}",
        svg(alt.concat(*panels, columns=4, spacing=14)), ("System", "Process", "Phase", "For", "Highest sample"), told,
    )  # fmt: skip


def _panel(rows: Sequence[Mapping[str, Any]], name: str) -> Any:
    processes = ["training", "answering"]
    line = data(rows).mark_line(interpolate="step-after", strokeWidth=1.6).encode(
        x=alt.X("s:Q", title="s", axis=alt.Axis(tickCount=4)), y=alt.Y("mb:Q", title="MB", axis=alt.Axis(tickCount=4)),
        color=alt.Color("process:N", scale=alt.Scale(domain=processes, range=[COLOURS[2], COLOURS[1]]), legend=alt.Legend(title=None, orient="top")),
        strokeDash=alt.StrokeDash("process:N", scale=alt.Scale(domain=processes, range=[[4, 2], [1, 0]]), legend=None),
    )  # fmt: skip
    starts = [b for a, b in itertools.pairwise(rows) if a["process"] == b["process"] and a["phase"] != b["phase"]]
    marks = data(starts).mark_rule(strokeDash=[2, 2], color="#9aa2ad").encode(x="s:Q")
    return (marks + line).properties(
        width=165, height=95, title=alt.Title(name, fontSize=12, anchor="start", limit=180)
    )


PARTS = {
    "chunk_s": "chunking", "embed_s": "embedding", "index_s": "indexing", "train_s": "training steps",
    "around_s": "loading, encoding, saving",
}  # fmt: skip


def build(done: Mapping[str, Any]) -> Figure | None:
    """What the seconds of a build are spent on."""
    rows = [
        {"system": n, "part": title, "s": s["build"][k], "order": i}
        for n, s in done.items()
        for i, (k, title) in enumerate(PARTS.items())
        if s["build"][k]
    ]
    if not rows:
        return None
    names = [n for n in done if any(r["system"] == n for r in rows)]
    parts = [p for p in PARTS.values() if any(r["part"] == p for r in rows)]
    scale = alt.Scale(domain=parts, range=list(SEVERAL[: len(parts)]))
    chart = data(rows).mark_bar(height=13).encode(
        x=alt.X("s:Q", title="Build, s", stack=True), y=lines(names), order="order:Q",
        color=alt.Color("part:N", scale=scale, legend=alt.Legend(title=None, orient="top", columns=3)),
    )  # fmt: skip
    longest = max(names, key=lambda n: float(done[n]["build"]["total_s"]))
    of = max((r for r in rows if r["system"] == longest), key=lambda r: float(r["s"]))
    return Figure(
        f"The longest build is {longest}'s: {span(done[longest]['build']['total_s'])}, most of it {of['part']}",
        svg(chart.properties(width=760, height=ROW * len(names))), ("System", *parts),
        [(n, *(span(next((r["s"] for r in rows if r["system"] == n and r["part"] == p), None)) for p in parts)) for n in names],
    )  # fmt: skip
