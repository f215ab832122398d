"""Scores to one HTML file: self-contained, whole without its script, nothing from a corpus or a model ever markup."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import quote

from bench.core.digest import file_digest
from bench.core.errors import UserError
from bench.core.files import read_json, write_text
from bench.verdict.score import VERSION, read_run

STAMP = "<!-- ragtune scores "


def report(folder: Path, *, again: bool = False) -> Path:
    """Draw `index.html` of a scored run; a page that is of these very scores stays unless `again`.

    Raises UserError where the run is not scored.
    """
    from bench.report.details import seen
    from bench.report.page import render

    if not (folder / "scores.json").exists():
        raise UserError("this run is not scored yet.", where=str(folder), remedy="Run `ragtune score` on it.")
    scores = read_json(folder / "scores.json")
    if scores.get("version") != VERSION:
        raise UserError("an older ragtune scored this run.", where=str(folder), remedy="Run `ragtune score` on it.")
    page = folder / "index.html"
    stamp = f"{STAMP}{file_digest(folder / 'scores.json')} -->"
    if again or not page.exists() or stamp not in page.read_text(encoding="utf-8")[:400]:
        run = read_run(folder)
        write_text(page, render(run, scores, seen(folder, run, scores["questions"]), stamp))
    return page


def index(folder: Path) -> Path:
    """Draw `index.html` over the scored runs in a folder, the newest first. Raises UserError where there is none."""
    from bench.report.page import overview

    found = {p.parent for p in (*folder.glob("*/run.json"), *folder.glob("published/*/run.json"))}
    rows = []
    for place in sorted(found):
        run, scores = read_run(place), read_json(place / "scores.json") if (place / "scores.json").exists() else {}
        drawn = place / "index.html"
        rows.append({
            "name": run["name"], "href": quote(drawn.relative_to(folder).as_posix()) if drawn.exists() else None,
            "sentence": scores.get("recommendation", {}).get("sentence") or f"{run['status']}, not scored by this version",
            "dataset": run["dataset"]["name"], "systems": len(run["systems"]), "seeds": len(run["spec"]["seeds"]),
            "when": time.strftime("%Y-%m-%d %H:%M", time.gmtime(run.get("started", 0))),
        })  # fmt: skip
    if not rows:
        raise UserError(
            "no run here.", where=str(folder), remedy="Give a run's folder, or the folder that holds runs, such as reports."
        )  # fmt: skip
    rows.sort(key=lambda r: str(r["when"]), reverse=True)
    page = folder / "index.html"
    write_text(page, overview(rows))
    return page
