"""Charts as static inline SVG: Altair drawn by vl-convert when the page is built. No script reaches the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import vl_convert
from markupsafe import Markup

# Okabe and Ito's colour-blind-safe palette; shape says the same again
FAMILIES = ("control", "retrieval", "tuning", "both")
COLOURS = ("#6b7280", "#0072b2", "#d55e00", "#009e73")
SHAPES = ("diamond", "circle", "square", "triangle-up")
FAMILY = {"rag": "retrieval", "lora": "tuning", "qlora": "tuning", "full": "tuning", "raft": "both", "hybrid": "both"}


def all_of(done: Mapping[str, Any], scores: Mapping[str, Any], reference: str | None) -> dict[str, Markup]:
    """The page's charts by name; one that has nothing to show is left out."""
    from bench.grade import METRICS

    metric = scores["headline"]
    rows = [_row(n, s, metric) for n, s in done.items() if s["scores"][metric]]
    if not rows:
        return {}
    panels: list[Any] = [quality(rows, METRICS[metric][0])]
    panels += [
        cost(rows, field, title)
        for field, title in (("ms", "Median latency, ms"), ("build", "Build, s"))
        if any(r[field] for r in rows)
    ]
    drawn = {"side_by_side": svg(alt.hconcat(*panels, spacing=18))}
    pairs = scores["compared"].get(scores["headline"], ())
    if reference and (against := [p for p in pairs if reference in (p["a"], p["b"])]):
        drawn["forest"] = svg(forest(against, reference, METRICS[scores["headline"]][0]))
    if scores["scenarios"]["data"]:
        drawn["data"] = svg(learning(scores["scenarios"]["data"], METRICS[scores["scenarios"]["data"]["metric"]][0]))
    return drawn


def _row(name: str, s: Mapping[str, Any], metric: str) -> dict[str, Any]:
    e, p50 = s["scores"][metric], s["speed"]["p50_s"]
    return {
        "system": name, "family": "control" if s["control"] else FAMILY.get(s["kind"], "both"), "mean": e["mean"], "low": e["low"], "high": e["high"],
        "ms": p50 * 1000 if p50 else None, "build": s["build"]["total_s"] or None,
    }  # fmt: skip


def _scales() -> dict[str, Any]:
    return {
        "color": alt.Color(
            "family:N", scale=alt.Scale(domain=FAMILIES, range=COLOURS), legend=alt.Legend(title=None, orient="top")
        ),
        "shape": alt.Shape(
            "family:N", scale=alt.Scale(domain=FAMILIES, range=SHAPES), legend=alt.Legend(title=None, orient="top")
        ),
    }


def quality(rows: list[dict[str, Any]], title: str) -> Any:
    base = alt.Chart(alt.Data(values=rows)).encode(y=alt.Y("system:N", sort=[r["system"] for r in rows], title=None))
    x = alt.X("low:Q", title=f"{title}, 95% interval", scale=alt.Scale(domain=[0, 1]))
    bars = base.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q", color=_scales()["color"])
    points = base.mark_point(filled=True, size=80, opacity=1).encode(x="mean:Q", **_scales())
    return (bars + points).properties(width=330, height=26 * len(rows))


def cost(rows: list[dict[str, Any]], field: str, title: str) -> Any:
    """One panel beside `quality`, its systems on the same lines; a system that has no such cost has no point."""
    return (
        alt.Chart(alt.Data(values=rows))
        .transform_filter(f"isValid(datum.{field})")
        .encode(
            y=alt.Y(
                "system:N",
                sort=[r["system"] for r in rows],
                scale=alt.Scale(domain=[r["system"] for r in rows]),
                title=None,
                axis=alt.Axis(labels=False, ticks=False, grid=True),
            ),
            x=alt.X(
                f"{field}:Q", title=f"{title} (log)", scale=alt.Scale(type="log", nice=True), axis=alt.Axis(tickCount=4)
            ),
        )
        .mark_point(filled=True, size=80, opacity=1)
        .encode(**_scales())
        .properties(width=230, height=26 * len(rows))
    )


def forest(pairs: list[Mapping[str, Any]], reference: str, title: str) -> Any:
    """Differences from the reference, each with its interval."""
    rows = []
    for p in pairs:
        sign, other = (-1, p["b"]) if p["a"] == reference else (1, p["a"])
        low, high = sorted((sign * p["low"], sign * p["high"]))
        decided = "decided" if p["verdict"] != "inconclusive" else "inconclusive"
        rows.append({"system": other, "difference": sign * p["difference"], "low": low, "high": high, "state": decided})
    base = alt.Chart(alt.Data(values=rows)).encode(y=alt.Y("system:N", sort=[r["system"] for r in rows], title=None))
    x = alt.X("low:Q", title=f"{title}, minus {reference}, 95% interval")
    bars = base.mark_rule(strokeWidth=2, color=COLOURS[1]).encode(x=x, x2="high:Q")
    fill = alt.Fill(
        "state:N", scale=alt.Scale(domain=["decided", "inconclusive"], range=[COLOURS[1], "#ffffff"]), legend=None
    )
    shape = alt.Shape(
        "state:N",
        scale=alt.Scale(domain=["decided", "inconclusive"], range=["circle", "diamond"]),
        legend=alt.Legend(title=None, orient="top"),
    )
    points = base.mark_point(size=80, opacity=1, stroke=COLOURS[1]).encode(x="difference:Q", fill=fill, shape=shape)
    zero = alt.Chart(alt.Data(values=[{"x": 0}])).mark_rule(strokeDash=[4, 3], color="#6b7280").encode(x="x:Q")
    return (zero + bars + points).properties(width=520, height=26 * len(rows))


def learning(data: Mapping[str, Any], title: str) -> Any:
    """Quality over training questions, beside what retrieval reaches without any."""
    rows = [
        {"size": r["size"], **{k: r["score"][k] for k in ("mean", "low", "high")}} for r in data["rows"] if r["score"]
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(x=alt.X("size:Q", title="Training questions"))
    y = alt.Y("low:Q", title=f"{title}, 95% interval", scale=alt.Scale(domain=[0, 1]))
    layers = [
        base.mark_rule(strokeWidth=2, color=COLOURS[2]).encode(y=y, y2="high:Q"),
        base.mark_line(color=COLOURS[2]).encode(y="mean:Q"),
        base.mark_point(filled=True, size=80, opacity=1, color=COLOURS[2], shape="square").encode(y="mean:Q"),
    ]
    if data["retrieval_score"]:
        level = [{"y": data["retrieval_score"]["mean"], "name": data["retrieval"]}]
        line = (
            alt.Chart(alt.Data(values=level))
            .mark_rule(strokeDash=[6, 4], strokeWidth=2, color=COLOURS[1])
            .encode(y="y:Q")
        )
        text = (
            alt.Chart(alt.Data(values=level))
            .mark_text(align="left", dy=-8, dx=4, color=COLOURS[1])
            .encode(y="y:Q", text="name:N", x=alt.value(0))
        )
        layers += [line, text]
    return alt.layer(*layers).properties(width=420, height=220)


def svg(chart: Any) -> Markup:
    """The chart as an SVG element. vl-convert escapes every text in it."""
    styled = (
        chart.configure(background="transparent")
        .configure_axis(labelFontSize=12, titleFontSize=12, labelLimit=220, gridOpacity=0.4)
        .configure_view(stroke=None)
    )
    return Markup(vl_convert.vegalite_to_svg(styled.to_json()))
