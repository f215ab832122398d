"""Two runs side by side: what differs between their specs, and what moved, paired by question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.nested import differences
from bench.core.vocabulary import JSON
from bench.execution.cell_result import Number
from bench.execution.run_file import RunFile
from bench.metrics.registry import MEASURES
from bench.scoring.grade import panel
from bench.scoring.graded import GradedRun
from bench.scoring.records import graded
from bench.scoring.schema import MeasuredSystem
from bench.stats.comparisons import Panel
from bench.stats.comparisons import compare as compare_systems
from bench.verdict.score import score


@dataclass(frozen=True)
class Change:
    """One measure or figure of one system in both runs. Figures that a run has once come without an interval."""

    system: str
    measure: str
    a: float
    b: float
    difference: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    p: float | None = None


@dataclass(frozen=True)
class Comparison:
    """`spec`: key -> (in A, in B) wherever the specs differ; `only_a`, `only_b`: systems of one run alone."""

    spec: dict[str, tuple[JSON, JSON]]
    notes: list[str]
    rows: list[Change]
    only_a: list[str]
    only_b: list[str]


def compare(a: Path | str, b: Path | str) -> Comparison:
    """Two runs compared. Quality is paired by question where both runs are of one dataset.

    Raises UserError where either folder holds no finished run.
    """
    folders = Path(a), Path(b)
    scored = [score(folder).measured for folder in folders]
    sides = graded(folders[0]), graded(folders[1])
    run_a, run_b = sides[0].run, sides[1].run
    same_data = run_a.dataset.digest == run_b.dataset.digest
    systems = [name for name in run_a.systems if all(name in side for side in scored)]
    rows = [row for name in systems for row in _paired(name, sides)] if same_data else []
    rows += [row for name in systems for row in _single(name, scored[0][name], scored[1][name])]
    return Comparison(
        differences(run_a.spec.model_dump(mode="json"), run_b.spec.model_dump(mode="json")),
        _notes(run_a, run_b, systems, same_data=same_data),
        rows,
        only_a=[name for name in run_a.systems if name not in systems],
        only_b=[name for name in run_b.systems if name not in systems],
    )


def _files(run: RunFile, system: str) -> list[JSON]:
    """The digests of what a system answers and searches with."""
    config = run.systems[system].config
    return [(config.get(key) or {}).get("digest") for key in ("model", "embedder")]


def _notes(run_a: RunFile, run_b: RunFile, shared: Sequence[str], *, same_data: bool) -> list[str]:
    notes = []
    if not same_data:
        notes.append("The runs are of different datasets: quality is not compared.")
    a, b = run_a.environment, run_b.environment
    if (a.cpu, a.cores, a.threads, a.gpus) != (b.cpu, b.cores, b.threads, b.gpus):
        notes.append("The runs are of different machines or thread counts: times and memory are not comparable.")
    if other := [n for n in shared if _files(run_a, n) != _files(run_b, n)]:
        notes.append(f"The models of {', '.join(other)} are not the same files: differences are of the models too.")
    known = {name for name in {*a.versions, *b.versions} if a.versions.get(name) and b.versions.get(name)}
    told = [f"{n} {a.versions[n]} and {b.versions[n]}" for n in sorted(known) if a.versions[n] != b.versions[n]]
    told += [f"Python {a.python} and {b.python}"] if a.python != b.python else []
    told += [f"commits {a.commit} and {b.commit}"] if a.commit and b.commit and a.commit != b.commit else []
    if told:
        notes.append(f"The runs are of different software: {'; '.join(told)}.")
    return notes


def _paired(system: str, sides: tuple[GradedRun, GradedRun]) -> Iterator[Change]:
    """The measures of a system that both runs have, question by question."""
    for measure in MEASURES:
        having = {
            name: side.columns[system][measure]
            for name, side in zip("AB", sides, strict=True)
            if measure in side.columns[system]
        }
        both = panel(having) if len(having) == 2 else None
        if both is None:
            continue
        found = compare_systems(Panel({"B": both.values["B"], "A": both.values["A"]}, both.clusters))[0]
        mean = {side: float(values.mean()) for side, values in both.values.items()}
        yield Change(system, measure, mean["A"], mean["B"], found.difference, found.low, found.high, found.n, found.p)


def _single(name: str, system_a: MeasuredSystem, system_b: MeasuredSystem) -> Iterator[Change]:
    """The figures of a system that a run has once."""
    before, after = _figures(system_a), _figures(system_b)
    for figure, a in before.items():
        b = after[figure]
        if a is not None and b is not None:
            yield Change(name, figure, a, b, b - a)


def _figures(system: MeasuredSystem) -> dict[str, Number | None]:
    return {
        "p50_s": system.speed.p50_s,
        "questions_per_s": system.speed.questions_per_s,
        "train_s": system.build.train_s,
        "peak_rss_growth_bytes": system.memory.peak_rss_growth_bytes,
    }
