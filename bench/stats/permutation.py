"""Tests of "two systems do not differ": by the discordant questions, or by changing the sign of whole clusters."""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
from scipy import stats as distributions

from bench.stats.bootstrap import BLOCK, Array

PERMUTATIONS = 9999
EXACT = 13  # clusters that differ, up to which every change of signs is tried
SHARED = 512  # up to which pairs are tested with the same signs, drawn once


def mcnemar(won: int, lost: int) -> float:
    """Exact two-sided McNemar test on the discordant questions (McNemar 1947)."""
    return float(distributions.binomtest(won, won + lost, 0.5).pvalue) if won + lost else 1.0


def sign_flipped(sums: Array, seed: int) -> list[tuple[float, str]]:
    """Two-sided p of each column, and the name of the test: whole clusters change sign, in every way where few differ.

    `sums`, (clusters, columns): the sum of the differences of each cluster.
    """
    differ = np.abs(sums) > 1e-12
    count = differ.sum(0)
    many = iter(_of_many(sums[:, count > SHARED], seed))
    return [next(many) if count[n] > SHARED else _of_few(sums[differ[:, n], n], seed) for n in range(len(count))]


def _of_few(sums: Array, seed: int) -> tuple[float, str]:
    """Of clusters that all differ."""
    seen = abs(sums.sum()) - 1e-9
    if sums.size <= EXACT:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=sums.size)))
        return float((np.abs(signs @ sums) >= seen).mean()), "exact cluster permutation"
    flips = _shared_flips(seed, SHARED)[:, : sums.size]
    return _p(int((np.abs(flips @ sums) >= seen).sum()))


def _of_many(sums: Array, seed: int) -> list[tuple[float, str]]:
    """All columns by the same signs, drawn in blocks: drawing them is most of a test."""
    if not sums.shape[1]:
        return []
    whole = sums.sum(0)
    extreme, rng = np.zeros(sums.shape[1], dtype=np.int64), np.random.default_rng([seed, 2])
    rows = max(1, BLOCK // len(sums))
    for first in range(0, PERMUTATIONS, rows):
        flipped = 2.0 * (_heads(rng, min(rows, PERMUTATIONS - first), len(sums)) @ sums) - whole
        extreme += (np.abs(flipped) >= np.abs(whole) - 1e-9).sum(0)
    return [_p(int(count)) for count in extreme]


def _p(extreme: int) -> tuple[float, str]:
    return (1 + extreme) / (1 + PERMUTATIONS), "cluster permutation"


@lru_cache(1)
def _shared_flips(seed: int, size: int) -> Array:
    """Signs that every pair of a run takes its own number of columns of: drawing them is most of a test."""
    return 2.0 * _heads(np.random.default_rng([seed, 2]), PERMUTATIONS, size) - 1.0


def _heads(rng: np.random.Generator, rows: int, size: int) -> Array:
    """Throws of a coin, 0 or 1. (rows, size)"""
    return rng.integers(0, 2, (rows, size), dtype=np.int8).astype(np.float64)
