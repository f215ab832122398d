"""Charts of money: what a month costs over the number of questions, and who is cheapest over questions and updates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from bench.core.display import count, money
from bench.report.charts.draw import (
    DASHES,
    DIRECT,
    LETTER,
    NARROW,
    Figure,
    Row,
    data,
    figure,
    names_beside,
    panels,
    shades,
)
from bench.scoring.money import cheapest, monthly
from bench.scoring.schema import Costs, MeasuredSystem, Recommendation
from bench.spec.model import Volumes
from bench.verdict.sentence import listed

WIDTH, HEIGHT = 380, 230  # pixels of a panel
STEPS = 33  # points of a line, and cells of the map's longer side


def break_even(done: Mapping[str, MeasuredSystem], recommendation: Recommendation, volumes: Volumes) -> Figure | None:
    """The choice, what cannot be told from it and the systems that are cheapest somewhere, over questions and updates a
    month; None where nothing is priced."""
    costs = {
        name: found
        for name, found in recommendation.costs.items()
        if name in recommendation.feasible and found.usd_per_month is not None
    }
    asked, updates = float(volumes.questions_per_month) or 1.0, float(volumes.updates_per_month)
    if len(costs) < 2 or not any(_usd(found, asked, updates) for found in costs.values()):
        return None  # what costs nothing has no place on an axis of logarithms
    questions = [asked * 10 ** (6 * i / (STEPS - 1) - 3) for i in range(STEPS)]
    priced = all(found.refresh_usd is not None for found in costs.values())  # or nobody knows what an update takes
    often = [(updates or 1.0) * 10 ** (4 * i / 12 - 2) for i in range(13)] if priced else []
    lowest = {(q, u): min(costs, key=lambda n: _usd(costs[n], q, u)) for q in questions for u in (*often, updates)}
    ever = set(lowest.values()) | {recommendation.choice, *recommendation.among}
    names = [name for name in costs if name in ever][: len(DASHES)]
    scale = _scale(names, shades({name: done[name].shown_family for name in names}))
    rows = [{"q": q, "usd": _usd(costs[n], q, updates), "system": n} for n in names for q in questions]
    cells = [{"q": q, "u": u, "system": lowest[q, u]} for q in questions for u in often if lowest[q, u] in names]

    def drawn(narrow: bool) -> Any:
        width = NARROW - 28 if narrow else WIDTH  # beside prices as long as 0.0001
        found = [_lines(rows, names, asked, scale, width=width)]
        if often:
            found.append(_map(cells, questions, often, scale, width=width))
        return panels(found, narrow=narrow, spacing=28)

    return figure(
        _told([cheapest(costs, q, updates) for q in questions], questions),
        drawn,
        ("Questions a month", *names),
        [(count(_round(q)), *(money(_usd(costs[n], q, updates)) for n in names)) for q in questions[::4]],
        [
            {"system": n, "questions": q, "updates": updates, "usd": _usd(costs[n], q, updates)}
            for n in names
            for q in questions
        ],
    )


def _usd(found: Costs, questions: float, updates: float) -> float:
    """USD a month of a system that is priced."""
    return monthly(found, questions, updates) or 0.0


def _told(along: Sequence[tuple[str, ...]], questions: Sequence[float]) -> str:
    """Who may be the cheapest at few questions, and from how many on who else is. `along`: at each number."""
    first, last = along[0], along[-1]
    if first == last:
        return f"Cheapest at any number of questions: {listed(first, 'or')}"
    turn = next(q for q, rest in zip(questions, range(len(along)), strict=True) if set(along[rest:]) == {last})
    return (
        f"Cheapest at few questions a month: {listed(first, 'or')}; shown to be cheapest from about "
        f"{count(_round(turn))} on: {listed(last, 'or')}"
    )


def _round(value: float) -> float:
    return float(f"{value:.2g}")


def _scale(names: Sequence[str], colours: Sequence[str]) -> Any:
    legend = None if len(names) <= DIRECT else alt.Legend(title=None, orient="top", columns=3)
    return alt.Color("system:N", scale=alt.Scale(domain=list(names), range=list(colours)), legend=legend)


def _lines(rows: Sequence[Row], names: Sequence[str], asked: float, scale: Any, *, width: int) -> Any:
    """What each system costs, named at the end of its line."""
    x = alt.X(
        "q:Q", title="Questions a month (log)", scale=alt.Scale(type="log"), axis=alt.Axis(tickCount=6, format="~s")
    )
    some = [row["usd"] for row in rows if row["usd"] > 0]
    edges = [min(some) / 1.3, max(some) * 1.3]  # what costs nothing stands at the lower
    rows = [{**row, "usd": max(row["usd"], edges[0])} for row in rows]
    priced = alt.Scale(type="log", domain=edges, nice=False)
    y = alt.Y("usd:Q", title="USD a month (log)", scale=priced, axis=alt.Axis(tickCount=5, format="~g"))
    dash = alt.StrokeDash(
        "system:N", scale=alt.Scale(domain=list(names), range=list(DASHES[: len(names)])), legend=None
    )
    drawn = data(rows).mark_line(strokeWidth=2).encode(x=x, y=y, color=scale, strokeDash=dash)
    here = data([{"q": asked}]).mark_rule(strokeDash=[2, 3], color="#6b7280").encode(x="q:Q")
    ends = list({row["system"]: row for row in rows}.values())
    heights = [HEIGHT * math.log(edges[1] / row["usd"]) / math.log(edges[1] / edges[0]) for row in ends]
    said = names_beside(ends, heights, HEIGHT, x=alt.value(width))
    lines = ["At the spec's updates per month;", "the dotted line is its questions per month"]
    title = alt.Title(lines if width < WIDTH else " ".join(lines), fontSize=12)
    return alt.layer(here, drawn, *said).properties(width=width, height=HEIGHT, title=title)


def _map(cells: Sequence[Row], questions: Sequence[float], often: Sequence[float], scale: Any, *, width: int) -> Any:
    """Who is cheapest at which questions and updates, named in the widest row of its field where there is room."""
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
    drawn = data(cells).mark_rect(opacity=0.45).encode(x=x, y=y, color=scale)
    said = [
        data([cell]).mark_text(fontSize=11).encode(x=x, y=y, text="system:N")
        for name, (cell, length) in _widest(cells).items()
        if length * width / len(questions) > LETTER * (len(name) + 1)
    ]
    title = alt.Title("Lowest cost, intervals left aside", fontSize=12)
    return alt.layer(drawn, *said).properties(width=width, height=HEIGHT, title=title)


def _widest(cells: Sequence[Row]) -> dict[str, tuple[Row, int]]:
    """system -> the cell in the middle of its longest row, and how many cells that row has."""
    found: dict[str, tuple[Row, int]] = {}
    for (name, _), run in itertools.groupby(
        sorted(cells, key=lambda c: (c["u"], c["q"])), lambda c: (c["system"], c["u"])
    ):
        row = list(run)
        if len(row) >= found.get(name, ({}, 0))[1]:
            found[name] = (row[len(row) // 2], len(row))
    return found
