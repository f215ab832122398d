"""The page over several runs: their verdicts, and how each system of one dataset moved from run to run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from bench.core.errors import UserError
from bench.core.files import read_json, write_text
from bench.execution.run_file import RunFile, read_run
from bench.metrics.registry import title
from bench.report import gate_of
from bench.report.charts import history
from bench.report.charts.draw import Figure
from bench.report.charts.history import Accepted, Point
from bench.report.page import RunRow, overview
from bench.scoring.schema import Scores
from bench.verdict.score import is_current, read_scores


def index(folder: Path, accepted: Sequence[Accepted] = ()) -> Path:
    """Draw `index.html` over the scored runs in a folder, the newest first; baselines stand in the charts of their
    dataset. Raises UserError where there is no run."""
    found = {path.parent for path in (*folder.glob("*/run.json"), *folder.glob("published/*/run.json"))}
    if not found:
        raise UserError(
            "no run here.",
            where=str(folder),
            remedy="Give a run's folder, or the folder that holds runs, such as reports.",
        )
    rows, scored = [], []
    for run_folder in sorted(found):
        drawn = run_folder / "index.html"
        href = quote(drawn.relative_to(folder).as_posix()) if drawn.exists() else None
        try:
            run, scores = read_run(run_folder), _scores(run_folder)
        except UserError as e:
            rows.append(RunRow(name=run_folder.name, href=href, sentence=f"Cannot be read: {e}"))
            continue
        if scores is not None:
            scored.append((run, scores))
        rows.append(_row(run_folder, run, scores, href))
    rows.sort(key=lambda row: row.when, reverse=True)
    page = folder / "index.html"
    write_text(page, overview(rows, moved(scored, accepted)))
    return page


def _scores(folder: Path) -> Scores | None:
    """The scores of a run; None where this version has not scored it."""
    path = folder / "scores.json"
    return read_scores(folder) if path.exists() and is_current(read_json(path)) else None


def _row(folder: Path, run: RunFile, scores: Scores | None, href: str | None) -> RunRow:
    gated = gate_of(folder, scores) if scores else None
    return RunRow(
        name=folder.name,
        href=href,
        sentence=scores.recommendation.sentence if scores else f"{run.status}, not scored by this version",
        dataset=run.dataset.name,
        systems=sum(s.scenario is None for s in scores.measured.values()) if scores else len(run.systems),
        gate=gated.verdict if gated else "",
        seeds=len(run.spec.seeds),
        when=time.strftime("%Y-%m-%d %H:%M", time.gmtime(run.started)),
    )


def moved(runs: Sequence[tuple[RunFile, Scores]], accepted: Sequence[Accepted]) -> list[Figure]:
    """A figure for each dataset and measure that at least two runs are of."""
    groups: dict[tuple[str, str], list[tuple[RunFile, Scores]]] = {}
    for run, scores in sorted(runs, key=lambda found: found[0].started):
        groups.setdefault((run.dataset.digest, scores.headline), []).append((run, scores))
    figures = []
    for (dataset, headline), several in groups.items():
        baseline = next((a for a in accepted if a.dataset == dataset), None)
        points = [point for number, (run, scores) in enumerate(several, 1) for point in _points(number, run, scores)]
        machines = {(run.environment.cpu, run.environment.threads, str(run.environment.gpus)) for run, _ in several}
        apart = ", on several machines, whose times and memory are not comparable" if len(machines) > 1 else ""
        figure = history.history(points, baseline, what=several[-1][0].dataset.name + apart, measure=title(headline))
        if len(several) > 1 and figure:
            figures.append(figure)
    return figures


def _points(number: int, run: RunFile, scores: Scores) -> list[Point]:
    """Each system of a run, as the charts over runs show it."""
    when = time.strftime("%Y-%m-%d", time.gmtime(run.started))
    return [
        Point(
            system=name,
            family=system.shown_family,
            number=number,
            run=f"{run.name}, {when}, {run.environment.cpu}",
            quality=score.mean if (score := system.score(scores.headline)) else None,
            latency=system.speed.p50_s,
            memory=system.memory.peak_bytes,
        )
        for name, system in scores.measured.items()
    ]
