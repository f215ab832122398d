"""Charts of quality: each system, its differences from a reference, what it costs, and how it grows with data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from bench.core.display import count, difference, interval, money, size, span
from bench.report.charts.draw import (
    COLOURS,
    FAMILIES,
    GLYPHS,
    INK,
    LETTER,
    LINE,
    NARROW,
    ROW,
    SHADES,
    SHAPES,
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
from bench.scoring.schema import Criteria, Criterion, LearningCurve, MeasuredSystem, Recommendation, Score
from bench.stats.comparisons import Pair
from bench.stats.intervals import Estimate
from bench.verdict.sentence import listed

Measured = Mapping[str, MeasuredSystem]


@dataclass(frozen=True)
class Seen:
    """A difference as the forest shows it: seen from the system, minus the reference."""

    difference: float
    low: float
    high: float


NAMES = 90  # pixels of a name beside a panel
HEIGHT = 250  # pixels of a panel of the trade-offs
OFFSET = 6  # pixels between the systems of one type


def by_type(done: Measured, recommendation: Recommendation, title: str) -> Figure | None:
    """The leading systems on each type of question, the widest gap first: a dot with its interval each."""
    types = recommendation.types
    if types is None:
        return None
    rows = [
        {
            "type": f"{row.type}, n {row.n}",
            "system": name,
            "mean": score.mean,
            "low": score.low,
            "high": score.high,
        }
        for row in types.answered
        for name in types.systems
        if (score := row.scores.get(name))
    ]
    if not rows:
        return None
    families = [done[name].shown_family for name in types.systems]
    return figure(
        f"{title} by type of question, with 95% intervals",
        lambda narrow: _by_type(rows, types.systems, families, width=NARROW if narrow else 860),
        ("Type of question", "n", *types.systems, "Ahead"),
        [
            (row.type, count(row.n), *(interval(row.scores.get(n)) for n in types.systems), ", ".join(row.ahead) or "-")
            for row in types.rows
        ],
        rows,
    )


def _by_type(rows: Sequence[Row], systems: Sequence[str], families: Sequence[str], *, width: int) -> Any:
    labels = list(dict.fromkeys(str(row["type"]) for row in rows))

    def of_family(values: Sequence[str]) -> dict[str, Any]:
        found = [values[FAMILIES.index(family)] for family in families]
        return {"scale": alt.Scale(domain=list(systems), range=found), "legend": None}

    base = data(rows).encode(
        y=alt.Y("type:N", sort=list(labels), title=None, scale=alt.Scale(paddingInner=0.35)),
        yOffset=alt.YOffset("system:N", sort=list(systems)),
        color=alt.Color("system:N", **of_family(COLOURS)),
    )
    x = alt.X("low:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=5))
    bars = base.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q")
    points = base.mark_point(filled=True, size=60, opacity=1).encode(
        x="mean:Q", shape=alt.Shape("system:N", **of_family(SHAPES))
    )
    first = [row for row in rows if row["type"] == labels[0]]  # whose dots have the names above them
    named = [f"{GLYPHS[families[list(systems).index(row['system'])]]} {row['system']}" for row in first]
    places = spread(
        [(row["mean"] * width, LETTER * (len(name) + 2)) for row, name in zip(first, named, strict=True)], width
    )
    names = [
        data([row]).mark_text(fontSize=11, y=-8).encode(x=alt.value(place), text=alt.value(name))
        for row, name, place in zip(first, named, places, strict=True)
    ]
    height = (len(systems) * OFFSET + 4) * len(labels)
    return alt.layer(bars, points, *names).properties(width=width, height=height)


@dataclass(frozen=True)
class Panel:
    """One criterion of the trade-offs: its axis, the factor to its unit, and how a figure of it is shown."""

    axis: str
    factor: float
    show: Callable[[float | None], str]


PANELS: dict[Criterion, Panel] = {
    "cost": Panel("USD a month", 1.0, money),
    "latency": Panel("Median latency, ms", 1000.0, span),
    "memory": Panel("Peak memory, MB", 1e-6, size),
}


def tradeoff(done: Measured, recommendation: Recommendation, title: str) -> Figure | None:
    """Quality against cost, latency and memory: one panel each, with the front of the feasible systems."""
    scored = {
        name: (criteria, score)
        for name, criteria in recommendation.criteria.items()
        if name in done and (score := done[name].score(recommendation.metric))
    }
    found = {
        panel.axis: [
            _point(name, done[name], score, float(value) * panel.factor)
            for name, (criteria, score) in scored.items()
            if (value := getattr(criteria, criterion))
        ]
        for criterion, panel in PANELS.items()
    }
    found = {axis: rows for axis, rows in found.items() if len(rows) > 1}
    ends = [(row["low"], row["high"]) for rows in found.values() for row in rows]
    shared = (
        alt.Scale(domain=[max(0.0, min(ends)[0] - 0.04), min(1.0, max(e for _, e in ends) + 0.06)]) if ends else None
    )
    if not found:
        return None
    able = set(recommendation.feasible)

    def drawn(narrow: bool) -> Any:
        width = NARROW if narrow else 285 - NAMES
        return panels(
            [
                _against(rows, axis, title if narrow or not number else None, able, shared, width=width)
                for number, (axis, rows) in enumerate(found.items())
            ],
            narrow=narrow,
            spacing=18,
        )

    heading = _leaders(recommendation, {n: score.mean for n, (_, score) in scored.items()})
    return figure(
        heading,
        drawn,
        ("System", title, "Cost per month", "Median latency", "Peak memory", "Front"),
        [
            (name, interval(score), *_shown(criteria), "yes" if name in recommendation.pareto else "no")
            for name, (criteria, score) in scored.items()
        ],
        [{"panel": axis, **row} for axis, rows in found.items() for row in rows],
    )


def _leaders(found: Recommendation, quality: Mapping[str, float]) -> str:
    """Which systems are first in what, of those that meet the needs."""
    able = [name for name in found.feasible if name in quality]
    if not able:
        return "No system meets the needs"
    told = {("scores highest", "score highest"): _first({name: -quality[name] for name in able})}
    for key, one, many in (
        ("latency", "answers fastest", "answer fastest"),
        ("memory", "takes the least memory", "take the least memory"),
        ("cost", "costs least", "cost least"),
    ):
        known = {name: value for name in able if (value := getattr(found.criteria[name], key))}
        if known:
            told[one, many] = _first(known)
    firsts: dict[tuple[str, ...], list[str]] = {}
    for (one, many), names in told.items():
        firsts.setdefault(names, []).append(one if len(names) == 1 else many)
    return "; ".join(f"{listed(names)} {listed(whats)}" for names, whats in firsts.items())


def _first(values: Mapping[str, float]) -> tuple[str, ...]:
    """The systems that have the least value."""
    return tuple(name for name, value in values.items() if value <= min(values.values()))


def _point(name: str, system: MeasuredSystem, score: Score, value: float) -> Row:
    ends = {"mean": score.mean, "low": score.low, "high": score.high}
    return {"system": name, "family": system.shown_family, "x": value, **ends}


def _shown(criteria: Criteria) -> list[str]:
    return [panel.show(getattr(criteria, criterion)) for criterion, panel in PANELS.items()]


def _against(rows: list[Row], label: str, title: str | None, feasible: set[str], scale: Any, *, width: int) -> Any:
    """A panel of the trade-offs: every system by name beside it, with a line to its mark."""
    best = _front([row for row in rows if row["system"] in feasible])
    edges = [min(r["x"] for r in rows) / 1.3, max(r["x"] for r in rows) * 1.3]
    x = alt.X("x:Q", title=f"{label} (log)", scale=alt.Scale(type="log", domain=edges), axis=alt.Axis(tickCount=4))
    y = alt.Y("mean:Q", title=title and f"{title}, 95% interval", scale=scale)
    front = data(best).mark_line(interpolate="step-after", color="#9aa2ad", strokeDash=[4, 3]).encode(x=x, y=y)
    bars = data(rows).mark_rule(opacity=0.35).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour(None))
    points = data(rows).mark_point(filled=True, size=80, opacity=1)
    dots = points.encode(x=x, y=y, color=colour(None), shape=shape(None))
    low, high = scale.domain
    places = spread([(HEIGHT * (high - row["mean"]) / (high - low), LINE) for row in rows], HEIGHT)
    named = []
    for row, place in zip(rows, places, strict=True):
        one = data([row])
        named.append(one.mark_rule(opacity=0.3, color=INK).encode(x=x, x2=alt.value(width), y=y, y2=alt.value(place)))
        text = one.mark_text(align="left", dx=3, fontSize=11, limit=NAMES)
        named.append(text.encode(x=alt.value(width), y=alt.value(place), text="system:N"))
    return alt.layer(front, *named, bars, dots).properties(width=width, height=HEIGHT)


def _front(rows: Sequence[Row]) -> list[Row]:
    """The systems that no other of the panel beats in both."""
    best: list[Row] = []
    for row in sorted(rows, key=lambda row: (row["x"], -row["mean"])):
        if not best or row["mean"] > best[-1]["mean"]:
            best.append(row)
    return best


STATES = ("better", "worse", "equivalent", "inconclusive")


def forest(pairs: Sequence[Pair], reference: str, title: str) -> Figure:
    """Differences from the reference, each with its interval."""
    rows: list[Row] = []
    for pair in pairs:
        sign, other = (-1, pair.b) if pair.a == reference else (1, pair.a)
        low, high = sorted((sign * pair.low, sign * pair.high))
        seen = sign * pair.difference
        state = ("better" if seen > 0 else "worse") if pair.verdict in ("better", "worse") else pair.verdict
        rows.append({"system": other, "difference": seen, "low": low, "high": high, "state": state})
    rows.sort(key=lambda row: -row["difference"])
    number = Counter(row["state"] for row in rows)
    heading = f"Compared with {reference}: " + ", ".join(f"{number[state]} {state}" for state in STATES)
    shown = [Seen(row["difference"], row["low"], row["high"]) for row in rows]
    axis = [f"{title}, minus {reference},", "95% interval"]
    return figure(
        heading,
        lambda narrow: _forest(rows, pairs[0].margin, axis, width=NARROW - 30 if narrow else 800),
        ("System", f"Difference from {reference}", "State"),
        [(row["system"], difference(seen), row["state"]) for row, seen in zip(rows, shown, strict=True)],
        rows,
    )


def _forest(rows: Sequence[Row], margin: float | None, axis: Sequence[str], *, width: int) -> Any:
    base = data(rows).encode(y=lines([row["system"] for row in rows]))
    said_below = " ".join(axis) if width > NARROW else list(axis)
    x = alt.X("low:Q", title=said_below, axis=alt.Axis(tickCount=max(3, width // 90)))
    bars = base.mark_rule(strokeWidth=2, color=COLOURS[1]).encode(x=x, x2="high:Q")
    states, fills = list(STATES), [COLOURS[1], COLOURS[1], SHADES["retrieval"][1], "transparent"]
    fill = alt.Fill("state:N", scale=alt.Scale(domain=states, range=fills), legend=None)
    shapes = alt.Scale(domain=states, range=["circle", "circle", "square", "diamond"])
    mark = alt.Shape("state:N", scale=shapes, legend=None)
    points = base.mark_point(size=80, opacity=1, stroke=COLOURS[1]).encode(x="difference:Q", fill=fill, shape=mark)
    said = base.mark_text(align="left", dx=8, fontSize=11).encode(x="high:Q", text="state:N")
    layers = [data([{"x": 0}]).mark_rule(strokeDash=[4, 3], color="#6b7280").encode(x="x:Q"), bars, points, said]
    if margin:
        layers.insert(
            0, data([{"a": -margin, "b": margin}]).mark_rect(color="#8a93a0", opacity=0.15).encode(x="a:Q", x2="b:Q")
        )
    return alt.layer(*layers).properties(width=width, height=ROW * len(rows))


def learning(found: LearningCurve, title: str) -> Figure | None:
    """Quality over training questions, beside what retrieval reaches without any."""
    points = [(point.size, point.score) for point in found.rows if point.score]
    if not points:
        return None
    most, last = points[-1]
    heading = f"{last.mean:.2f} for {found.system} trained on {most} questions"
    if found.retrieval_score:
        heading += f"; {found.retrieval_score.mean:.2f} for {found.retrieval} without training"
    heading += f"; on {last.n} of the test questions"
    return figure(
        heading,
        lambda narrow: _curve(points, found, title, width=NARROW + 50 if narrow else 860),
        ("Training questions", title),
        [(count(number), interval(score)) for number, score in points],
        [{"size": number, "mean": score.mean, "low": score.low, "high": score.high} for number, score in points],
    )


def _curve(points: Sequence[tuple[int, Estimate]], found: LearningCurve, title: str, *, width: int) -> Any:
    rows = [{"size": n, "mean": score.mean, "low": score.low, "high": score.high} for n, score in points]
    sizes = alt.Scale(domain=[0, 1.06 * max(n for n, _ in points)], nice=False)
    base = data(rows).encode(x=alt.X("size:Q", title="Training questions", scale=sizes, axis=alt.Axis(tickCount=6)))
    y = alt.Y("low:Q", title=f"{title}, 95% interval", scale=alt.Scale(domain=[0, 1]))
    layers = [
        base.mark_rule(strokeWidth=2, color=COLOURS[2]).encode(y=y, y2="high:Q"),
        base.mark_line(color=COLOURS[2]).encode(y="mean:Q"),
        base.mark_point(filled=True, size=80, opacity=1, color=COLOURS[2], shape="square").encode(y="mean:Q"),
    ]
    level = found.retrieval_score
    if level:
        drawn = data([{"y": level.mean, "low": level.low, "high": level.high, "name": found.retrieval}])
        layers += [
            drawn.mark_rect(color=COLOURS[1], opacity=0.1).encode(y="low:Q", y2="high:Q"),
            drawn.mark_rule(strokeDash=[6, 4], strokeWidth=2, color=COLOURS[1]).encode(y="y:Q"),
            drawn.mark_text(align="left", dy=-8, dx=4, color=COLOURS[1]).encode(y="y:Q", text="name:N", x=alt.value(0)),
        ]
    return alt.layer(*layers).properties(width=width, height=200)
