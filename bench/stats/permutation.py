"""Tests of "two systems do not differ": by the discordant questions, or by changing the sign of whole clusters."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from scipy import stats as distributions

from bench.stats.bootstrap import BLOCK, Array

PERMUTATIONS = 9999
SHARED = 512  # clusters that differ, up to which pairs are tested with the same signs


def mcnemar(won: int, lost: int) -> float:
    """Exact two-sided McNemar test on the discordant questions (McNemar 1947)."""
    return float(distributions.binomtest(won, won + lost, 0.5).pvalue) if won + lost else 1.0


def sign_flipped(sums: Array, seed: int) -> tuple[float, str]:
    """Two-sided p, and the name of the test: whole clusters change sign, in every way where few differ.

    `sums`: the sum of the differences of each cluster.
    """
    sums = sums[np.abs(sums) > 1e-12]
    seen = abs(sums.sum()) - 1e-9
    if sums.size <= 13:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=sums.size)))
        return float((np.abs(signs @ sums) >= seen).mean()), "exact cluster permutation"
    extreme = sum(int((np.abs(flips @ sums) >= seen).sum()) for flips in _flips(sums.size, seed))
    return (1 + extreme) / (1 + PERMUTATIONS), "cluster permutation"


def _flips(size: int, seed: int) -> Iterator[Array]:
    """Blocks of random signs. (rows, size)"""
    if size <= SHARED:
        yield _shared_flips(seed, SHARED)[:, :size]
        return
    rng, rows = np.random.default_rng([seed, 2]), max(1, BLOCK // size)
    for first in range(0, PERMUTATIONS, rows):
        yield _signs(rng, min(rows, PERMUTATIONS - first), size)


@lru_cache(1)
def _shared_flips(seed: int, size: int) -> Array:
    """Signs that every pair of a run takes its own number of columns of: drawing them is most of a test."""
    return _signs(np.random.default_rng([seed, 2]), PERMUTATIONS, size)


def _signs(rng: np.random.Generator, rows: int, size: int) -> Array:
    return rng.integers(0, 2, (rows, size), dtype=np.int8).astype(np.float64) * 2 - 1
