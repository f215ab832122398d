"""What one rule looks at in a snapshot: values by question, seconds by question, or one figure a seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bench.gate.rules import LATENCY, Rule
from bench.gate.snapshot import SystemSnapshot, Values
from bench.gate.times import FIGURES, TRAINING
from bench.metrics.registry import MEASURES
from bench.stats.intervals import percentile

Samples = Values | Mapping[str, float] | Sequence[float]
BESIDE = " beside the reference work"  # after the name of a time, in noises and floors


def samples(metric: str, system: SystemSnapshot, stratum: str | None = None) -> Samples | None:
    """The samples of a metric of a system; None where it has none."""
    if metric in LATENCY:
        return system.latency_s or None
    if metric in FIGURES:
        return system.figures.get(metric)
    found = system.values.get(metric)
    return found.of(stratum) if found and stratum else found


def beside(metric: str, system: SystemSnapshot) -> Samples | None:
    """The samples of a time over the time of the reference work that was done beside it; None where it was not."""
    return (system.latency_beside if metric == "p50_latency_s" else system.figures_beside.get(metric)) or None


def flat(found: Samples) -> list[float]:
    """Every number of the samples."""
    if isinstance(found, Values):
        return [value for row in found.rows for value in row]
    numbers: Iterable[float] = found.values() if isinstance(found, Mapping) else found
    return list(numbers)


def is_whole(found: Samples) -> bool:
    """Whether there are samples, and each is a finite number."""
    values = flat(found)
    return bool(values) and all(isinstance(v, int | float) and math.isfinite(v) for v in values)


def summary(metric: str, found: Samples) -> float | None:
    """The one number that a budget bounds: a mean, a percentile, or the worst seed's figure; None where a percentile
    has too few samples."""
    if metric in MEASURES:
        return float(np.mean(flat(found)))
    if metric in LATENCY:
        return percentile(flat(found), LATENCY[metric])
    return float(max(flat(found)))


def allowed_of(rule: Rule, baseline: SystemSnapshot) -> float:
    """The margin of a rule, or what its least increase is of the baseline's own figure, where that is more."""
    margin, usual = rule.margin or 0.0, middle(rule.metric, baseline)
    return max(margin, rule.least / usual) if rule.least and usual else margin


def is_trained(system: SystemSnapshot) -> bool:
    """Whether something of the system was trained: its training was timed."""
    return any(system.figures.get(time) for time in TRAINING)


def middle(metric: str, system: SystemSnapshot) -> float | None:
    """The one number that repeats of a run are compared by: a mean, a percentile or a median; None where there is none.
    `metric` may be a time BESIDE the reference work."""
    time = metric.removesuffix(BESIDE)
    found = samples(metric, system) if time == metric else beside(time, system)
    if found is None or not is_whole(found):
        return None
    if metric in MEASURES:
        return float(np.mean(flat(found)))
    if LATENCY.get(metric, 50) != 50:
        return percentile(flat(found), LATENCY[metric])
    return float(statistics.median(flat(found)))
