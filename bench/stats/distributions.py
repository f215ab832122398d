"""Student's t and the binomial distribution, by scipy.special: scipy.stats takes half a second to import."""

from __future__ import annotations

import math

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


def binomial_quantile(level: float, n: int, share: float) -> int:
    """The smallest count that is not exceeded with this probability."""
    return int(np.searchsorted(special.bdtr(np.arange(n + 1), n, share), level))
