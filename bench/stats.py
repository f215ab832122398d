"""Intervals and percentiles. Every score that is shown goes through here.

Items in one cluster (a document, a machine) are not independent: intervals resample clusters. Seeds of one
system are averaged per question first, and never pooled as items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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


def wilson(mean: float, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927)."""
    centre, spread = mean + z * z / (2 * n), z * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def estimate(values: Sequence[float], clusters: Sequence[str], seed: int = 0) -> Estimate | None:
    """The mean of per-question values. None without values.

    A proportion of independent questions gets Wilson's interval, everything else a cluster bootstrap
    (percentiles of the ratio of sums); a constant gets Wilson's too, where a bootstrap would claim certainty.
    """
    if not values:
        return None
    x = np.asarray(values, dtype=np.float64)
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    mean, n, k = float(x.mean()), len(x), len(names)
    bounded = bool(((x >= 0) & (x <= 1)).all())
    if bounded and (
        (k == n and bool(np.isin(x, (0.0, 1.0)).all())) or (float(np.ptp(x)) == 0.0 and mean in (0.0, 1.0))
    ):
        return Estimate(mean, *wilson(mean, k), n, k, "Wilson")
    low, high = _resampled(x, index, k, seed)
    return Estimate(mean, low, high, n, k, "cluster bootstrap")


def difference(values: Sequence[float], clusters: Sequence[str], seed: int = 0) -> Estimate | None:
    """The mean of paired differences in -1..1, a question each. None without values.

    Where no question differs a bootstrap would claim certainty; the interval is then what the rule of Wilson
    leaves open for as many clusters, on both sides.
    """
    if not values:
        return None
    x = np.asarray(values, dtype=np.float64)
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    k = len(names)
    if not x.any():
        open_ = wilson(0.0, k)[1]
        return Estimate(0.0, -open_, open_, len(x), k, "Wilson, both sides")
    low, high = _resampled(x, index, k, seed)
    return Estimate(float(x.mean()), low, high, len(x), k, "cluster bootstrap")


def _resampled(
    x: npt.NDArray[np.float64], index: npt.NDArray[np.int64], clusters: int, seed: int
) -> tuple[float, float]:
    """Percentiles of the ratio of sums over resampled clusters."""
    sums, counts = np.bincount(index, x, clusters), np.bincount(index, minlength=clusters)
    drawn = np.random.default_rng(seed).integers(0, clusters, (RESAMPLES, clusters))
    low, high = np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), (0.025, 0.975))
    return float(low), float(high)


def percentile(values: Sequence[float], p: int) -> float | None:
    """The p-th percentile by linear interpolation; None where n does not support it."""
    return float(np.percentile(values, p)) if len(values) >= SUPPORT[p] else None


def median_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float] | None:
    """95% bootstrap interval of the median; None below 8 values."""
    if len(values) < 8:
        return None
    x = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(x), (RESAMPLES, len(x)))
    low, high = np.quantile(np.median(x[drawn], axis=1), (0.025, 0.975))
    return float(low), float(high)
