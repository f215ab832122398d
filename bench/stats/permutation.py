"""Tests of "two systems do not differ": by the discordant questions, or by changing the sign of whole clusters."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from scipy import special

from bench.stats.bootstrap import BLOCK, Array

PERMUTATIONS = 9999
EXACT = 13  # clusters that differ, up to which every change of signs is tried
SHARED = 512  # up to which pairs are tested with the same signs, drawn once
AT_ONCE = 64  # pairs: to read the signs is most of a test


def mcnemar(won: int, lost: int) -> float:
    """Exact two-sided McNemar test on the discordant questions (McNemar 1947)."""
    return min(1.0, float(2 * special.bdtr(min(won, lost), won + lost, 0.5)))


def sign_flipped(sums: Array, seed: int) -> list[tuple[float, str]]:
    """Two-sided p of each column, and the name of the test: whole clusters change sign, in every way where few differ.

    `sums`, (clusters, columns): the sum of the differences of each cluster.
    """
    differ = np.abs(sums) > 1e-12
    count = differ.sum(0)
    many = iter(_of_many(sums[:, count > SHARED], seed))
    some = iter(_of_some([sums[differ[:, n], n] for n in np.flatnonzero((count > EXACT) & (count <= SHARED))], seed))
    return [
        next(many) if number > SHARED else next(some) if number > EXACT else _exact(sums[differ[:, n], n])
        for n, number in enumerate(count)
    ]


def _exact(sums: Array) -> tuple[float, str]:
    """Of a few clusters that all differ, in every way."""
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=sums.size)))
    return float((np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9).mean()), "exact cluster permutation"


def _of_some(differing: Sequence[Array], seed: int) -> Iterator[tuple[float, str]]:
    """Of clusters that all differ, each pair with as many of the shared signs as it has clusters."""
    for first in range(0, len(differing), AT_ONCE):
        part = differing[first : first + AT_ONCE]
        whole = np.zeros((max(map(len, part)), len(part)))
        for n, sums in enumerate(part):
            whole[: len(sums), n] = sums
        flipped = np.abs(_shared_flips(seed, SHARED)[:, : len(whole)] @ whole)
        yield from (_p(int(count)) for count in (flipped >= np.abs(whole.sum(0)) - 1e-9).sum(0))


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
