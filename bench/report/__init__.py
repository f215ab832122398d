"""Scores to one HTML file: self-contained, complete without its script, every text of others escaped.

Holds the page and its templates (`page`, `sections`, `macros.html.j2`), what it shows of the records (`details`), its
caveats, its charts, and exports to other tools. scores.json, run.json and records.jsonl come in; files for people go
out. May import `bench.verdict` and what stands below it.
"""

from __future__ import annotations

from pathlib import Path

from bench.core.digest import file_digest
from bench.core.errors import UserError, fitted
from bench.core.files import packed, read_json, write_text
from bench.execution.run_file import read_run
from bench.scoring.schema import Scores
from bench.scoring.schema.gate import GateFile
from bench.verdict.score import check_records, read_scores

STAMP = "<!-- ragtune scores "
GATE = "gate.json"  # what the last gate said of a run


def report(folder: Path, *, again: bool = False) -> Path:
    """Draw `index.html` of a scored run; a page that is of these very scores stays unless `again`. Tables that were
    written beside it before are written anew.

    Raises UserError where the run is not scored, or its records are not those that it wrote.
    """
    from bench.report.details import details
    from bench.report.export import renew
    from bench.report.page import render

    scores = read_scores(folder)
    page = folder / "index.html"
    gated = gate_of(folder, scores)
    known = " ".join(file_digest(folder / name) for name in ("scores.json", *((GATE,) if gated else ())))
    stamp = f"{STAMP}{known} -->"
    if again or not page.exists() or stamp not in page.read_text(encoding="utf-8")[:400]:
        run = read_run(folder)
        if packed(folder / "records.jsonl").exists():
            check_records(folder, run)
        write_text(page, render(run, scores, details(folder, run, scores), gated, stamp))
        renew(folder)
    return page


def gate_of(folder: Path, scores: Scores) -> GateFile | None:
    """What the last gate said of these very scores; None where it was not asked."""
    path = folder / GATE
    try:
        found = fitted(
            GateFile, path, read_json(path), wrong="no result of a gate", remedy="Remove it, and gate the run again."
        )
    except UserError:  # none, or damaged: a page without it is still right
        return None
    return found if found.scores == scores.seal else None
