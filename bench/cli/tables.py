"""Scores, plans and findings as terminal tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.core.display import count, difference, interval, size, span


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


def verdict(scores: Mapping[str, Any]) -> None:
    """The scenarios, the claims that were tested, and the recommendation."""
    for key, (title, header, cells) in SCENARIOS.items():
        found = scores["scenarios"][key]
        if found:
            t = _table(f"{title} ({found['system']})" if key == "data" else title, *header)
            for row in found["rows"] if key == "data" else found:
                t.add_row(*map(escape, cells(row)))
            _print(t)
    tested = [c for c in scores["claims"] if c["status"] != "not tested"]
    if tested:
        claims(tested)
    console = Console()
    console.print(scores["recommendation"]["sentence"], style="bold", markup=False, highlight=False)


Cells = Callable[[Mapping[str, Any]], list[str]]
SCENARIOS: dict[str, tuple[str, tuple[str, ...], Cells]] = {  # key -> (title, header, cells of a row)
    "freshness": ("freshness", ("new facts after", "stale after", "unchanged after", "refresh", "trained anew", "new facts then"), lambda r: [r["system"], *map(interval, (r["updated_em"], r["stale"], r["kept_em"])), span(r["refresh_s"]), span(r["retrain_s"]), interval(r["retrained_changed"])]),
    "style": ("house style", ("form", "content"), lambda r: [r["system"], interval(r["form"]), interval(r["content"])]),
    "data": ("data", ("score", "minus retrieval"), lambda r: [count(r["size"]), interval(r["score"]), difference(r.get("against"))]),
    "forgetting": ("forgetting", ("questions", "untuned", "tuned", "difference"), lambda r: [r["system"], r["stratum"], interval(r["before"]), interval(r["after"]), difference(r["difference"])]),
    "robustness": ("robustness", ("varied", "to", "measure", "score"), lambda r: [r["reader"], r["what"], str(r["value"]), r["measure"], interval(r["score"])]),
    "recall": ("recall", ("parameter", "index recall", "score"), lambda r: [r["system"], f"{r['what']} {r['value']}", interval(r["index_recall"]), interval(r["score"])]),
}  # fmt: skip


def claims(rows: Sequence[Mapping[str, Any]]) -> None:
    """The ledger: of a run with what it says, or bare with what would test each."""
    t = _table("claim", "status", "measured") if "status" in rows[0] else _table("id", "claim", "what tests it")
    for column in t.columns[1:]:
        column.justify, column.overflow = "left", "fold"
    for c in rows:
        if "status" in c:
            t.add_row(c["id"], c["status"], escape(" ".join(filter(None, (c["measured"], c["takes"])))))
        else:
            t.add_row(c["id"], c["claim"], escape(c["needs"]))
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


def gate(results: Sequence[Any]) -> None:
    from bench.gate.outputs import change, figure

    t = _table("state", "system", "rule", "before", "now", "change", "why")
    for column in (t.columns[1], t.columns[2], t.columns[6]):
        column.justify = "left"
    for r in results:
        t.add_row(r.state, escape(r.system), escape(r.rule), figure(r.old), figure(r.new), change(r), escape(r.why))
    _print(t)


def floors(noise: Mapping[str, float], smallest: Mapping[str, float]) -> None:
    t = _table("metric", "noise of repeats", "smallest change found 9 times in 10")
    for metric, floor in noise.items():
        t.add_row(
            metric,
            f"{floor:.4f}" if metric in smallest else f"{100 * floor:.1f}%",
            f"{smallest[metric]:.4f}" if metric in smallest else "",
        )
    _print(t)
