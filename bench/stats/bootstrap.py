"""Resampled clusters: the one engine of every interval.

Questions of one cluster (a document, a machine) are not independent, so whole clusters are drawn. The ratio of sums
over the drawn clusters is the mean over their questions; its linearised variance studentises it (Efron and Tibshirani
1993, chapter 12). Draws are counts of how often each cluster was taken, so that one matrix product serves every column.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bench.stats.distributions import t_above, t_below, t_quantile, two_above, two_quantile

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.uint8]
BLOCK = 4_000_000  # draws held at once, and as bytes KEPT times as many of those drawn last
KEPT = 16
TINY = 1e-12  # of the whole variance: a part that is none
RARE = 10  # resamples, below which their share says too little of a tail


def totals(columns: Array, resamples: int, seed: int) -> Array:
    """Sums of each column over the drawn clusters. (clusters, columns) -> (resamples, columns)"""
    return np.concatenate([w @ columns for w in _draws(len(columns), resamples, seed)])


def _draws(clusters: int, resamples: int, seed: int) -> Iterator[Array]:
    """Blocks of rows, one a resample: how often each cluster was drawn. (rows, clusters)"""
    if resamples * clusters <= BLOCK:
        yield _small(clusters, resamples, seed)
        return
    known = resamples * clusters <= KEPT * BLOCK
    for block in _medium(clusters, resamples, seed) if known else _blocks(clusters, resamples, seed):
        yield block.astype(np.float64)


@lru_cache(16)
def _small(clusters: int, resamples: int, seed: int) -> Array:
    return _drawn(np.random.default_rng(seed), resamples, clusters).astype(np.float64)


@lru_cache(1)
def _medium(clusters: int, resamples: int, seed: int) -> tuple[Counts, ...]:
    return tuple(_blocks(clusters, resamples, seed))


def _blocks(clusters: int, resamples: int, seed: int) -> Iterator[Counts]:
    rng, rows = np.random.default_rng(seed), max(1, BLOCK // clusters)
    for first in range(0, resamples, rows):
        yield _drawn(rng, min(rows, resamples - first), clusters)


def _drawn(rng: np.random.Generator, rows: int, clusters: int) -> Counts:
    """How often each cluster was drawn, in a byte each: of clusters as many as draws, none is drawn 256 times."""
    taken = rng.integers(0, clusters, (rows, clusters), dtype=np.int32)
    taken += np.arange(rows, dtype=np.int32)[:, None] * clusters
    return np.bincount(taken.ravel(), minlength=rows * clusters).reshape(rows, clusters).astype(np.uint8)


class Interval(Protocol):
    """A mean or difference whose interval can be asked for at any level."""

    @property
    def method(self) -> str:
        """How the interval was made."""

    def one_sided(self, limit: float) -> tuple[float, float]:
        """One-sided p of "the true value is at most `limit`", and of "it is at least `limit`"."""

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """(low, high) at a confidence level."""

    def shifted(self, points: float) -> Interval:
        """The same with points added that are known, and are no sample."""


@dataclass(frozen=True)
class Studentised:
    """A mean per question, its cluster-robust standard error, and the bootstrap's studentised deviations."""

    mean: float
    error: float
    clusters: int
    deviations: Array
    method: str = "studentised cluster bootstrap"

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """A t interval where resamples without any variance reach into the tails, and the bootstrap's own elsewhere."""
        low, high = np.quantile(self.deviations, ((1 - level) / 2, (1 + level) / 2), method="inverted_cdf")
        if not (math.isfinite(low) and math.isfinite(high)):
            high = t_quantile((1 + level) / 2, self.clusters - 1)
            low = -high
        return self.mean - float(high) * self.error, self.mean - float(low) * self.error

    def one_sided(self, limit: float) -> tuple[float, float]:
        """By the share of resamples that deviate as far; by the t distribution where too few of them do, and as in the
        interval beyond what resamples without any variance leave to be read."""
        if not self.error:
            return float(self.mean <= limit), float(self.mean >= limit)
        away = (self.mean - limit) / self.error
        over = self._tail(self.deviations, away, t_above(away, self.clusters - 1))
        return over, self._tail(-self.deviations, -away, t_below(away, self.clusters - 1))

    @staticmethod
    def _tail(deviations: Array, away: float, of_t: float) -> float:
        """Probability of deviating as far: by the resamples, or by the t distribution."""
        resamples, endless = len(deviations) + 1, int(np.isposinf(deviations).sum())
        beyond = int((deviations >= away).sum())
        if endless > of_t * resamples:
            return float(max((beyond - endless) / resamples, of_t))
        return float((beyond + 1) / resamples if beyond >= RARE else max(beyond / resamples, of_t))

    def shifted(self, points: float) -> Studentised:
        """The same about another mean."""
        return replace(self, mean=self.mean + points)


def studentised(sums: Array, counts: Array, resamples: int, seed: int) -> list[Studentised]:
    """One for each column of `sums`, (clusters, columns); there must be at least two clusters.

    `counts`, (clusters,), are the questions of each cluster.
    """
    width = sums.shape[1]
    columns = np.column_stack([counts, counts**2, sums, sums * counts[:, None], sums**2])
    drawn = totals(columns, resamples, seed)
    (mean,), (error,) = _linearised(columns.sum(0)[None], width, len(sums))
    means, errors = _linearised(drawn, width, len(sums))
    away = np.where(np.abs(means - mean) < 1e-12, 0.0, means - mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = np.where(away == 0.0, 0.0, away / np.where(errors < 1e-12, 0.0, errors))
    return [Studentised(float(mean[i]), float(error[i]), len(sums), deviations[:, i]) for i in range(width)]


def _linearised(moments: Array, width: int, clusters: int) -> tuple[Array, Array]:
    """(means, standard errors) of ratios from the moments over clusters (Cochran 1977, section 6.4).

    `moments`: (rows, 2 + 3 width), of counts, their squares, sums, sums times counts, squares of sums.
    """
    c, cc = moments[:, :1], moments[:, 1:2]
    s, sc, ss = np.split(moments[:, 2:], 3, axis=1)
    mean = s / c
    spread = np.maximum(0.0, ss - 2 * mean * sc + mean**2 * cc)
    return mean, np.sqrt(spread * clusters / max(1, clusters - 1)) / c


@dataclass(frozen=True)
class Spread:
    """An interval over clusters and seeds, with the variance of the mean that each of the two brings: by the sum of two
    t, each of its own degrees of freedom, that the error is made of.

    `interaction_variance` is the part of `question_variance` that seeds bring by answering a question differently.
    `seeds` is the number of seeds; of two systems with different numbers, the smaller one.
    """

    mean: float
    error: float
    df: float
    question_variance: float = 0.0
    question_df: float = math.inf
    interaction_variance: float = 0.0
    seed_variance: float = 0.0
    seed_df: float = math.inf
    seeds: int = 1
    method: str = "two-level bootstrap, Behrens-Fisher interval"

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """(low, high) at a confidence level."""
        half = self._quantile((1 + level) / 2) * self.error
        return self.mean - half, self.mean + half

    @property
    def _parts(self) -> list[tuple[float, float]]:
        """(weight, degrees of freedom) of the two, whose squares add up to 1; of one where the other is 0."""
        whole = self.question_variance + self.seed_variance
        both = ((self.question_variance, self.question_df), (self.seed_variance, self.seed_df))
        return [(math.sqrt(variance / whole), df) for variance, df in both if variance > TINY * whole]

    def _quantile(self, level: float) -> float:
        parts = self._parts
        return two_quantile(level, parts) if len(parts) > 1 else t_quantile(level, parts[0][1] if parts else self.df)

    def _above(self, away: float) -> float:
        parts = self._parts
        return two_above(away, parts) if len(parts) > 1 else t_above(away, parts[0][1] if parts else self.df)

    def shifted(self, points: float) -> Spread:
        """The same about another mean."""
        return replace(self, mean=self.mean + points)

    @property
    def p(self) -> float:
        """Two-sided, of a mean of zero."""
        return 2 * self._above(abs(self.mean) / self.error) if self.error else float(self.mean == 0)

    def one_sided(self, limit: float) -> tuple[float, float]:
        """By the same distribution."""
        if not self.error:
            return float(self.mean <= limit), float(self.mean >= limit)
        above = self._above((self.mean - limit) / self.error)
        return above, 1 - above


def satterthwaite(parts: Sequence[tuple[float, float]], otherwise: float) -> float:
    """Degrees of freedom of a sum of (variance, degrees of freedom) (Satterthwaite 1946); `otherwise` without any
    variance."""
    bottom = sum(variance**2 / df for variance, df in parts)
    return float(sum(variance for variance, _ in parts) ** 2 / bottom) if bottom else otherwise


def two_level(
    arms: Sequence[Array],
    counts: Array,
    means: Sequence[Array],
    seed: int,
    of_seeds: tuple[float, float] | None = None,
) -> Spread:
    """Clusters and seeds drawn together; their spread is that of two t, of clusters and of seeds.

    `arms`, each (clusters, seeds), add up: one for a system or a difference paired by seed, two for systems whose seeds
    are drawn apart, as in Welch's test. `means`: of each arm, in every resample of the clusters. `of_seeds`: the
    variance that seeds bring to the mean, and its degrees of freedom, where more than these seeds tell of it.
    """
    by_seed = [arm.sum(0) / counts.sum() for arm in arms]
    of_arms = [(float(of.var(ddof=1)) / len(of), float(len(of) - 1)) for of in by_seed if len(of) > 1]
    clusters, question_df = cluster_error(sum(arm.mean(1) for arm in arms), counts) ** 2, len(counts) - 1
    drawn = sum(over_seeds(part, [seed, number] if number else seed) for number, part in enumerate(means))
    own = sum(variance for variance, _ in of_arms), satterthwaite(of_arms, otherwise=sum(df for _, df in of_arms))
    seed_variance, seed_df = own if of_seeds is None else of_seeds
    return Spread(
        sum(float(means_of.mean()) for means_of in by_seed),
        math.sqrt(max(float(np.var(drawn, ddof=1)) - own[0] + seed_variance, 0.0)),
        satterthwaite([(seed_variance, seed_df), (clusters, question_df)], otherwise=float(question_df)),
        question_variance=clusters,
        question_df=question_df,
        interaction_variance=min(clusters, sum(_interaction(arm, counts) for arm in arms)),
        seed_variance=seed_variance,
        seed_df=seed_df,
        seeds=min(len(means_of) for means_of in by_seed),
    )


def _interaction(sums: Array, counts: Array) -> float:
    """The variance of the mean that comes of clusters which differ from seed to seed by more than the seeds do."""
    seeds = sums.shape[1]
    if seeds < 2:
        return 0.0
    by_seed = sums.sum(0) / counts.sum()
    rest = sums - sums.mean(1, keepdims=True) - counts[:, None] * (by_seed - by_seed.mean())
    return float((rest**2).sum() / (seeds - 1) / seeds / counts.sum() ** 2)


def cluster_error(sums: Array, counts: Array) -> float:
    """Cluster-robust standard error of the mean per question; infinite for a single cluster."""
    cluster_count = len(sums)
    if cluster_count < 2:
        return math.inf
    rest = sums - sums.sum() / counts.sum() * counts
    return float(np.sqrt((rest**2).sum() * cluster_count / (cluster_count - 1)) / counts.sum())


def over_seeds(means: Array, seed: int | Sequence[int]) -> Array:
    """Means of drawn seeds, from each seed's mean in every resample of the clusters. (resamples, seeds) -> (resamples,)

    So few are drawn that their spread is too small by sqrt((S - 1) / S), and is scaled up (Rao and Wu 1988).
    """
    rows, seed_count = means.shape
    middle: Array = means.mean(1)
    if seed_count == 1:
        return middle
    keys = [seed] if isinstance(seed, int) else [*seed]
    taken = np.random.default_rng([*keys, seed_count]).integers(0, seed_count, (rows, seed_count))
    found: Array = middle + math.sqrt(seed_count / (seed_count - 1)) * (
        np.take_along_axis(means, taken, 1).mean(1) - middle
    )
    return found
