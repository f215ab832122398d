"""What a run ends with, in 80 columns: the verdict, the question types and the leading systems."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.cli.tables import escape, plain
from bench.core.display import interval, share, size, span
from bench.core.media import one_line
from bench.core.system import Family
from bench.execution.run_file import RunFile
from bench.metrics.registry import title
from bench.scoring.schema import MeasuredSystem, Score, Scores

WIDTH = 80
LEADING = 6  # systems of the table
COMPARED: tuple[Family, ...] = ("retrieval", "tuning", "both")


def first_screen(run: RunFile, found: Scores, page: Path) -> None:
    """Print it."""
    console = Console(width=WIDTH, highlight=False)
    own = {n: s for n, s in found.measured.items() if s.scenario is None and s.shown_family != "control"}
    scores = {n: score for n, s in own.items() if (score := s.score(found.headline))}
    ranked = sorted(scores, key=lambda n: -scores[n].mean)
    count = len(run.spec.seeds)
    facts = (f"{run.dataset.test:,} questions", run.spec.model.name, f"{count} seed{'s' if count > 1 else ''}")
    console.print(one_line(" · ".join((run.name, *facts))), style="dim", markup=False)
    for line in textwrap.wrap(one_line(found.recommendation.sentence), WIDTH):
        console.print(line, style="bold", markup=False)
    if ranked:
        leaders = [next((n for n in ranked if own[n].family == family), None) for family in COMPARED]
        _print(console, _by_type({n: scores[n] for n in leaders if n}, found.headline))
        _print(console, _leading({n: own[n] for n in ranked}, scores, found.headline))
    console.print(f"\nReport: {page.resolve().as_uri()}", markup=False, soft_wrap=True)
    console.print(
        "Every measure, scenario and claim: the report, or `ragtune run --details`.", style="dim", markup=False
    )


def _by_type(leaders: Mapping[str, Score], measure: str) -> Table | None:
    """The highest system of each family on each type of question, where the gap is widest first."""
    types = [key for score in leaders.values() for key in score.strata]
    found = {key: [part for s in leaders.values() if (part := s.strata.get(key))] for key in dict.fromkeys(types)}
    common = {key: parts for key, parts in found.items() if len(parts) == len(leaders)}
    if len(leaders) < 2 or len(common) < 2:
        return None
    table = _table(f"{title(measure)} by question type", "n", *leaders)

    def gap(key: str) -> float:
        means = [part.mean for part in common[key]]
        return max(means) - min(means)

    for key in sorted(common, key=gap, reverse=True):
        table.add_row(escape(key), str(common[key][0].n), *(share(part.mean) for part in common[key]))
    return table


def _leading(ranked: Mapping[str, MeasuredSystem], scores: Mapping[str, Score], measure: str) -> Table:
    """The systems that score highest, with what they take."""
    table = _table("system", title(measure).lower(), "p50", "build", "memory")
    for name, system in itertools.islice(ranked.items(), LEADING):
        table.add_row(
            escape(name),
            interval(scores[name]),
            span(system.speed.p50_s),
            span(system.build.total_s or None),
            size(system.memory.peak_rss_growth_bytes),
        )
    if len(ranked) > LEADING:
        table.caption = f"and {len(ranked) - LEADING} more in the report"
    return table


def _table(*columns: str) -> Table:
    table = plain(*map(escape, columns))
    table.caption_justify = "left"
    for column in table.columns:
        column.no_wrap, column.overflow = False, "fold"
    return table


def _print(console: Console, table: Table | None) -> None:
    if table is not None:
        console.print()
        console.print(table)
