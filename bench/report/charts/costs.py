"""Charts of money: what a month costs over the number of questions, and who is cheapest over questions and updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from bench.core.display import count, money
from bench.report.charts.draw import DASHES, Figure, data, family, shades, svg
from bench.scoring.money import monthly

STEPS = 33  # points of a line, and cells of the map's longer side


def break_even(
    done: Mapping[str, Any], recommendation: Mapping[str, Any], volumes: Mapping[str, float]
) -> Figure | None:
    """The systems that are cheapest somewhere, over questions and updates a month; None where nothing is priced."""
    costs = {
        n: c for n, c in (recommendation.get("costs") or {}).items()
        if n in recommendation["feasible"] and c["usd_per_month"] is not None
    }  # fmt: skip
    if len(costs) < 2:
        return None
    asked, updates = float(volumes["questions_per_month"]) or 1.0, float(volumes["updates_per_month"])
    questions = [asked * 10 ** (6 * i / (STEPS - 1) - 3) for i in range(STEPS)]
    priced = all(c["refresh_usd"] is not None for c in costs.values())  # or nobody knows what an update takes
    often = [(updates or 1.0) * 10 ** (4 * i / 12 - 2) for i in range(13)] if priced else []
    cheapest = {(q, u): min(costs, key=lambda n: monthly(costs[n], q, u)) for q in questions for u in (*often, updates)}
    along = [cheapest[q, updates] for q in questions]
    names = [n for n in costs if n in set(cheapest.values()) or n == recommendation["choice"]][: len(DASHES)]
    exact = {(b["low"], b["high"]): b["questions_per_month"] for b in recommendation["break_even"]}
    turns = [(exact.get((b, a)) or q, b) for q, a, b in zip(questions[1:], along, along[1:], strict=False) if a != b]
    told = (
        f"Cheapest at few questions a month: {along[0]}"
        if turns
        else f"Cheapest at any number of questions: {along[0]}"
    )
    told += "".join(f"; from {count(_round(q))} on: {n}" for q, n in turns[:3])
    scale = _scale(names, shades({n: family(done[n]) for n in names}))
    rows = [{"q": q, "usd": monthly(costs[n], q, updates), "system": n} for n in names for q in questions]
    cells = [{"q": q, "u": u, "system": cheapest[q, u]} for q in questions for u in often if cheapest[q, u] in names]
    panels = [_lines(rows, names, asked, scale), *([_map(cells, questions, often, scale)] if often else [])]
    return Figure(
        told, svg(alt.hconcat(*panels, spacing=28)),
        ("Questions a month", *names),
        [(count(_round(q)), *(money(monthly(costs[n], q, updates)) for n in names)) for q in questions[::4]],
    )  # fmt: skip


def _round(value: float) -> float:
    return float(f"{value:.2g}")


def _scale(names: Sequence[str], colours: Sequence[str]) -> Any:
    return alt.Color(
        "system:N", scale=alt.Scale(domain=list(names), range=list(colours)),
        legend=alt.Legend(title=None, orient="top", columns=3),
    )  # fmt: skip


def _lines(rows: Sequence[Mapping[str, Any]], names: Sequence[str], asked: float, scale: Any) -> Any:
    x = alt.X(
        "q:Q", title="Questions a month (log)", scale=alt.Scale(type="log"), axis=alt.Axis(tickCount=6, format="~s")
    )
    y = alt.Y("usd:Q", title="USD a month (log)", scale=alt.Scale(type="log"), axis=alt.Axis(tickCount=5, format="~g"))
    dash = alt.StrokeDash(
        "system:N", scale=alt.Scale(domain=list(names), range=list(DASHES[: len(names)])), legend=None
    )
    drawn = data(rows).mark_line(strokeWidth=2).encode(x=x, y=y, color=scale, strokeDash=dash)
    here = data([{"q": asked}]).mark_rule(strokeDash=[2, 3], color="#6b7280").encode(x="q:Q")
    return (here + drawn).properties(
        width=430, height=230, title=alt.Title("At the spec's updates; dotted: its questions", fontSize=12)
    )


def _map(cells: Sequence[Mapping[str, Any]], questions: Sequence[float], often: Sequence[float], scale: Any) -> Any:
    x = alt.X(
        "q:O",
        title="Questions a month (log)",
        sort=list(questions),
        axis=alt.Axis(values=list(questions[::16]), labelExpr="format(datum.value, '~s')", labelAngle=0),
    )
    y = alt.Y(
        "u:O",
        title="Updates a month (log)",
        sort=list(often)[::-1],
        axis=alt.Axis(values=list(often[::3]), labelExpr="format(datum.value, '~g')"),
    )
    return (
        data(cells).mark_rect().encode(x=x, y=y, color=scale)
        .properties(width=430, height=230, title=alt.Title("The cheapest", fontSize=12))
    )  # fmt: skip
