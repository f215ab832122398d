"""Intervals and percentiles. Every score that is shown goes through here.

Items in one cluster (a document, a machine) are not independent: intervals resample clusters. Seeds of one
system are a second level of sampling, and never pooled as items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.stats.bootstrap import Array, Interval, studentised, totals, two_level
from bench.stats.distributions import binomial_quantile
from bench.stats.few import Guarded, few, seldom
from bench.stats.shares import FEW, wilson, worth

RESAMPLES = 2000
SUPPORT = {50: 10, 90: 64, 95: 131, 99: 662}  # fewest samples for a percentile (MLPerf inference, early stopping)


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95% interval. `n` is the number of questions, `method` how the interval was made."""

    mean: float
    low: float
    high: float
    n: int
    clusters: int
    method: str


def estimate(values: Sequence[float] | Array, clusters: Sequence[str], seed: int = 0) -> Estimate | None:
    """The mean of per-question values: (questions,), or (seeds, questions) of a system trained several times. None
    without values.

    A proportion of independent questions gets Wilson's interval, everything else a studentised cluster bootstrap, over
    seeds a two-level one. Where few clusters hold anything but 0, or but 1, a bootstrap would claim too much: they get
    Wilson's with what the clusters are worth as its n, and so do shares in clusters of unequal size that are worth
    fewer than FEW. Where most clusters hold another same share, the interval is of those that differ from it.
    """
    return estimates([values], clusters, seed)[0]


def estimates(
    several: Sequence[Sequence[float] | Array], clusters: Sequence[str], seed: int = 0
) -> list[Estimate | None]:
    """The same of several measures of the same questions, all from the same draws: to read them is most of the work."""
    matrices = [np.atleast_2d(np.asarray(values, dtype=np.float64)) for values in several]
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    groups = len(names)
    counts = np.bincount(index, minlength=groups).astype(np.float64)
    sums: list[Array | None] = [
        np.stack([np.bincount(index, row, groups) for row in m], 1).astype(np.float64) if m.size else None
        for m in matrices
    ]
    found: list[Estimate | None] = [
        None if of is None else _closed(matrix, of, counts) for matrix, of in zip(matrices, sums, strict=True)
    ]
    once = [(n, of) for n, of in enumerate(sums) if of is not None and found[n] is None and of.shape[1] == 1]
    intervals: dict[int, Interval] = {
        n: two_level([of], counts, [_means(of, counts, seed)], seed)
        for n, of in enumerate(sums)
        if of is not None and of.shape[1] > 1 and groups > 1
    }
    if once:
        of_once = studentised(np.column_stack([of for _, of in once]), counts, RESAMPLES, seed)
        for (n, of), drawn_of in zip(once, of_once, strict=True):
            unseen = seldom(of[:, 0], counts) if _is_share(matrices[n]) else None
            intervals[n] = Guarded(drawn_of, unseen) if unseen else drawn_of
    for n, interval in intervals.items():
        drawn, closed = _of_interval(matrices[n], groups, interval), found[n]
        found[n] = _wider(closed, drawn) if closed else drawn
    return found


def _means(sums: Array, counts: Array, seed: int) -> Array:
    """The mean of each seed in every resample of the clusters. (resamples, seeds)"""
    drawn = totals(np.column_stack([counts, sums]), RESAMPLES, seed)
    return drawn[:, 1:] / drawn[:, :1]


def _is_share(matrix: Array) -> bool:
    return bool(((matrix >= 0) & (matrix <= 1)).all())


def _closed(matrix: Array, sums: Array, counts: Array) -> Estimate | None:
    """What needs no resampling."""
    mean, questions, groups, bounded = float(matrix.mean()), matrix.shape[1], len(counts), _is_share(matrix)
    ends = min(np.count_nonzero(sums.mean(1)), np.count_nonzero(sums.mean(1) - counts))
    if bounded and len(matrix) == 1 and groups == questions and bool(np.isin(matrix, (0.0, 1.0)).all()):
        return Estimate(mean, *wilson(mean, questions), questions, groups, "Wilson")
    if bounded and (ends < FEW or worth(counts) < FEW <= groups):
        return Estimate(mean, *wilson(mean, worth(counts)), questions, groups, "Wilson, by cluster")
    if bounded and groups > 1 and (rare := few(sums.mean(1), counts)):
        return _of_interval(matrix, groups, rare)
    if groups < 2:
        return Estimate(mean, *_range(matrix), questions, groups, "one cluster: no interval")
    return None


def _wider(closed: Estimate, drawn: Estimate) -> Estimate:
    """Over seeds: what few clusters hold of their mean says nothing of how much the seeds differ."""
    if closed.low <= drawn.low and drawn.high <= closed.high:
        return closed
    low, high = min(closed.low, drawn.low), max(closed.high, drawn.high)
    return replace(closed, low=low, high=high, method=f"the wider of {closed.method} and the {drawn.method}")


def _of_interval(matrix: Array, groups: int, found: Interval) -> Estimate:
    """A mean with an interval of resamples."""
    low, high = found.interval()
    ends = (max(0.0, low), min(1.0, high)) if _is_share(matrix) else (low, high)
    return Estimate(float(matrix.mean()), *ends, matrix.shape[1], groups, found.method)


def _range(values: Array) -> tuple[float, float]:
    """Everything that the mean of a measure can be: of a share, of a cosine, or what was seen of any other."""
    low, high = float(values.min()), float(values.max())
    return next(((a, b) for a, b in ((0.0, 1.0), (-1.0, 1.0)) if a <= low and high <= b), (low, high))


def percentile(values: Sequence[float], p: int) -> float | None:
    """The p-th percentile by linear interpolation; None where n does not support it."""
    return float(np.percentile(values, p)) if len(values) >= SUPPORT[p] else None


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95% interval of the median by the binomial's ranks (Conover 1999, section 3.2), which assumes no distribution;
    None below 8 values."""
    return _rank_interval(values, 0.5) if len(values) >= 8 else None


def percentile_interval(values: Sequence[float], p: int) -> tuple[float, float] | None:
    """95% interval of the p-th percentile by the binomial's ranks; None where n does not support the percentile.

    The largest value ends it where the ranks would reach beyond it.
    """
    if p == 50:
        return median_interval(values)
    return _rank_interval(values, p / 100) if len(values) >= SUPPORT[p] else None


def _rank_interval(values: Sequence[float], share: float) -> tuple[float, float]:
    ordered = sorted(values)
    low, high = (binomial_quantile(level, len(ordered), share) for level in (0.025, 0.975))
    return float(ordered[max(0, low - 1)]), float(ordered[min(len(ordered) - 1, high)])
