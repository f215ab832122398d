"""Draws the learning curve of the language model: `python -m systems.micro.card`.

Reads `lm/curve.json`, writes `curve.svg`.
"""

from __future__ import annotations

import json
from pathlib import Path

import altair as alt
import vl_convert

HERE = Path(__file__).parent
TITLES = {
    "em_1": "one page",
    "em_4": "among four",
    "em_8": "among eight",
    "two_hop_4": "two hops, among four",
    "missing_4": "unanswerable, among four",
}
COLOURS = ("#0072b2", "#56b4e9", "#009e73", "#d55e00", "#6b7280")


def curve(points: list[dict[str, float]]) -> str:
    """exact match of each probe against tokens seen, as SVG."""
    rows = [{"tokens": p["tokens"] / 1e6, "probe": t, "em": p[k]} for p in points for k, t in TITLES.items()]
    colour = alt.Color(
        "probe:N", sort=list(TITLES.values()), scale=alt.Scale(range=COLOURS), legend=alt.Legend(title=None)
    )
    chart = alt.Chart(alt.Data(values=rows), width=520, height=240, title="Reading grows with the tokens seen").encode(
        x=alt.X("tokens:Q", title="tokens seen, millions"),
        y=alt.Y("em:Q", title="exact match", scale=alt.Scale(domain=[0, 1])),
        color=colour,
        strokeDash=alt.StrokeDash("probe:N", sort=list(TITLES.values()), legend=None),
    )
    return str(vl_convert.vegalite_to_svg(chart.mark_line().to_json()))


def main() -> None:
    """Draw the curve."""
    points = json.loads((HERE / "lm" / "curve.json").read_text())["points"]
    (HERE / "curve.svg").write_text(curve(points) + "\n")


if __name__ == "__main__":
    main()
