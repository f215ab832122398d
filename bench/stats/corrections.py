"""Corrections of p values for the number of hypotheses that are tested together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.stats.bootstrap import Array


def holm(values: Sequence[float], family: int | None = None) -> list[float]:
    """Holm's step-down adjustment (1979), in a family of so many hypotheses; those that are not given are not shown.
    statsmodels has it, and collects the whole heap's garbage at each call."""
    size = family or len(values)
    return _stepped_down(np.array(values), np.arange(size, size - len(values), -1))


def exclusive(*hypotheses: Sequence[float], family: int | None = None) -> list[list[float]]:
    """Holm's adjustment of several hypotheses a pair of which at most one is true (Shaffer 1986, procedure S1). Each of
    `hypotheses` has a p value for every pair.

    Of k m hypotheses at most m are true, so no p value is multiplied by more than m, the pairs of the family.
    """
    pairs = len(hypotheses[0])
    p_values, size = np.concatenate([np.asarray(of) for of in hypotheses]), family or pairs
    last = len(hypotheses) * size
    adjusted = _stepped_down(p_values, np.minimum(np.arange(last, last - len(p_values), -1), size))
    return [adjusted[first : first + pairs] for first in range(0, len(adjusted), pairs)]


def _stepped_down(p_values: Array, factors: Any) -> list[float]:
    """Each p value, from the smallest, times its factor, and no less than the one before it."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty_like(p_values, dtype=np.float64)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors))
    return [float(p) for p in adjusted]
