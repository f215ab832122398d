"""Intervals of a difference where few clusters differ, so that there is too little to resample."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from bench.stats.bootstrap import Array, Interval
from bench.stats.shares import FEW, wilson, worth


def _one_sided(interval: Callable[[float], tuple[float, float]], limit: float) -> tuple[float, float]:
    """One-sided p values of a limit, from the levels at which an interval just holds it."""

    def smallest(holds: Callable[[float], bool]) -> float:
        low, high = 0.0, 1.0 - 1e-12  # levels
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if holds(middle) else (middle, high)
        return (1 - high) / 2

    low, high = interval(0.0)
    if low <= limit <= high:
        return 0.5, 0.5
    if limit < low:
        over = smallest(lambda level: interval(level)[0] <= limit)
        return over, 1 - over
    under = smallest(lambda level: interval(level)[1] >= limit)
    return 1 - under, under


class _Tested:
    """What has one-sided p values has a two-sided one."""

    def one_sided(self, limit: float) -> tuple[float, float]:
        """One-sided p of "the true value is at most `limit`", and of "it is at least `limit`"."""
        raise NotImplementedError

    @property
    def p(self) -> float:
        """Two-sided, of a difference of zero."""
        return min(1.0, 2 * min(self.one_sided(0.0)))


@dataclass(frozen=True)
class Few(_Tested):
    """Where few clusters differ: Newcombe's difference of two Wilson intervals (1998, method 10, uncorrelated). A
    share has at least the exact upper end (Clopper and Pearson 1934) where all that differ do so one way: then nothing
    of the other share makes up for what Wilson's lacks where few are won or lost.

    `up` and `down` are the shares of the questions that are won and lost, `n` how many independent questions the
    clusters are worth at least.
    """

    up: float
    down: float
    n: float
    method: str = "Newcombe, by cluster"

    @classmethod
    def of(cls, sums: Array, counts: Array) -> Few:
        """From the differences and the questions of each cluster. Both (clusters,)"""
        total = float(counts.sum())
        up, down = (float(np.maximum(side, 0).sum()) / total for side in (sums, -sums))
        return cls(up, down, worth(counts))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """(low, high) at a confidence level."""
        z = float(special.ndtri((1 + level) / 2))
        (up_low, up_high), (down_low, down_high) = (wilson(p, self.n, z) for p in (self.up, self.down))
        if not (self.up and self.down):
            up_high = max(up_high, _exact_end(self.up, self.n, level))
            down_high = max(down_high, _exact_end(self.down, self.n, level))
        low = self.up - self.down - math.hypot(self.up - up_low, down_high - self.down)
        high = self.up - self.down + math.hypot(up_high - self.up, self.down - down_low)
        return max(-1.0, low), min(1.0, high)

    def one_sided(self, limit: float) -> tuple[float, float]:
        """From the levels at which the interval just holds the limit."""
        return _one_sided(self.interval, limit)

    def shifted(self, points: float) -> Shifted:
        """With known points beside."""
        return Shifted(self, points)


def _exact_end(share: float, n: float, level: float) -> float:
    """The upper end of Clopper and Pearson's interval."""
    return float(special.betaincinv(share * n + 1, n - share * n, (1 + level) / 2)) if share < 1 else 1.0


@dataclass(frozen=True)
class Open:
    """A single cluster says nothing of others: the interval is everything that a difference of shares can be."""

    mean: float
    method: str = "one cluster: no interval"

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """(low, high): everything that a difference of shares can be."""
        return -1.0, 1.0

    def one_sided(self, limit: float) -> tuple[float, float]:
        """Nothing is shown."""
        return 1.0, 1.0

    def shifted(self, points: float) -> Open:
        """Nothing is known of it either way."""
        return self


@dataclass(frozen=True)
class Guarded(_Tested):
    """Where few clusters differ, or differ by much: the wider of what a bootstrap gives, and of what so few clusters
    give. Seeds that all say the same are no more clusters."""

    spread: Interval
    few: Few | Shifted

    @property
    def method(self) -> str:
        """How the interval was made."""
        return f"the wider of the {self.spread.method} and Newcombe's, by cluster"

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """(low, high) at a confidence level."""
        lows, highs = zip(self.spread.interval(level), self.few.interval(level), strict=True)
        return min(lows), max(highs)

    def one_sided(self, limit: float) -> tuple[float, float]:
        """The larger of both, either way."""
        over, under = zip(self.spread.one_sided(limit), self.few.one_sided(limit), strict=True)
        return max(over), max(under)

    def shifted(self, points: float) -> Guarded:
        """Both."""
        return Guarded(self.spread.shifted(points), self.few.shifted(points))


@dataclass(frozen=True)
class Shifted(_Tested):
    """Few clusters that differ, and points that count beside them: these are known, and are no sample."""

    few: Few
    by: float

    @property
    def method(self) -> str:
        """How the interval was made."""
        return self.few.method

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """(low, high) at a confidence level."""
        low, high = self.few.interval(level)
        return low + self.by, high + self.by

    def one_sided(self, limit: float) -> tuple[float, float]:
        """Of the limit less the points."""
        return self.few.one_sided(limit - self.by)

    def shifted(self, points: float) -> Shifted:
        """With more points beside."""
        return Shifted(self.few, self.by + points)


LARGE = 0.25  # a difference from the usual one that counts as large


def _usual(sums: Array, counts: Array) -> float:
    """The difference in the middle cluster."""
    rates = sums / counts
    return float(np.partition(rates, len(rates) // 2)[len(rates) // 2])


def seldom(sums: Array, counts: Array) -> Few | Shifted | None:
    """The interval of differences that are large in fewer than FEW clusters, or in none, and small in the others: those
    that are large may not have been drawn. None where enough are, for a bootstrap to draw from."""
    usual = _usual(sums, counts)
    apart = sums - usual * counts
    large = np.abs(apart) > LARGE * counts
    if np.count_nonzero(large) >= FEW:
        return None
    small = usual + float(apart[~large].sum()) / float(counts.sum())
    found = Few.of(np.clip(np.where(large, apart, 0.0), -counts, counts), counts)
    return found.shifted(small) if small else found


def few(sums: Array, counts: Array) -> Few | Shifted | None:
    """The interval where there is too little to resample; None elsewhere.

    That is where fewer than FEW clusters differ from no difference, or from the difference that most of them agree on,
    so that others, rare and of any size, may not have been drawn; and where clusters of unequal size are worth fewer
    than FEW.
    """
    for by in dict.fromkeys((0.0, _usual(sums, counts))):
        apart = sums - by * counts
        apart = np.where(np.abs(apart) < 1e-9 * counts, 0.0, apart)
        if (np.abs(apart) > counts).any():
            continue
        if np.count_nonzero(apart) < FEW or worth(counts) < FEW:
            found = Few.of(apart, counts)
            return found.shifted(by) if by else found
    return None
