"""Scores to one HTML file: self-contained, complete without its script, every text of others escaped.

Holds the page and its templates (`page`, `sections`, `macros.html.j2`), what it shows of the records (`details`), its
caveats, its charts, and exports to other tools. scores.json, run.json and records.jsonl come in; files for people go
out. May import `bench.verdict` and what stands below it.
"""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import quote

from bench.core.digest import file_digest
from bench.core.errors import UserError
from bench.core.files import write_text
from bench.execution.run_file import read_run
from bench.verdict.score import is_current, read_scores

STAMP = "<!-- ragtune scores "


def report(folder: Path, *, again: bool = False) -> Path:
    """Draw `index.html` of a scored run; a page that is of these very scores stays unless `again`.

    Raises UserError where the run is not scored.
    """
    from bench.report.details import details
    from bench.report.page import render

    scores = read_scores(folder)
    page = folder / "index.html"
    stamp = f"{STAMP}{file_digest(folder / 'scores.json')} -->"
    if again or not page.exists() or stamp not in page.read_text(encoding="utf-8")[:400]:
        run = read_run(folder)
        write_text(page, render(run, scores, details(folder, run, scores), stamp))
    return page


def index(folder: Path) -> Path:
    """Draw `index.html` over the scored runs in a folder, the newest first. Raises UserError where there is none."""
    from bench.report.page import RunRow, overview

    found = {path.parent for path in (*folder.glob("*/run.json"), *folder.glob("published/*/run.json"))}
    if not found:
        raise UserError(
            "no run here.",
            where=str(folder),
            remedy="Give a run's folder, or the folder that holds runs, such as reports.",
        )
    rows = []
    for run_folder in sorted(found):
        drawn = run_folder / "index.html"
        href = quote(drawn.relative_to(folder).as_posix()) if drawn.exists() else None
        try:
            run = read_run(run_folder)
            sentence = _sentence(run_folder) or f"{run.status}, not scored by this version"
        except UserError as e:
            rows.append(RunRow(name=run_folder.name, href=href, sentence=f"Cannot be read: {e}"))
            continue
        rows.append(
            RunRow(
                name=run.name,
                href=href,
                sentence=sentence,
                dataset=run.dataset.name,
                systems=len(run.systems),
                seeds=len(run.spec.seeds),
                when=time.strftime("%Y-%m-%d %H:%M", time.gmtime(run.started)),
            )
        )
    rows.sort(key=lambda row: row.when, reverse=True)
    page = folder / "index.html"
    write_text(page, overview(rows))
    return page


def _sentence(folder: Path) -> str | None:
    """The verdict of a run; None where this version has not scored it."""
    from bench.core.files import read_json

    path = folder / "scores.json"
    if not path.exists() or not is_current(read_json(path)):
        return None
    return read_scores(folder).recommendation.sentence
