"""What a gate compares: the values of a run, question by question, with where and of what they are.

A baseline is such a snapshot that somebody has looked at and accepted, as one file in reports/baselines/.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import statistics
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from bench.core.digest import digest
from bench.core.errors import UserError, first_error
from bench.core.files import read_json, write_text
from bench.core.vocabulary import JSON
from bench.execution.run_file import RunFile, read_run
from bench.gate import times
from bench.scoring import judge_stage
from bench.scoring.grade import Column
from bench.scoring.graded import GradedRun
from bench.scoring.records import graded
from bench.scoring.schema import MeasuredSystem
from bench.verdict.score import score

SCHEMA = 1
OLD_NAMES = {  # of figures, in rules and baselines that an older ragtune wrote
    "peak_rss_bytes": "peak_rss_growth_bytes",
    "train_peak_rss_bytes": "train_peak_rss_growth_bytes",
}


@dataclass(frozen=True)
class Values:
    """One measure of one system, question by question. `rows`: (seeds, questions)."""

    questions: Sequence[str]
    clusters: Sequence[str]
    rows: Sequence[Sequence[float]]
    strata: Sequence[str] | None = None

    @property
    def column(self) -> Column:
        """The values as a column; strata play no part in a comparison."""
        matrix = np.array(self.rows, dtype=np.float64)
        return Column(list(self.questions), matrix, list(self.clusters), ["all"] * len(self.questions))

    def of(self, stratum: str) -> Values | None:
        """The values of one stratum; None where there are none, or an older baseline does not say."""
        kept = [i for i, s in enumerate(self.strata or ()) if s == stratum]
        if not kept:
            return None
        questions, clusters = ([x[i] for i in kept] for x in (self.questions, self.clusters))
        return Values(questions, clusters, [[row[i] for i in kept] for row in self.rows], [stratum] * len(kept))


@dataclass(frozen=True)
class SystemSnapshot:
    """One system. `latency_s` is by question, of those answered alone; `figures` are one a seed.

    `yardstick_s` are the seconds that a fixed piece of work took while it was timed: "answering" and "building", where
    they are known. `latency_beside` and `figures_beside` are those times over the time of the reference work that was
    done between the questions and steps: what the machine does to both is not in them. `reference_s` is that time.
    """

    status: str
    seeds: int
    values: Mapping[str, Values]
    latency_s: Mapping[str, float]
    figures: Mapping[str, Sequence[float]]
    yardstick_s: Mapping[str, float] = field(default_factory=dict)
    latency_beside: Mapping[str, float] = field(default_factory=dict)
    figures_beside: Mapping[str, Sequence[float]] = field(default_factory=dict)
    reference_s: Mapping[str, float] = field(default_factory=dict)
    device: str | None = None
    rounds: int = 0
    brought: bool = False  # its adapter was found in the store, built on another device: no time of that is of this run


@dataclass(frozen=True)
class RunNoise:
    """By how much the logarithm of a figure, or the mean of a measure, varies between repeats of one run: its standard
    deviation, and its degrees of freedom."""

    sd: float
    df: int


@dataclass(frozen=True)
class Snapshot:
    """A run as a gate sees it. `machine` is what times and memory depend on. Of repeats of one and the same run,
    `floors` is metric -> the largest change that they showed, and `noise` how much figures vary between them."""

    name: str
    dataset: str
    spec: str
    machine: Mapping[str, JSON]
    versions: Mapping[str, JSON]
    headline: str
    systems: Mapping[str, SystemSnapshot]
    floors: Mapping[str, float] = field(default_factory=dict)
    noise: Mapping[str, RunNoise] = field(default_factory=dict)
    reason: str = ""
    accepted: str = ""  # the day, of a baseline
    seal: str = ""  # of the scores that it was taken from

    @property
    def central(self) -> dict[str, dict[str, float]]:
        """system -> `quality`, `latency` in seconds and `memory` in bytes, in the middle: those that are known."""
        return {name: dict(_central(system, self.headline)) for name, system in self.systems.items()}


def _central(system: SystemSnapshot, headline: str) -> Iterator[tuple[str, float]]:
    if headline in system.values:
        yield "quality", float(np.mean(system.values[headline].rows))
    if system.latency_s:
        yield "latency", statistics.median(system.latency_s.values())
    if peaks := system.figures.get("peak_rss_growth_bytes"):
        yield "memory", statistics.median(peaks)


_SNAPSHOT = TypeAdapter(Snapshot)


def of_run(folder: Path, *, again: Mapping[str, Collection[str]] | None = None) -> Snapshot:
    """The snapshot of a finished run.

    `again`: system -> metrics that its judge is asked for once more; the new verdicts replace the old ones. Raises
    UserError where there is no run, or no judge to ask.
    """
    scores, found = score(folder), graded(folder)
    run = found.run
    if again:
        found = replace(found, verdicts=judge_stage.asked_again(folder, found.verdicts, again))
    environment = run.environment
    machine = {
        "cpu": environment.cpu,
        "cores": environment.cores,
        "threads": environment.threads,
        "gpus": [gpu.model_dump(include={"name", "memory_bytes", "driver"}) for gpu in environment.gpus],
    }
    return Snapshot(
        run.name,
        run.dataset.digest,
        digest({key: value for key, value in run.recorded.items() if key not in ("name", "description")}),
        machine,
        {library: version for library, version in environment.versions.items() if version},
        scores.headline,
        {name: _system(name, system, found) for name, system in scores.systems.items()},
        seal=scores.seal,
    )


def _system(name: str, system: object, found: GradedRun) -> SystemSnapshot:
    if not isinstance(system, MeasuredSystem):
        return SystemSnapshot("failed", 0, {}, {}, {})
    values = {
        measure: Values(column.questions, column.clusters, column.values.tolist(), column.strata)
        for measure, column in found.columns[name].items()
    }
    cells = list(found.run.done(name).values())
    return SystemSnapshot(
        system.status,
        system.seeds,
        values,
        found.latency[name],
        times.figures(cells),
        times.yardsticks(cells, found.run.yardstick_s),
        times.latency_beside(cells),
        times.figures_beside(cells),
        times.reference(cells),
        cells[0].notes.device,
        max(len(cell.turns) for cell in cells),
        any(artefact.kind == "adapter" for cell in cells for artefact in cell.brought),
    )


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
        snapshot = _SNAPSHOT.validate_json(json.dumps(_current(_of_schema(path)), allow_nan=False), strict=True)
        _check(snapshot)
        return snapshot
    except ValidationError as e:
        said = first_error(e)
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        said = f"it has no {e}" if isinstance(e, KeyError) else str(e).rstrip(".") or type(e).__name__
    raise UserError(
        f"no baseline: {said}.", where=str(path), remedy="Give what `ragtune baseline accept` wrote, whole."
    )


def accepted(folder: Path) -> list[Snapshot]:
    """The baselines in a folder, the newest first; what is none is left out."""
    found = []
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(UserError):
            found.append(read(path))
    return sorted(found, key=lambda baseline: baseline.accepted, reverse=True)


def _of_schema(path: Path) -> dict[str, Any]:
    """What a baseline's file holds. Raises UserError for one of another schema, and ValueError for no JSON."""
    try:
        found: dict[str, Any] = read_json(path)
    except UserError as e:
        raise ValueError(e.problem) from None
    if not isinstance(found, dict):
        raise ValueError("it holds no mapping")
    if type(found["schema_version"]) is not int or found["schema_version"] != SCHEMA:
        raise UserError(
            f"a baseline of schema {found['schema_version']!r}, and this ragtune reads {SCHEMA}.",
            where=str(path),
            remedy="Accept it again.",
        )
    return found


def _beside(system: SystemSnapshot) -> list[float]:
    return [*system.latency_beside.values(), *itertools.chain.from_iterable(system.figures_beside.values())]


def _check(snapshot: Snapshot) -> None:
    """Raises ValueError for a baseline that no run can have."""
    for name, system in snapshot.systems.items():
        if system.status not in ("done", "partly failed", "failed") or system.seeds < 0 or system.rounds < 0:
            raise ValueError(f"{name} is {system.status!r} of {system.seeds} seeds")
        for measure, values in system.values.items():
            size = len(values.questions)
            sizes = {size, len(values.clusters), len(values.strata or values.questions), *map(len, values.rows)}
            if sizes != {size}:
                raise ValueError(f"{measure} of {name} has not one value for each question")
            if not all(0 <= v <= 1 for row in values.rows for v in row):
                raise ValueError(f"{measure} of {name} is outside 0 to 1")
        for what, figures, (least, most) in (
            ("a latency", system.latency_s.values(), (0.0, 1e9)),
            ("a figure", [v for by_seed in system.figures.values() for v in by_seed], (0.0, 1e18)),
            ("a time beside the reference work", _beside(system), (1e-9, 1e9)),
            ("the time of the yardstick", system.yardstick_s.values(), (1e-4, 1e3)),
            ("the time of the reference work", system.reference_s.values(), (1e-6, 1e3)),
        ):
            if not all(v == 0.0 == least or max(least, 1e-9) <= v <= most for v in figures):
                raise ValueError(f"{what} of {name} is none that a machine can have")
    if any(not 0 <= floor <= 1e6 for floor in snapshot.floors.values()) or any(
        not 0 <= n.sd <= 10 or not 1 <= n.df <= 1e6 for n in snapshot.noise.values()
    ):
        raise ValueError("a noise is none that repeats can have")


def _current(found: dict[str, Any]) -> dict[str, Any]:
    """A baseline under the names of this version."""
    if "place" in found:
        found["machine"] = found.pop("place")
    for system in found["systems"].values():
        system["figures"] = {OLD_NAMES.get(name, name): values for name, values in system["figures"].items()}
    found["floors"] = {OLD_NAMES.get(name, name): floor for name, floor in found["floors"].items()}
    return found


def _kept(run: RunFile, out: Path) -> Path:
    """Where the baseline of a run is kept."""
    return out / f"{run.name}.json"


def accepted_on(folder: Path, out: Path) -> str | None:
    """The day on which the baseline was accepted that a run would take the place of; None where there is none."""
    path = _kept(read_run(folder), out)
    try:
        return str(_of_schema(path)["accepted"]) if path.exists() else None
    except (UserError, ValueError, KeyError):  # it is damaged or of another schema, and is written anew
        return "another day"


def accept(
    folder: Path,
    *,
    reason: str,
    out: Path = Path("reports/baselines"),
    floors: Mapping[str, float] | None = None,
    noise: Mapping[str, RunNoise] | None = None,
) -> Path:
    """Write a run's snapshot as a baseline. Raises UserError without a reason, and for a run that is not whole."""
    if not reason.strip():
        raise UserError("a baseline needs a reason.", where="--reason", remedy="Say why this baseline is accepted.")
    run = read_run(folder)
    if run.status != "complete":
        raise UserError(
            f"the run is {run.status}, and a baseline must be whole.",
            where=str(folder),
            remedy="Finish it with `ragtune run`.",
        )
    day, known = time.strftime("%Y-%m-%d"), dict(floors or {})
    taken = replace(of_run(folder), accepted=day, reason=reason, floors=known, noise=dict(noise or {}))
    path = _kept(run, out)
    write_text(
        path,
        json.dumps(
            {"schema_version": SCHEMA, **asdict(taken)}, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
        + "\n",
    )
    return path
