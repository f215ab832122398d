"""Shares of independent questions: Wilson's interval, and how many questions clusters are worth."""

from __future__ import annotations

import math

from bench.stats.bootstrap import Array

FEW = 10  # where fewer clusters than this differ, a bootstrap has too little to draw from


def worth(counts: Array) -> float:
    """How many clusters of one size these are worth, by their sizes: the square of the sum over the sum of the squares
    (Kish 1965)."""
    return float(counts.sum()) ** 2 / float((counts**2).sum())


def wilson(mean: float, n: float, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927)."""
    centre, spread = mean + z * z / (2 * n), z * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # of none and of all the interval ends at the bound itself, and not a rounding away from it
    low, high = (centre - spread) / scale, (centre + spread) / scale
    return (max(0.0, low) if mean > 0 else 0.0), (min(1.0, high) if mean < 1 else 1.0)
