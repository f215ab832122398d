"""A real A/A: the quickstart again and again, each time from nothing, and every two runs through the gate.

`python -m tests.aa --runs 5 --out FOLDER` makes the runs, `--load` beside a full load on every core; runs that are
there are kept. Then each run is held against each other one as its baseline, with the noise of the rest, as it is and
with losses planted in its figures. `--planted` makes runs in which a system has these losses. Prints the first table of
docs/aa.md.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import multiprocessing
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench.execution.run import run
from bench.gate.decisions import gate, verdict
from bench.gate.noise import floors, run_noise
from bench.gate.snapshot import Snapshot, SystemSnapshot, of_run
from bench.scoring.schema.gate import Result
from bench.spec.load import load

SPEC = Path(__file__).resolve().parent.parent / "bench" / "specs" / "quickstart.yaml"
PLANTED, TUNED = "rag-flat", "lora"  # the systems that losses are planted in
LOSSES = {
    "p50_latency_s": "25% more latency",
    "peak_rss_growth_bytes": "15% more memory",
    "em": "5 points less exact match",
    "step_s": "25% more time a training step",
}
LOSSY = ("kind=tests.kinds.lossy", "slower=0.25", "more_bytes=24600000", "wrong=0.07")  # of 164 MB, and of 71 points


def busy() -> None:
    """Work that never ends."""
    while True:
        pass


@contextlib.contextmanager
def full_load() -> Iterator[None]:
    """Every core kept busy by a process of its own."""
    workers = [multiprocessing.Process(target=busy, daemon=True) for _ in range(os.cpu_count() or 1)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()


def make(folder: Path, runs: int, losses: Sequence[str] = ()) -> list[Path]:
    """The folders of the runs, each from nothing; those that are there are kept."""
    spec = load(SPEC, [f"systems.{PLANTED}.{loss}" for loss in losses])
    found = []
    for number in range(1, runs + 1):
        out = folder / str(number)
        if not (out / "quickstart" / "scores.json").exists():
            with tempfile.TemporaryDirectory() as store:
                run(spec, out=out, store=Path(store))
        found.append(out / "quickstart")
    return found


def planted(snapshot: Snapshot, metric: str) -> Snapshot:
    """The run with a loss in one of its systems."""
    name = planted_system(metric)
    return replace(snapshot, systems={**snapshot.systems, name: lossy(snapshot.systems[name], metric)})


def planted_system(metric: str) -> str:
    """The system that a loss in a measure is planted in."""
    return TUNED if metric == "step_s" else PLANTED


def lossy(system: SystemSnapshot, metric: str) -> SystemSnapshot:
    """The system with a loss in one measure."""
    if metric == "em":
        values = system.values["em"]
        lost = iter(range(round(0.05 * len(values.questions))))
        rows = [[0.0 if v == 1.0 and next(lost, None) is not None else v for v in row] for row in values.rows]
        return replace(system, values={**system.values, "em": replace(values, rows=rows)})
    if metric == "p50_latency_s":
        seconds, ratios = system.latency_s, system.latency_beside
        slower = ({question: 1.25 * value for question, value in of.items()} for of in (seconds, ratios))
        return replace(system, latency_s=next(slower), latency_beside=next(slower))
    if metric == "step_s":
        figures, besides = (
            {**of, metric: [1.25 * v for v in of[metric]]} for of in (system.figures, system.figures_beside)
        )
        return replace(system, figures=figures, figures_beside=besides)
    return replace(system, figures={**system.figures, metric: [1.15 * v for v in system.figures[metric]]})


def caught(results: Sequence[Result], metric: str) -> bool:
    """Whether the gate fails the planted system by that measure."""
    system = planted_system(metric)
    return any(r.state == "fail" and r.system == system and r.rule.startswith(metric) for r in results)


def table(idle: Sequence[Snapshot], loaded: Sequence[Snapshot], planted_in: Sequence[Snapshot]) -> Iterator[str]:
    """Rows of docs/aa.md: every ordered pair of runs. The noise is what `baseline accept --repeat` stores: of the
    baseline and the other idle ones, which the run that is gated is not among."""
    yield "| run | baseline | pairs | pass | inconclusive | fail | " + " | ".join(LOSSES.values()) + " |"
    yield "|---|---|---|---|---|---|" + "---|" * len(LOSSES)
    for what, news in (("idle", idle), ("beside a full load", loaded), ("losses in the system itself", planted_in)):
        said: Counter[str] = Counter()
        found: Counter[str] = Counter()
        pairs = [(new, old) for new, old in itertools.product(news, idle) if new is not old]
        for new, old in pairs:
            repeats = [old, *(s for s in idle if s is not new and s is not old)]
            known = replace(old, floors=floors(repeats) if len(repeats) > 2 else {}, noise=run_noise(repeats))
            results = gate(new, known)
            said[verdict(results)] += 1
            for r in results:
                if r.state == "fail":
                    print("failed:", what, news.index(new), idle.index(old), r)
            # what the lossy kind does by itself is not planted once more
            worse = {
                m: results if news is planted_in and planted_system(m) == PLANTED else gate(planted(new, m), known)
                for m in LOSSES
            }
            found.update(metric for metric in LOSSES if caught(worse[metric], metric))
        counts = " | ".join(str(said[v]) for v in ("pass", "inconclusive", "fail"))
        if pairs:
            yield (
                f"| {what} | idle | {len(pairs)} | {counts} | "
                + " | ".join(f"{found[m]} of {len(pairs)}" for m in LOSSES)
                + " |"
            )


def main() -> None:
    """Make the runs that are missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--load", type=int, default=0, help="runs beside a full load")
    parser.add_argument("--planted", type=int, default=0, help="runs in which a system is slower, larger and worse")
    options = parser.parse_args()
    idle = [of_run(folder) for folder in make(options.out / "idle", options.runs)]
    with full_load():
        loaded = [of_run(folder) for folder in make(options.out / "load", options.load)]
    planted_in = [of_run(folder) for folder in make(options.out / "planted", options.planted, LOSSY)]
    print("\n".join(table(idle, loaded, planted_in)))


if __name__ == "__main__":
    main()
