"""A run beside a paper: figure by figure, and the order of every two systems that the paper tells apart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.core.errors import UserError
from bench.execution.run_file import read_run
from bench.scoring.grade import pairwise
from bench.scoring.graded import GradedRun
from bench.scoring.money import TIMED
from bench.scoring.records import graded
from bench.scoring.schema import MeasuredSystem
from bench.spec.paper import Paper, Published
from bench.stats.comparisons import compare_family
from bench.verdict.score import score

State = Literal["reproduced", "not reproduced", "cannot tell"]


@dataclass(frozen=True)
class Beside:
    """A published figure and the run's, or a published order and the run's difference; None where the run has none."""

    what: str
    metric: str
    published: float
    found: float | None
    low: float | None
    high: float | None
    state: State


def beside(folder: Path) -> tuple[Paper, list[Beside]]:
    """The figures first, then the orders. Raises UserError where the run's spec names no paper."""
    run, scores = read_run(folder), score(folder)
    paper = run.spec.paper
    if paper is None:
        raise UserError(
            "the spec of this run names no paper.",
            where=str(folder),
            remedy="Give `paper:` in the spec, as bench/specs/papers/ does.",
        )
    return paper, [
        *_figures(paper, scores.measured),
        *_costs(paper, scores.measured),
        *_orders(paper, graded(folder)),
    ]


def _figures(paper: Paper, done: Mapping[str, MeasuredSystem]) -> Iterator[Beside]:
    """Reproduced where the whole interval lies within the tolerance of the figure, not where it lies outside."""
    for figure in (f for f in paper.figures if not f.order_only):
        system = done.get(figure.system)
        found = system.score(figure.metric) if system else None
        if found is None:
            yield Beside(figure.system, figure.metric, figure.value, None, None, None, "cannot tell")
            continue
        state = _state((found.low, found.high), (figure.value - figure.tolerance, figure.value + figure.tolerance))
        yield Beside(figure.system, figure.metric, figure.value, found.mean, found.low, found.high, state)


def _state(found: tuple[float, float], allowed: tuple[float, float]) -> State:
    """What an interval says of the figures that count as the published one."""
    if allowed[0] <= found[0] and found[1] <= allowed[1]:
        return "reproduced"
    return "not reproduced" if found[1] < allowed[0] or allowed[1] < found[0] else "cannot tell"


KNOWN_WITHIN = {"train_s": TIMED, "train_peak_gpu_bytes": 1.05}  # factor of what was measured once


def _costs(paper: Paper, done: Mapping[str, MeasuredSystem]) -> Iterator[Beside]:
    """Every cost over the least published one of its measure: machines differ, ratios need not."""
    for measure, group in itertools.groupby(sorted(paper.costs, key=lambda c: c.measure), lambda c: c.measure):
        costs = sorted(group, key=lambda c: c.value)
        least = costs[0]
        for cost in costs[1:]:
            what, ratio = f"{cost.system} over {least.system}", cost.value / least.value
            mine, its = (_cost(done.get(c.system), measure) for c in (cost, least))
            if mine is None or its is None:
                yield Beside(what, measure, ratio, None, None, None, "cannot tell")
                continue
            factor = KNOWN_WITHIN[measure] ** math.sqrt(2)
            low, high = mine / its / factor, mine / its * factor
            state = _state((low, high), (ratio * (1 - cost.tolerance), ratio * (1 + cost.tolerance)))
            yield Beside(what, measure, ratio, mine / its, low, high, state)


def _cost(system: MeasuredSystem | None, measure: str) -> float | None:
    found = getattr(system.build, measure) if system else None
    return float(found) if found else None


def _orders(paper: Paper, run: GradedRun) -> Iterator[Beside]:
    """Every two systems whose published figures differ by more than the tolerance of either: reproduced where the run
    shows the same order, not where it shows the other one; corrected over all of them (Holm)."""
    for metric, figures in itertools.groupby(sorted(paper.figures, key=lambda f: f.metric), lambda f: f.metric):
        known: dict[str, Published] = {figure.system: figure for figure in figures}
        columns = {name: found for name in known if (found := run.columns.get(name, {}).get(metric))}
        pairs = {(pair.a, pair.b): pair for pair in compare_family(pairwise(columns))} if len(columns) > 1 else {}
        for high, low in itertools.permutations(known, 2):
            apart = known[high].value - known[low].value
            if apart <= max(known[high].tolerance, known[low].tolerance):
                continue
            pair = pairs.get((high, low)) or pairs.get((low, high))
            what = f"{high} over {low}"
            if pair is None:
                yield Beside(what, metric, apart, None, None, None, "cannot tell")
                continue
            sign = 1 if pair.a == high else -1
            ends = sorted((sign * pair.low, sign * pair.high))
            shown = pair.verdict in ("better", "worse")
            state: State = (
                "cannot tell" if not shown else "reproduced" if sign * pair.difference > 0 else "not reproduced"
            )
            yield Beside(what, metric, apart, sign * pair.difference, ends[0], ends[1], state)
