"""Scores, plans and findings as terminal tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.figures import count, interval, size, span


def _print(table: Table) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)  # a log has no edge to wrap at
    console.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for n, column in enumerate(columns):
        table.add_column(column, justify="left" if n == 0 else "right", no_wrap=n == 0)
    return table


def table(scores: Mapping[str, Any]) -> None:
    t = _table("system", "exact match", "recall@k", "p50", "questions/s", "build", "peak memory")
    for name, s in scores["systems"].items():
        if s["status"] == "failed":
            t.add_row(escape(name), "failed", *[""] * 5)
            continue
        shown = [interval(s["scores"][m]) for m in ("em", "recall_at_k")]
        speed, build = s["speed"], s["build"]
        t.add_row(
            escape(name),
            *shown,
            span(speed["p50_s"]),
            count(speed["questions_per_s"]),
            span(build["total_s"] or None),
            size(s["memory"]["peak_rss_bytes"]),
        )
    _print(t)


def comparison(found: Mapping[str, Any]) -> None:
    console = Console()
    console.print("Differences of the specs:" if found["spec"] else "The specs are the same.", highlight=False)
    for key, (a, b) in found["spec"].items():
        console.print(f"  {key}: {a!r} -> {b!r}", markup=False, highlight=False)
    for note in found["notes"]:
        console.print(note, markup=False, highlight=False)
    t = _table("system", "measure", "A", "B", "B - A", "95% interval", "n")
    for row in found["rows"]:
        low_high = f"{row['low']:+.3f} to {row['high']:+.3f}" if row["low"] is not None else "one figure a run"
        t.add_row(
            escape(row["system"]),
            row["measure"],
            f"{row['a']:.3g}",
            f"{row['b']:.3g}",
            f"{row['difference']:+.3g}",
            low_high,
            str(row["n"] or ""),
        )
    _print(t)


def plan(rows: Sequence[Mapping[str, Any]]) -> None:
    t = _table("cell", "records", "time", "weights and states", "basis")
    for row in rows:
        t.add_row(
            escape(row["cell"]),
            "cached" if row["cached"] else "to run",
            span(row["seconds"]),
            size(row["bytes"]),
            row["basis"],
        )
    _print(t)


def findings(rows: Sequence[Mapping[str, Any]]) -> None:
    t = _table("", "what", "found", "what to do")
    for column in t.columns[1:]:
        column.justify = "left"
    for f in rows:
        t.add_row(f["state"], f["what"], escape(str(f["found"])), escape(f["remedy"]))
    _print(t)
