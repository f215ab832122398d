"""The times and memory of one system that a gate compares, and what was done beside them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.core.reference import middle
from bench.execution.cell_result import CellResult
from bench.scoring import resources
from bench.stats.rounds import usual

TRAINING = ("train_s", "step_s")
OF_BUILDS = (*TRAINING, "train_peak_rss_growth_bytes", "train_peak_gpu_bytes")  # one a seed, as all of them
FIGURES = ("peak_rss_growth_bytes", "peak_gpu_allocated_bytes", *OF_BUILDS)


def figures(cells: Sequence[CellResult]) -> dict[str, list[float]]:
    """figure -> its value for each seed that has one; figures that no seed has are left out."""
    builds = [resources.built(cell) for cell in cells]
    memories = [cell.memory for cell in cells if cell.memory]
    found: dict[str, Sequence[Any]] = {
        "peak_rss_growth_bytes": resources.peaks_of_rss(cells),
        "peak_gpu_allocated_bytes": [m.work_peak_gpu_bytes for m in memories],
        "train_s": [b.train_s for b in builds],
        "step_s": [b.step_s for b in builds],
        "train_peak_rss_growth_bytes": [b.train_peak_rss_growth_bytes for b in builds],
        "train_peak_gpu_bytes": [b.train_peak_gpu_bytes for b in builds],
    }
    return {figure: known for figure, by_seed in found.items() if (known := [v for v in by_seed if v is not None])}


def latency_beside(cells: Sequence[CellResult]) -> dict[str, float]:
    """question -> its time alone over that of the reference work beside it: the lower quartile over rounds, for what
    disturbs an answer makes it slower. What one round in three adds is not in it: it is of the usual answer."""
    ratios: dict[str, list[float]] = defaultdict(list)
    for turn in (turn for cell in cells for turn in cell.turns):
        for question, seconds in turn.alone_s.items() if turn.reference_s else ():
            ratios[question].append(seconds / (turn.reference_s or 1.0))
    return {question: float(np.quantile(found, 0.25)) for question, found in ratios.items()}


def figures_beside(cells: Sequence[CellResult]) -> dict[str, list[float]]:
    """Training times over the time of the reference work between the steps, for each seed; none unless all have it."""
    tuned = [(cell, cell.notes.tuning) for cell in cells if cell.notes.tuning]
    trained = [(resources.built(cell), tuning.reference_s) for cell, tuning in tuned]
    searched = any((tuning.trials or 1) > 1 for _, tuning in tuned)  # the reference is beside the best trial
    found: dict[str, list[float]] = {}
    for figure in ("step_s",) if searched else TRAINING:
        ratios = [value / s for build, s in trained if s and (value := getattr(build, figure)) is not None]
        if ratios and len(ratios) == len(trained):
            found[figure] = ratios
    return found


def yardsticks(cells: Sequence[CellResult], usual_s: float | None) -> dict[str, float]:
    """The yardstick beside what was timed; beside a system that was in no round, that of the whole run."""
    answering = usual(turn.yardstick_s for cell in cells for turn in cell.turns) or usual_s
    building = max((s for cell in cells for s in cell.yardstick_s), default=None)
    return {when: s for when, s in (("answering", answering), ("building", building)) if s is not None}


def reference(cells: Sequence[CellResult]) -> dict[str, float]:
    """The usual seconds of the reference work, "answering" and "building", where it was done."""
    answering = middle([turn.reference_s for cell in cells for turn in cell.turns])
    building = middle([cell.notes.tuning.reference_s for cell in cells if cell.notes.tuning])
    return {when: s for when, s in (("answering", answering), ("building", building)) if s is not None}
