"""What every chart shares: a palette, a figure with its data, and the way to SVG. No script reaches the page."""

from __future__ import annotations

import atexit
import contextlib
import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair as alt
from markupsafe import Markup

# Okabe and Ito's colour-blind-safe palette; shape says the same again
FAMILIES = ("control", "retrieval", "tuning", "both")
COLOURS = ("#6b7280", "#0072b2", "#d55e00", "#009e73")
SHAPES = ("diamond", "circle", "square", "triangle-up")
ROW = 26  # pixels a system, down a chart
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 1], [1, 3], [10, 4], [3, 6])
SHADES = {  # of a family, for its second and third system
    "control": ("#6b7280", "#9aa2ad", "#3f454e"),
    "retrieval": ("#0072b2", "#56b4e9", "#003f63"),
    "tuning": ("#d55e00", "#e69f00", "#8f3f00"),
    "both": ("#009e73", "#66c2a5", "#00543d"),
}
RENDERER = [sys.executable, str(Path(__file__).with_name("renderer.py"))]
Row = dict[str, Any]  # what one mark is drawn from


@dataclass(frozen=True)
class Figure:
    """A chart under the sentence that it shows, with its figures: as text beside it, and as drawn, to be saved."""

    title: str
    svg: Markup
    narrow: Markup  # the same for a telephone
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    csv: str  # a line for each mark


def figure(
    title: str,
    draw: Callable[[bool], Any],
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    marks: Sequence[Mapping[str, Any]],
) -> Figure:
    """`draw(narrow)` gives the chart: on one line of panels, or for a telephone with one below the other. `marks`: what
    it is drawn from."""
    return Figure(title, svg(draw(False)), svg(draw(True)), head, rows, _csv(marks))


def _csv(marks: Sequence[Mapping[str, Any]]) -> str:
    """Marks with a column for each of their keys; numbers to six digits."""
    written = io.StringIO()
    table = csv.DictWriter(written, list(dict.fromkeys(key for row in marks for key in row)), lineterminator="\n")
    table.writeheader()
    table.writerows({k: _written(v) for k, v in row.items()} for row in marks)
    return written.getvalue()


def _written(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def panels(found: Sequence[Any], *, narrow: bool, spacing: int = 20) -> Any:
    """Charts side by side, or for a telephone one below the other."""
    return alt.vconcat(*found, spacing=14) if narrow else alt.hconcat(*found, spacing=spacing)


def shades(families: Mapping[str, str]) -> list[str]:
    """A colour for each system, of its family.

    From the fourth system of a family on the colours repeat, and the dashes tell the lines apart.
    """
    seen: dict[str, int] = {}
    colours = []
    for name in families.values():
        colours.append(SHADES[name][seen.get(name, 0) % 3])
        seen[name] = seen.get(name, 0) + 1
    return colours


def data(rows: Sequence[Mapping[str, Any]]) -> Any:
    """A chart of rows, without a mark yet."""
    return alt.Chart(alt.Data(values=[dict(row) for row in rows]))


LEGEND = alt.Legend(title=None, orient="top")


def colour(legend: Any = LEGEND) -> Any:
    """Colour by family."""
    return alt.Color("family:N", scale=alt.Scale(domain=FAMILIES, range=COLOURS), legend=legend)


def shape(legend: Any = LEGEND) -> Any:
    """Shape by family."""
    return alt.Shape("family:N", scale=alt.Scale(domain=FAMILIES, range=SHAPES), legend=legend)


GLYPHS = dict(zip(FAMILIES, "◆●■▲", strict=True))  # a family's shape, in a text
NARROW = 192  # pixels of a panel for a telephone, without the names beside it
LETTER, LINE = 6.4, 13.0  # pixels of a letter across and of a line down, at 11 px
DIRECT = 6  # series that are named beside their marks; more have a legend


def spread(wanted: Sequence[tuple[float, float]], room: float) -> list[float]:
    """Places of labels along a line, as near as can be to where they are wanted without one over another.

    `wanted`: (centre, size) of each, in pixels; `room`: the length of the line. They start at 0 where they do not fit.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i][0])
    starts = [0.0] * len(wanted)
    end = room
    for i in reversed(order):  # none ends behind the next, or the line
        centre, size = wanted[i]
        starts[i] = min(centre - size / 2, end - size)
        end = starts[i]
    end = 0.0
    for i in order:  # none starts before the last one ended
        starts[i] = max(starts[i], end)
        end = starts[i] + wanted[i][1]
    return [start + size / 2 for start, (_, size) in zip(starts, wanted, strict=True)]


def names_beside(
    rows: Sequence[Row], heights: Sequence[float], room: float, *, dx: int = 6, **encoding: Any
) -> list[Any]:
    """The system of each row as a text to the right of its mark, `heights` pixels from the top of the panel or near
    that; none where there are too many. `encoding`: its x."""
    if len(rows) > DIRECT:
        return []
    places = spread([(height, LINE) for height in heights], room)
    marks = [data([row]).mark_text(align="left", dx=dx, fontSize=11, limit=150) for row in rows]
    return [
        mark.encode(y=alt.value(place), text="system:N", **encoding) for mark, place in zip(marks, places, strict=True)
    ]


def lines(names: Sequence[str]) -> Any:
    """The systems down the page, in the order of the spec."""
    return alt.Y("system:N", sort=list(names), scale=alt.Scale(domain=list(names)), title=None)


INK = "currentColor"  # of the page, which knows whether it is dark
AXIS = dict.fromkeys(("labelColor", "titleColor", "gridColor", "domainColor", "tickColor"), INK)


def svg(chart: Any) -> Markup:
    """The chart as an SVG element, silent to a screen reader: its title and table say it better, mark by mark.
    vl-convert escapes every text in it. Where its process ends, as it does without memory, the page says so in its
    place."""
    styled = (
        chart.configure(background="transparent", aria=False)
        .configure_axis(labelFontSize=12, titleFontSize=12, labelLimit=220, gridOpacity=0.15, **AXIS)
        .configure_legend(labelFontSize=12, titleFontSize=12, labelLimit=220, symbolOpacity=1, labelColor=INK)
        .configure_title(color=INK)
        .configure_text(color=INK)
        .configure_view(stroke=None)
    )
    try:
        drawn = _rendered(styled.to_json(indent=None))
    except (OSError, ValueError):
        return Markup(
            '<p class="low">This chart was not drawn: the process that draws ended, perhaps without memory.</p>'
        )
    return Markup(drawn.replace("<svg ", '<svg aria-hidden="true" ', 1))


_renderer: list[subprocess.Popen[str]] = []


def _rendered(spec: str) -> str:
    """The SVG of a chart. Raises OSError or ValueError where the process that draws ended."""
    if not _renderer or _renderer[0].poll() is not None:
        close()
        _renderer[:] = [subprocess.Popen(RENDERER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)]
    process = _renderer[0]
    assert process.stdin and process.stdout
    process.stdin.write(spec + "\n")
    process.stdin.flush()
    found: str = json.loads(process.stdout.readline())
    return found


@atexit.register
def close() -> None:
    """End the process that draws; the next chart starts another."""
    while _renderer:
        process = _renderer.pop()
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()
