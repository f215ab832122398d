"""What a gate compares: the values of a run, question by question, with where and of what they are.

A baseline is such a snapshot that somebody has looked at and accepted, as one file in reports/baselines/.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from bench.core.errors import UserError
from bench.core.files import write_text
from bench.core.vocabulary import JSON
from bench.scoring import judge_stage, resources
from bench.verdict.score import graded, read_run, score

SCHEMA = 1
PLACE = ("cpu", "cores", "threads", "gpus")
FIGURES = {  # one a seed: name -> the part of its cell
    "peak_rss_bytes": "memory", "peak_gpu_allocated_bytes": "memory", "train_s": "build", "step_s": "build",
    "train_peak_rss_bytes": "build", "train_peak_gpu_bytes": "build",
}  # fmt: skip


@dataclass(frozen=True)
class Snapshot:
    """`systems`: name -> {status, seeds, values, latency_s, figures}; `values`: metric -> {questions, clusters, strata, rows}."""

    name: str
    dataset: str
    spec: str
    place: Mapping[str, JSON]
    versions: Mapping[str, JSON]
    headline: str
    systems: Mapping[str, Mapping[str, Any]]
    floors: Mapping[str, float]  # metric -> relative noise that A/A repeats showed
    reason: str = ""


def of_run(folder: Path, *, again: Mapping[str, Collection[str]] | None = None) -> Snapshot:
    """The snapshot of a finished run; `again`: system -> metrics that its judge is asked for once more, and that stand
    in the place of what it said. Raises UserError where there is no run, or no judge to ask."""
    scores, run = score(folder), read_run(folder)
    found = graded(folder)
    if again:
        found = replace(found, verdicts=judge_stage.renewed(folder, found.verdicts, again))
    systems: dict[str, dict[str, Any]] = {}
    for name, s in scores["systems"].items():
        if s["status"] == "failed":
            systems[name] = {"status": "failed", "seeds": 0, "values": {}, "latency_s": {}, "figures": {}}
            continue
        cells = found.done(name).values()
        built = [resources.built(c) for c in cells]
        figures = {
            k: [b.get(k) for b in built] if part == "build" else [c["memory"].get(k) for c in cells]
            for k, part in FIGURES.items()
        }
        systems[name] = {
            "status": s["status"], "seeds": s["seeds"], "latency_s": found.latency[name],
            "values": {m: {"questions": c.questions, "clusters": c.clusters, "strata": c.strata, "rows": c.values.tolist()} for m, c in found.columns[name].items()},
            "figures": {k: known for k, v in figures.items() if (known := [x for x in v if x is not None])},
        }  # fmt: skip
    environment = run["environment"]
    return Snapshot(
        run["name"], run["dataset"]["digest"], run["spec_digest"], {k: environment[k] for k in PLACE},
        {k: v for k, v in environment["versions"].items() if v}, scores["headline"], systems, {},
    )  # fmt: skip


def read(path: Path) -> Snapshot:
    """A snapshot from a run's folder or a baseline's file. Raises UserError for anything else."""
    if path.is_dir():
        return of_run(path)
    if not path.exists():
        raise UserError(
            "no run and no baseline here.",
            where=str(path),
            remedy="Give a run's folder, or what `ragtune baseline accept` wrote.",
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["schema_version"] != SCHEMA:
            raise UserError(
                f"a baseline of schema {found['schema_version']}, and this ragtune reads {SCHEMA}.",
                where=str(path),
                remedy="Accept it again.",
            )
        return Snapshot(**{f.name: found[f.name] for f in fields(Snapshot)})
    except (ValueError, KeyError, TypeError) as e:
        raise UserError(
            f"no baseline: {type(e).__name__} {e}.",
            where=str(path),
            remedy="Give what `ragtune baseline accept` wrote, whole.",
        ) from None


def accept(
    folder: Path, *, reason: str, out: Path = Path("reports/baselines"), floors: Mapping[str, float] | None = None
) -> Path:
    """Write a run's snapshot as a baseline. Raises UserError without a reason, and for a run that is not whole."""
    if not reason.strip():
        raise UserError(
            "a baseline needs a reason.", where="--reason", remedy="Say why these figures are the ones to hold."
        )
    run = read_run(folder)
    if run["status"] != "complete":
        raise UserError(
            f"the run is {run['status']}, and a baseline must be whole.",
            where=str(folder),
            remedy="Finish it with `ragtune run`.",
        )
    taken = replace(of_run(folder), reason=reason, floors=dict(floors or {}))
    told = {"schema_version": SCHEMA, "accepted": time.strftime("%Y-%m-%d"), **asdict(taken)}
    path = out / f"{taken.name}.json"
    write_text(path, json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n")
    return path


def finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
