"""Student's t and the binomial distribution, by scipy.special: scipy.stats takes half a second to import."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import special


def t_quantile(level: float, df: float) -> float:
    """Quantile of Student's t; of the normal distribution with infinite degrees of freedom."""
    return float(special.ndtri(level) if math.isinf(df) else special.stdtrit(df, level))


def t_below(value: float, df: float) -> float:
    """Probability that Student's t is at most a value."""
    return float(special.ndtr(value) if math.isinf(df) else special.stdtr(df, value))


def t_above(value: float, df: float) -> float:
    """Probability that Student's t is above a value."""
    return t_below(-value, df)


_Z = np.linspace(-8.0, 8.0, 129)
_WEIGHTS = np.exp(-(_Z**2) / 2) / np.exp(-(_Z**2) / 2).sum()


@lru_cache(maxsize=4096)
def _t_at(df: float) -> np.ndarray:
    """Student's t where the normal distribution is at each of the points above."""
    lower = _Z[:64] if math.isinf(df) else special.stdtrit(df, special.ndtr(_Z[:64]))
    return np.concatenate([lower, [0.0], -lower[::-1]])


def two_above(value: float, parts: Sequence[tuple[float, float]]) -> float:
    """Probability that a sum of two independent Student's t is above a value: the Behrens-Fisher distribution (Fisher
    1935). `parts`: (weight, degrees of freedom) of each; both weights are not 0.

    Where two variances are estimated apart, one from few, it stays at its level where Satterthwaite's degrees of
    freedom do not: few that agree by chance pass for many (Robinson 1976).
    """
    (small, small_df), (large, large_df) = sorted(parts)
    at = (value - small * _t_at(small_df)) / large
    return float(_WEIGHTS @ (special.ndtr(-at) if math.isinf(large_df) else special.stdtr(large_df, -at)))


def two_quantile(level: float, parts: Sequence[tuple[float, float]]) -> float:
    """Quantile of that distribution, of a level of a half and more."""
    low, high = 0.0, 1.0
    while two_above(high, parts) > 1 - level:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if two_above(middle, parts) > 1 - level else (low, middle)
    return high


def binomial_quantile(level: float, n: int, share: float) -> int:
    """The smallest count that is not exceeded with this probability."""
    return int(np.searchsorted(special.bdtr(np.arange(n + 1), n, share), level))
