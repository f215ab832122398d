"""Charts of quality: each system, its differences from a reference, what it costs, and how it grows with data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from bench.core.display import count, difference, interval, money, size, span
from bench.report.charts.draw import COLOURS, ROW, SHADES, Figure, colour, data, family, lines, shape, svg


def side_by_side(done: Mapping[str, Any], metric: str, title: str) -> Figure | None:
    """Quality with its interval, and beside it the latency and the seconds to build, each system on one line."""
    rows: list[dict[str, Any]] = []
    for n, s in done.items():
        if e := s["scores"][metric]:
            p50 = s["speed"]["p50_s"]
            rows.append({
                "system": n, "family": family(s), "mean": e["mean"], "low": e["low"], "high": e["high"],
                "ms": p50 * 1000 if p50 else None, "build": s["build"]["total_s"] or None,
            })  # fmt: skip
    if not rows:
        return None
    panels = [_intervals(rows, title)]
    panels += [
        _cost(rows, f, t) for f, t in (("ms", "Median latency, ms"), ("build", "Build, s")) if any(r[f] for r in rows)
    ]
    free = [r for r in rows if r["family"] != "control"] or rows
    best = max(free, key=lambda r: float(r["mean"]))
    controls = [r for r in rows if r["family"] == "control"]
    alike = len(free) > 1 and min(float(r["mean"]) for r in free) == best["mean"]
    told = f"all are at {best['mean']:.2f}" if alike else f"{best['system']} is highest at {best['mean']:.2f}"
    if controls and free is not rows:
        reach = max(controls, key=lambda r: float(r["mean"]))
        told += f"; the controls reach {reach['mean']:.2f}"
    return Figure(
        f"{title}: {told}", svg(alt.hconcat(*panels, spacing=18)),
        ("System", title, "Median latency", "Build"),
        [(r["system"], interval(r), span(r["ms"] and r["ms"] / 1000), span(r["build"])) for r in rows],
    )  # fmt: skip


def _intervals(rows: Sequence[Mapping[str, Any]], title: str) -> Any:
    base = data(rows).encode(y=lines([r["system"] for r in rows]))
    x = alt.X("low:Q", title=f"{title}, 95% interval", scale=alt.Scale(domain=[0, 1]))
    bars = base.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q", color=colour())
    points = base.mark_point(filled=True, size=80, opacity=1).encode(x="mean:Q", color=colour(), shape=shape())
    return (bars + points).properties(width=330, height=ROW * len(rows))


def _cost(rows: Sequence[Mapping[str, Any]], field: str, title: str) -> Any:
    """One panel beside the quality, its systems on the same lines; a system that has no such cost has no point."""
    y = lines([r["system"] for r in rows])
    y.axis = alt.Axis(labels=False, ticks=False, grid=True)
    x = alt.X(f"{field}:Q", title=f"{title} (log)", scale=alt.Scale(type="log", nice=True), axis=alt.Axis(tickCount=4))
    return (
        data([r for r in rows if r[field]]).encode(y=y, x=x, color=colour(), shape=shape())
        .mark_point(filled=True, size=80, opacity=1).properties(width=230, height=ROW * len(rows))
    )  # fmt: skip


CRITERIA = {
    "cost": ("USD a month", 1.0, money),
    "latency": ("Median latency, ms", 1000.0, span),
    "memory": ("Peak memory, MB", 1e-6, size),
}


def tradeoff(done: Mapping[str, Any], recommendation: Mapping[str, Any], title: str) -> Figure | None:
    """Quality against cost, latency and memory: one panel each, with the front of the feasible systems."""
    metric, criteria = recommendation["metric"], recommendation.get("criteria") or {}
    points = {n: c for n, c in criteria.items() if n in done and done[n]["scores"][metric]}
    panels: list[Any] = []
    for k, (label, factor, _) in CRITERIA.items():
        rows = [
            {"system": n, "family": family(done[n]), "x": c[k] * factor, **{b: done[n]["scores"][metric][b] for b in ("mean", "low", "high")}}
            for n, c in points.items() if c[k]
        ]  # fmt: skip
        if len(rows) > 1:
            panels.append(_against(rows, label, title if not panels else None, set(recommendation["feasible"])))
    if not panels:
        return None
    front = ", ".join(recommendation["pareto"])
    told = (
        f"On the front, where no other is as good in every respect and better in one: {front}"
        if front
        else "No system meets the needs"
    )
    return Figure(
        told, svg(alt.hconcat(*panels, spacing=18)), ("System", title, "A month", "Median latency", "Peak memory", "Front"),
        [
            (n, interval(done[n]["scores"][metric]), *(show(c[k]) for k, (_, _, show) in CRITERIA.items()), "yes" if n in recommendation["pareto"] else "no")
            for n, c in points.items()
        ],
    )  # fmt: skip


def _against(rows: list[dict[str, Any]], label: str, title: str | None, feasible: set[str]) -> Any:
    best: list[dict[str, Any]] = []
    for r in sorted((r for r in rows if r["system"] in feasible), key=lambda r: (r["x"], -r["mean"])):
        if not best or r["mean"] > best[-1]["mean"]:
            best.append({**r, "above": len(best) % 2 == 0})
    low, high = max(0.0, min(r["low"] for r in rows) - 0.04), min(1.0, max(r["high"] for r in rows) + 0.06)
    edges = [min(r["x"] for r in rows) / 1.3, max(r["x"] for r in rows) * 1.6]
    x = alt.X("x:Q", title=f"{label} (log)", scale=alt.Scale(type="log", domain=edges), axis=alt.Axis(tickCount=4))
    y = alt.Y("mean:Q", title=title and f"{title}, 95% interval", scale=alt.Scale(domain=[low, high]))
    front = data(best).mark_line(interpolate="step-after", color="#9aa2ad", strokeDash=[4, 3]).encode(x=x, y=y)
    bars = data(rows).mark_rule(opacity=0.35).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour())
    dots = data(rows).mark_point(filled=True, size=80, opacity=1).encode(x=x, y=y, color=colour(), shape=shape())
    names = [
        data([r for r in best if r["above"] is above]).mark_text(align="left", dx=6, dy=dy, fontSize=11, limit=150)
        .encode(x=x, y=y, text="system:N")
        for above, dy in ((True, -11), (False, 13))
    ]  # fmt: skip
    return alt.layer(front, bars, dots, *names).properties(width=285, height=250)


def forest(pairs: Sequence[Mapping[str, Any]], reference: str, title: str) -> Figure:
    """Differences from the reference, each with its interval."""
    rows: list[dict[str, Any]] = []
    for p in pairs:
        sign, other = (-1, p["b"]) if p["a"] == reference else (1, p["a"])
        low, high = sorted((sign * p["low"], sign * p["high"]))
        state = "different" if p["verdict"] in ("better", "worse") else p["verdict"]
        rows.append({"system": other, "difference": sign * p["difference"], "low": low, "high": high, "state": state})
    margin = pairs[0]["margin"]
    base = data(rows).encode(y=lines([r["system"] for r in rows]))
    x = alt.X("low:Q", title=f"{title}, minus {reference}, 95% interval", axis=alt.Axis(tickCount=9))
    bars = base.mark_rule(strokeWidth=2, color=COLOURS[1]).encode(x=x, x2="high:Q")
    states, fills = ["different", "equivalent", "inconclusive"], [COLOURS[1], SHADES["retrieval"][1], "#ffffff"]
    fill = alt.Fill("state:N", scale=alt.Scale(domain=states, range=fills), legend=None)
    shapes = alt.Scale(domain=states, range=["circle", "square", "diamond"])
    mark = alt.Shape("state:N", scale=shapes, legend=alt.Legend(title=None, orient="top"))
    points = base.mark_point(size=80, opacity=1, stroke=COLOURS[1]).encode(x="difference:Q", fill=fill, shape=mark)
    layers = [data([{"x": 0}]).mark_rule(strokeDash=[4, 3], color="#6b7280").encode(x="x:Q"), bars, points]
    if margin:
        layers.insert(0, data([{"a": -margin, "b": margin}]).mark_rect(color="#eceff3").encode(x="a:Q", x2="b:Q"))
    count_of = {s: sum(r["state"] == s for r in rows) for s in states}
    above = sum(r["state"] == "different" and r["difference"] > 0 for r in rows)
    told = f"{above} above {reference}, {count_of['different'] - above} below it, {count_of['equivalent']} equivalent, {count_of['inconclusive']} undecided"
    return Figure(
        told, svg(alt.layer(*layers).properties(width=640, height=ROW * len(rows))),
        ("System", f"Minus {reference}", "State"), [(r["system"], difference(r), r["state"]) for r in rows],
    )  # fmt: skip


def learning(found: Mapping[str, Any], title: str) -> Figure | None:
    """Quality over training questions, beside what retrieval reaches without any."""
    rows = [
        {"size": r["size"], **{k: r["score"][k] for k in ("mean", "low", "high")}} for r in found["rows"] if r["score"]
    ]
    if not rows:
        return None
    sizes = alt.Scale(domain=[0, 1.06 * max(r["size"] for r in rows)], nice=False)
    base = data(rows).encode(x=alt.X("size:Q", title="Training questions", scale=sizes))
    y = alt.Y("low:Q", title=f"{title}, 95% interval", scale=alt.Scale(domain=[0, 1]))
    layers = [
        base.mark_rule(strokeWidth=2, color=COLOURS[2]).encode(y=y, y2="high:Q"),
        base.mark_line(color=COLOURS[2]).encode(y="mean:Q"),
        base.mark_point(filled=True, size=80, opacity=1, color=COLOURS[2], shape="square").encode(y="mean:Q"),
    ]
    level = found["retrieval_score"]
    if level:
        drawn = data([{"y": level["mean"], "low": level["low"], "high": level["high"], "name": found["retrieval"]}])
        layers += [
            drawn.mark_rect(color=COLOURS[1], opacity=0.1).encode(y="low:Q", y2="high:Q"),
            drawn.mark_rule(strokeDash=[6, 4], strokeWidth=2, color=COLOURS[1]).encode(y="y:Q"),
            drawn.mark_text(align="left", dy=-8, dx=4, color=COLOURS[1]).encode(y="y:Q", text="name:N", x=alt.value(0)),
        ]
    told = f"{found['system']} with {rows[-1]['size']} training questions: {rows[-1]['mean']:.2f}"
    if level:
        told += f"; {found['retrieval']} without any: {level['mean']:.2f}, on the same questions"
    return Figure(
        told, svg(alt.layer(*layers).properties(width=420, height=220)), ("Training questions", title),
        [(count(r["size"]), interval(r)) for r in rows],
    )  # fmt: skip
