"""Scores, plans and findings as terminal tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape as marked
from rich.table import Table

from bench.core.display import count, difference, four, interval, size, span
from bench.core.media import one_line
from bench.scoring.schema import Claim, MeasuredSystem, ScenarioTables, Scores

if TYPE_CHECKING:
    from bench.scoring.schema.gate import Result
    from bench.spec.paper import Paper
    from bench.verdict.compare_runs import Comparison
    from bench.verdict.published import Beside


def escape(text: str) -> str:
    """Text in a cell of a table."""
    return marked(one_line(text))


def _print(table: Table) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)  # a log has no edge to wrap at
    console.print(table)


def plain(*columns: str) -> Table:
    """A table without lines; the first column is of names, the others of figures."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position == 0 else "right", no_wrap=position == 0)
    return table


def _filled(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = plain(*columns)
    for row in rows:
        table.add_row(*map(escape, row))
    _print(table)


def scores(found: Scores) -> None:
    """Every system with its leading figures."""
    table = plain("system", "exact match", "recall@k", "p50", "questions/s", "build", "peak memory")
    for name, system in found.systems.items():
        if not isinstance(system, MeasuredSystem):
            table.add_row(escape(name), "failed", *[""] * 5)
            continue
        table.add_row(
            escape(name),
            interval(system.score("em")),
            interval(system.score("recall_at_k")),
            span(system.speed.p50_s),
            count(system.speed.questions_per_s),
            span(system.build.total_s or None),
            size(system.memory.peak_bytes),
        )
    _print(table)


def verdict(found: Scores) -> None:
    """The scenarios, the claims that were tested, and the recommendation."""
    scenarios(found.scenarios)
    tested = [claim for claim in found.claims if claim.status != "not tested"]
    if tested:
        claims(tested)
    Console().print(found.recommendation.sentence, style="bold", markup=False, highlight=False)


def scenarios(found: ScenarioTables) -> None:
    """A table for each scenario that was run."""
    if found.freshness:
        _filled(
            (
                "freshness",
                "new facts after",
                "stale after",
                "unchanged after",
                "re-index",
                "retraining",
                "new facts, retrained",
            ),
            [
                (
                    row.system,
                    interval(row.updated_em),
                    interval(row.stale),
                    interval(row.kept_em),
                    span(row.refresh_s),
                    span(row.retrain_s),
                    interval(row.retrained_changed),
                )
                for row in found.freshness
            ],
        )
    if found.style:
        _filled(
            ("house style", "form", "content"),
            [(row.system, interval(row.form), interval(row.content)) for row in found.style],
        )
    if found.data:
        _filled(
            (f"data ({found.data.system})", "score", "difference from retrieval"),
            [(count(row.size), interval(row.score), difference(row.against)) for row in found.data.rows],
        )
    if found.forgetting:
        _filled(
            ("forgetting", "questions", "untuned", "tuned", "difference"),
            [
                (row.system, row.stratum, interval(row.before), interval(row.after), difference(row.difference))
                for row in found.forgetting
            ],
        )
    if found.robustness:
        _filled(
            ("robustness", "variable", "value", "measure", "score"),
            [(row.reader, row.what, str(row.value), row.measure, interval(row.score)) for row in found.robustness],
        )
    if found.recall:
        _filled(
            ("recall", "parameter", "index recall", "score"),
            [
                (row.system, f"{row.what} {row.value}", interval(row.index_recall), interval(row.score))
                for row in found.recall
            ],
        )


def claims(rows: Sequence[Claim]) -> None:
    """What a run says of each claim."""
    table = _wrapped("claim", "status", "measured")
    for claim in rows:
        table.add_row(claim.id, claim.status, escape(" ".join(filter(None, (claim.measured, claim.takes)))))
    _print(table)


def ledger(rows: Sequence[Mapping[str, str]]) -> None:
    """The claims, and what in a run would test each."""
    table = _wrapped("id", "claim", "what tests it")
    for claim in rows:
        table.add_row(claim["id"], claim["claim"], escape(claim["needs"]))
    _print(table)


def _wrapped(*columns: str) -> Table:
    """A table of text, whose cells fold."""
    table = plain(*columns)
    for column in table.columns[1:]:
        column.justify, column.overflow = "left", "fold"
    return table


def comparison(found: Comparison) -> None:
    """Two runs: how their specs differ, and what moved."""
    console = Console()
    console.print("Differences of the specs:" if found.spec else "The specs are the same.", highlight=False)
    for key, (before, after) in found.spec.items():
        console.print(f"  {key}: {before!r} -> {after!r}", markup=False, highlight=False)
    for note in found.notes:
        console.print(note, markup=False, highlight=False)
    table = plain("system", "measure", "A", "B", "B - A", "95% interval", "n")
    for row in found.rows:
        ends = "one value per run" if row.low is None else f"{row.low:+.3f} to {row.high:+.3f}"
        figures = (f"{row.a:.3g}", f"{row.b:.3g}", f"{row.difference:+.3g}")
        table.add_row(escape(row.system), row.measure, *figures, ends, str(row.n or ""))
    _print(table)


def _expected(seconds: tuple[float, float] | None) -> str:
    if seconds is None or seconds[0] == seconds[1]:
        return span(seconds and seconds[0])
    return f"{span(seconds[0])} to {span(seconds[1])}"


def plan(rows: Sequence[Mapping[str, Any]]) -> None:
    """The cells of a run, and the time and memory to expect of each."""
    table = plain("cell", "state", "time", "weights", "memory here", "estimate based on")
    for row in rows:
        state = "cached" if row["cached"] else "to run"
        table.add_row(
            escape(row["cell"]), state, _expected(row["seconds_range"]), size(row["bytes"]), row["fits"], row["basis"]
        )
    _print(table)


def findings(rows: Sequence[Mapping[str, str]]) -> None:
    """What a machine has and lacks."""
    table = plain("", "what", "found", "what to do")
    for column in table.columns[1:]:
        column.justify = "left"
    for row in rows:
        table.add_row(row["state"], row["what"], escape(row["found"]), escape(row["remedy"]))
    _print(table)


def gate(results: Sequence[Result]) -> None:
    """What each rule says of each system."""
    table = plain("state", "system", "rule", "before", "now", "change", "why")
    for column in (table.columns[1], table.columns[2], table.columns[6]):
        column.justify = "left"
    for result in results:
        figures = (four(result.old), four(result.new), result.shown)
        table.add_row(result.state, escape(result.system), escape(result.rule), *figures, escape(result.why))
    _print(table)


def floors(noise: Mapping[str, float], smallest: Mapping[str, float]) -> None:
    """The noise of repeats, and the smallest change that a gate finds above it."""
    table = plain("metric", "noise of repeats", "smallest change found with 90% power")
    for metric, floor in noise.items():
        share = metric in smallest
        found = f"{smallest[metric]:.4f}" if share else ""
        table.add_row(metric, f"{floor:.4f}" if share else f"{100 * floor:.1f}%", found)
    _print(table)


def published(paper: Paper, rows: Sequence[Beside]) -> None:
    """A paper's figures beside a run's."""
    table = plain("published", "measure", "paper", "here", "result")
    for row in rows:
        here = "not measured" if row.found is None else f"{row.found:.3f} ({row.low:.3f} to {row.high:.3f})"
        table.add_row(escape(row.what), row.metric, f"{row.published:.3f}", here, row.state)
    Console().print(f"{paper.title} ({paper.source})", markup=False, highlight=False)
    _print(table)
