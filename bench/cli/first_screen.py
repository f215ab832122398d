"""What a run ends with, in 80 columns: the verdict, the question types and the leading systems."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.cli.tables import escape
from bench.core.display import interval, share, size, span
from bench.core.media import one_line
from bench.core.system import Family
from bench.execution.run_file import RunFile
from bench.metrics.registry import title
from bench.scoring.schema import MeasuredSystem, Scores

WIDTH = 80
LEADING = 6  # systems of the table
COMPARED: tuple[Family, ...] = ("retrieval", "tuning", "both")


def first_screen(run: RunFile, found: Scores, page: Path) -> None:
    """Print it."""
    console = Console(width=WIDTH, highlight=False)
    own = {n: s for n, s in found.measured.items() if s.scenario is None and s.shown_family != "control"}
    ranked = sorted(
        (n for n, s in own.items() if s.score(found.headline)), key=lambda n: -_mean(own[n], found.headline)
    )
    count = len(run.spec.seeds)
    facts = (f"{run.dataset.test:,} questions", run.spec.model.name, f"{count} seed{'s' if count > 1 else ''}")
    console.print(one_line(" · ".join((run.name, *facts))), style="dim", markup=False)
    for line in textwrap.wrap(one_line(found.recommendation.sentence), WIDTH):
        console.print(line, style="bold", markup=False)
    if ranked:
        _print(console, _by_type(own, ranked, found.headline))
        _print(console, _leading(own, ranked, found.headline))
    console.print(f"\nReport: {page.resolve().as_uri()}", markup=False, soft_wrap=True)
    console.print(
        "Every measure, scenario and claim: the report, or `ragtune run --details`.", style="dim", markup=False
    )


def _mean(system: MeasuredSystem, measure: str) -> float:
    score = system.score(measure)
    return score.mean if score else -1.0


def _by_type(own: Mapping[str, MeasuredSystem], ranked: list[str], measure: str) -> Table | None:
    """The highest system of each family on each type of question, where the gap is widest first."""
    leaders = [next((n for n in ranked if own[n].family == family), None) for family in COMPARED]
    names = [name for name in leaders if name]
    strata = {
        n: {key: part for key, part in score.strata.items() if part} for n in names if (score := own[n].score(measure))
    }
    common = [key for key in strata[names[0]] if all(key in strata[n] for n in names)] if names else []
    if len(names) < 2 or len(common) < 2:
        return None
    table = _table(f"{title(measure)} by question type", "n", *names)

    def gap(key: str) -> float:
        means = [strata[n][key].mean for n in names]
        return max(means) - min(means)

    for key in sorted(common, key=gap, reverse=True):
        table.add_row(escape(key), str(strata[names[0]][key].n), *(share(strata[n][key].mean) for n in names))
    return table


def _leading(own: Mapping[str, MeasuredSystem], ranked: list[str], measure: str) -> Table:
    """The systems that score highest, with what they take."""
    table = _table("system", title(measure).lower(), "p50", "build", "memory")
    for name in ranked[:LEADING]:
        system = own[name]
        table.add_row(
            escape(name),
            interval(system.score(measure)),
            span(system.speed.p50_s),
            span(system.build.total_s or None),
            size(system.memory.peak_rss_growth_bytes),
        )
    if len(ranked) > LEADING:
        table.caption = f"and {len(ranked) - LEADING} more in the report"
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
    for position, column in enumerate(columns):
        table.add_column(escape(column), justify="right" if position else "left", overflow="fold")
    return table


def _print(console: Console, table: Table | None) -> None:
    if table is not None:
        console.print()
        console.print(table)
