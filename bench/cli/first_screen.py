"""What a run ends with, in 80 columns: the decision, the question types, the leading systems, and what would change."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.cli.tables import escape, plain
from bench.core.display import interval, many, money, share, size, span
from bench.core.media import one_line
from bench.execution.run_file import RunFile
from bench.metrics.registry import title
from bench.report.decision import LEADING, changes, meanwhile, price, ranked, sure
from bench.scoring.schema import QuestionTypes, Scores
from bench.verdict.sentence import by_type

WIDTH = 80


def first_screen(run: RunFile, found: Scores, page: Path) -> None:
    """Print it."""
    console = Console(width=WIDTH, highlight=False)
    count, types = len(run.spec.seeds), found.recommendation.types
    facts = (many(run.dataset.test, "question"), run.spec.model.name, many(count, "seed"))
    console.print(one_line(" · ".join((run.name, *facts))), style="dim", markup=False)
    _say(console, found.recommendation.sentence, style="bold")
    weighed = bool(run.spec.needs.weights.counted)
    if told := sure(found.recommendation, many_seeds=count > 1, weighed=weighed):
        _say(console, told)
    if types:
        _print(console, _by_type(types, found.headline))
        _say(console, by_type(types))
    if told := meanwhile(found.recommendation):
        _say(console, told)
    lines = ranked(found)
    if lines:
        _print(console, _leading(found, lines))
    if cost := price(found, run.spec.volumes):
        console.print()
        _say(console, cost)
    sentences = changes(found.recommendation, run.spec.volumes)
    if sentences:
        console.print("\nWhat would change the decision:")
    for line in sentences:
        _say(console, line, initial_indent="- ", subsequent_indent="  ")
    console.print(f"\nReport: {page.resolve().as_uri()}", markup=False, soft_wrap=True)
    console.print(
        "Every measure, scenario and claim: the report, or `ragtune run --details`.", style="dim", markup=False
    )


def _say(console: Console, text: str, *, style: str = "", **indents: str) -> None:
    for line in textwrap.wrap(one_line(text), WIDTH, **indents):  # type: ignore[arg-type]
        console.print(line, style=style, markup=False)


def _by_type(types: QuestionTypes, measure: str) -> Table:
    """The highest system of each family on each type of question, where the gap is widest first."""
    table = _table(f"{title(measure)} by question type", "n", *types.systems)
    for row in types.answered:
        table.add_row(escape(row.type), str(row.n), *(share(row.scores[name].mean) for name in types.systems))
    return table


def _leading(found: Scores, lines: Sequence[tuple[str, Sequence[str]]]) -> Table:
    """The systems that score highest, with what they take; those that answer the same on one line."""
    table = _table("system", title(found.headline).lower(), "p50", "build", "memory", "$/month")
    for name, same in lines[:LEADING]:
        system = found.measured[name]
        table.add_row(
            escape(f"{name} (+{len(same)} the same)" if same else name),
            interval(system.score(found.headline)),
            span(system.speed.p50_s),
            span(system.build.total_s or None),
            size(system.memory.peak_bytes),
            money(found.recommendation.costs[name].usd_per_month if name in found.recommendation.costs else None),
        )
    if len(lines) > LEADING:
        table.caption = f"and {len(lines) - LEADING} more in the report"
    return table


def _table(*columns: str) -> Table:
    table = plain(*map(escape, columns))
    table.caption_justify = "left"
    for column in table.columns:
        column.no_wrap, column.overflow = False, "fold"
    return table


def _print(console: Console, table: Table) -> None:
    console.print()
    console.print(table)
