"""Systems against each other on the same questions: differences, tests, equivalence, and what it would take to decide.

Everything is paired by question and clustered. Training seeds are a second level of sampling, never further questions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
from scipy import stats as distributions

from bench.stats.bootstrap import (
    BLOCK,
    Array,
    Interval,
    Spread,
    cluster_error,
    over_seeds,
    studentised,
    totals,
    two_level,
)
from bench.stats.intervals import FEW, RESAMPLES, wilson

Verdict = Literal["better", "worse", "equivalent", "inconclusive"]
ALPHA = 0.05
PERMUTATIONS = 9999


@dataclass(frozen=True)
class Panel:
    """One metric of several systems on the same questions.

    `values`: system -> (seeds, questions), one row where nothing was trained; `clusters`: a name for each question.
    """

    values: Mapping[str, Array]
    clusters: Sequence[str]

    def __post_init__(self) -> None:
        shapes = {n: v.shape for n, v in self.values.items()}
        if any(len(s) != 2 or s[1] != len(self.clusters) for s in shapes.values()):
            raise ValueError(f"each system needs (seeds, {len(self.clusters)}) values, got {shapes}")

    @cached_property
    def _index(self) -> Any:
        return np.unique(np.asarray(self.clusters), return_inverse=True)[1]

    @cached_property
    def counts(self) -> Array:
        """Questions of each cluster. (clusters,)"""
        return np.bincount(self._index).astype(np.float64)

    def sums(self, values: Array) -> Array:
        """(seeds, questions) -> (clusters, seeds)"""
        return np.stack([np.bincount(self._index, row, len(self.counts)) for row in values], 1)


@dataclass(frozen=True)
class Pair:
    """`a` minus `b`. `p` is two-sided, `p_holm` corrected over the family that was compared together.

    `won` and `lost` are the sums of the differences either way; `effect` is their mean over their standard deviation;
    `n80` and `n90` are the questions that find a difference of this size with that power at the 5% level, None where
    none was seen; `non_inferior`: `a` is worse by no more than the margin.
    """

    a: str
    b: str
    difference: float
    low: float
    high: float
    n: int
    clusters: int
    seeds: int
    p: float
    p_holm: float
    test: str
    method: str
    won: float
    lost: float
    effect: float | None
    n80: int | None
    n90: int | None
    margin: float | None
    non_inferior: bool | None
    verdict: Verdict


def compare(panel: Panel, *, margin: float | None = None, resamples: int = RESAMPLES, seed: int = 0) -> list[Pair]:
    """Every pair of the panel's systems, corrected as one family (Holm 1979).

    `margin` is the difference, set beforehand, below which two systems count as equivalent (two one-sided tests).
    """
    names = list(itertools.combinations(panel.values, 2))
    differences = [_differences(panel.values[a], panel.values[b]) for a, b in names]
    sums = [panel.sums(x) for x in differences]
    found = _intervals(sums, panel.counts, resamples, seed)
    pairs = [_pair(panel, n, x, i, margin, seed, len(names)) for n, x, i in zip(names, differences, found, strict=True)]
    return [_decided(p, h) for p, h in zip(pairs, holm([p.p for p in pairs]), strict=True)]


def holm(values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment."""
    if len(values) < 2:
        return list(values)
    from statsmodels.stats.multitest import multipletests

    return [float(x) for x in multipletests(values, method="holm")[1]]


def _decided(pair: Pair, p_holm: float) -> Pair:
    """Equivalence comes first: what differs by less than the margin that was set beforehand does not matter."""
    verdict = pair.verdict
    if verdict != "equivalent" and p_holm <= ALPHA:
        verdict = "better" if pair.difference > 0 else "worse"
    return replace(pair, p_holm=p_holm, verdict=verdict)


def _differences(a: Array, b: Array) -> Array:
    """(seeds, questions): seed by seed where both have as many or one was not trained, else mean against mean."""
    return a - b if len(a) == len(b) or 1 in (len(a), len(b)) else a.mean(0, keepdims=True) - b.mean(0, keepdims=True)


def _pair(
    panel: Panel,
    names: tuple[str, str],
    differences: Array,
    found: Interval,
    margin: float | None,
    seed: int,
    family: int,
) -> Pair:
    count, mean = differences.shape[1], float(differences.mean())
    spread = float(differences.mean(0).std(ddof=1)) if count > 1 else 0.0
    if isinstance(found, Spread):
        error, p_value, test = found.error, found.p, "t on the two-level bootstrap"
    else:
        error = cluster_error(panel.sums(differences)[:, 0], panel.counts)
        p_value, test = exact_or_permuted(differences[0], panel, seed)
    (low, high), inner = found.interval(0.95), found.interval(0.90)
    same = margin is not None and -margin < inner[0] and inner[1] < margin
    return Pair(
        *names,
        mean,
        low,
        high,
        count,
        len(panel.counts),
        len(differences),
        p_value,
        p_value,
        test,
        found.method,
        won=float(np.maximum(differences, 0).sum(1).mean()),
        lost=float(np.maximum(-differences, 0).sum(1).mean()),
        effect=mean / spread if spread else None,
        n80=needed(mean, count * error**2, power=0.8, family=family),
        n90=needed(mean, count * error**2, power=0.9, family=family),
        margin=margin,
        non_inferior=None if margin is None else inner[0] > -margin,
        verdict="equivalent" if same else "inconclusive",
    )


@dataclass(frozen=True)
class Few:
    """Where few clusters differ: Newcombe's difference of two Wilson intervals (1998, method 10, uncorrelated).

    `up` and `down` are the shares of the questions that are won and lost, `n` how many independent questions the
    clusters are worth at least: the square of their sizes' sum over the sum of their squares (Kish 1965).
    """

    up: float
    down: float
    n: float
    method: str = "Newcombe, by cluster"

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """(low, high) at a confidence level."""
        z = float(distributions.norm.ppf((1 + level) / 2))
        (up_low, up_high), (down_low, down_high) = (wilson(p, self.n, z) for p in (self.up, self.down))
        low = self.up - self.down - math.hypot(self.up - up_low, down_high - self.down)
        high = self.up - self.down + math.hypot(up_high - self.up, self.down - down_low)
        return max(-1.0, low), min(1.0, high)


@dataclass(frozen=True)
class Open:
    """A single cluster says nothing of others: the interval is everything that a difference of shares can be."""

    mean: float
    method: str = "one cluster: no interval"

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """(low, high): everything that a difference of shares can be."""
        return -1.0, 1.0


def _intervals(sums: Sequence[Array], counts: Array, resamples: int, seed: int) -> list[Interval]:
    """One for each (clusters, seeds) difference, all from the same draws."""
    found: dict[int, Interval] = {}
    for number, sums_of in enumerate(sums):
        if len(counts) < 2:
            found[number] = Open(float(sums_of.sum(0).mean() / counts.sum()))
        elif (
            sums_of.shape[1] == 1 and np.count_nonzero(sums_of) < FEW and bool((np.abs(sums_of[:, 0]) <= counts).all())
        ):
            found[number] = _few(sums_of[:, 0], counts)
    single = [i for i, s in enumerate(sums) if i not in found and s.shape[1] == 1]
    if single:
        columns = np.column_stack([sums[i][:, 0] for i in single])
        found |= dict(zip(single, studentised(columns, counts, resamples, seed), strict=True))
    several = [i for i in range(len(sums)) if i not in found]
    if several:
        drawn = totals(np.column_stack([counts, *(sums[i] for i in several)]), resamples, seed)
        parts = np.split(drawn[:, 1:] / drawn[:, :1], np.cumsum([sums[i].shape[1] for i in several])[:-1], axis=1)
        found |= {i: two_level(sums[i], counts, part, seed) for i, part in zip(several, parts, strict=True)}
    return [found[i] for i in range(len(sums))]


def _few(sums: Array, counts: Array) -> Few:
    total = float(counts.sum())
    up, down = (float(np.maximum(side, 0).sum()) / total for side in (sums, -sums))
    return Few(up, down, total**2 / float((counts**2).sum()))


def exact_or_permuted(differences: Array, panel: Panel, seed: int) -> tuple[float, str]:
    """Two-sided p of "the systems do not differ", and the name of the test.

    Exact McNemar where every question is a cluster of its own and right or wrong; else whole clusters change sign,
    in every way where few differ.
    """
    if len(panel.counts) == differences.size and bool(np.isin(differences, (-1.0, 0.0, 1.0)).all()):
        return mcnemar(int((differences > 0).sum()), int((differences < 0).sum())), "exact McNemar"
    sums = panel.sums(differences[None])[:, 0]
    sums = sums[np.abs(sums) > 1e-12]
    seen = abs(sums.sum()) - 1e-9
    if sums.size <= 13:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=sums.size)))
        return float((np.abs(signs @ sums) >= seen).mean()), "exact cluster permutation"
    extreme = sum(int((np.abs(flips @ sums) >= seen).sum()) for flips in _flips(sums.size, seed))
    return (1 + extreme) / (1 + PERMUTATIONS), "cluster permutation"


def _flips(size: int, seed: int) -> Iterator[Array]:
    """Blocks of random signs. (rows, size)"""
    if PERMUTATIONS * size <= BLOCK:
        yield _small_flips(size, seed)
        return
    rng, rows = np.random.default_rng([seed, 2]), max(1, BLOCK // size)
    for first in range(0, PERMUTATIONS, rows):
        yield _signs(rng, min(rows, PERMUTATIONS - first), size)


@lru_cache(16)
def _small_flips(size: int, seed: int) -> Array:
    return _signs(np.random.default_rng([seed, 2]), PERMUTATIONS, size)


def _signs(rng: np.random.Generator, rows: int, size: int) -> Array:
    return rng.integers(0, 2, (rows, size), dtype=np.int8).astype(np.float64) * 2 - 1


def mcnemar(won: int, lost: int) -> float:
    """Exact two-sided McNemar test on the discordant questions (McNemar 1947)."""
    return float(distributions.binomtest(won, won + lost, 0.5).pvalue) if won + lost else 1.0


def needed(difference: float, variance: float, *, power: float, family: int = 1) -> int | None:
    """Questions to find a mean paired difference with this power; `variance` is of one question's difference, and
    `family` the number of comparisons that it is corrected with (by Bonferroni, which asks for no less than Holm)."""
    if not difference or not math.isfinite(variance):
        return None
    z = float(distributions.norm.ppf(1 - ALPHA / 2 / family) + distributions.norm.ppf(power))
    return math.ceil(z * z * variance / difference**2 - 1e-9)


def joint(panel: Panel, *, resamples: int = 10_000, seed: int = 0) -> dict[str, Array]:
    """Each system's mean in the same resamples. system -> (resamples,)

    Systems with as many seeds share the seeds drawn: a hybrid's third seed is its adapter's.
    """
    columns = {name: panel.sums(v) for name, v in panel.values.items()}
    drawn = totals(np.column_stack([panel.counts, *columns.values()]), resamples, seed)
    parts = np.split(drawn[:, 1:] / drawn[:, :1], np.cumsum([c.shape[1] for c in columns.values()])[:-1], axis=1)
    return {name: over_seeds(part, seed) for name, part in zip(columns, parts, strict=True)}
