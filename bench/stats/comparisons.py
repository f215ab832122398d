"""Systems against each other on the same questions: differences, tests and equivalence, corrected as one family.

Everything is paired by question and clustered. Training seeds are a second level of sampling, never further questions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from scipy import special

from bench.stats.bootstrap import (
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
from bench.stats.permutation import mcnemar, sign_flipped
from bench.stats.planning import ALPHA, Plan, more_questions, needed, needed_within, plan

Verdict = Literal["better", "worse", "equivalent", "inconclusive"]


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
    """`a` minus `b`. `p` is two-sided, of "they do not differ"; `p_margin` of "they differ by the margin or more" (two
    one-sided tests, Schuirmann 1987). `p_holm` and `p_margin_holm` are corrected over the family compared together.

    `won` and `lost` are the sums of the differences either way; `effect` is their mean over their standard deviation.
    `n80` and `n90` are the questions that find a difference of this size with that power at the 5% level, with the
    seeds as they are; `seeds90` the seeds, with the questions as they are; `both90` (questions, seeds). None where that
    is not enough, or no difference was seen. `within90` are the questions that show with 90% power that a difference of
    this size is within the margin, with the seeds as they are. `non_inferior`: `a` is worse by no more than the margin.
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
    p_margin: float | None = None
    p_margin_holm: float | None = None
    seeds90: int | None = None
    both90: tuple[int, int] | None = None
    within90: int | None = None


Names = Sequence[tuple[str, str]]


def compare(panel: Panel, *, margin: float | None = None, resamples: int = RESAMPLES, seed: int = 0) -> list[Pair]:
    """Every pair of the panel's systems, corrected as one family.

    `margin` is the difference, set beforehand, below which two systems count as equivalent.
    """
    names = list(itertools.combinations(panel.values, 2))
    return compare_family([(panel, names)], margin=margin, resamples=resamples, seed=seed)


def compare_family(
    parts: Sequence[tuple[Panel, Names]],
    *,
    margin: float | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    family: int | None = None,
) -> list[Pair]:
    """Pairs of systems, each on the questions of its panel, corrected as one family of so many pairs: those given, or
    more where others were left out because of what the data say.

    With a margin a pair has two hypotheses, that it does not differ and that it differs by the margin or more. Both are
    in the family, so that at most one run in twenty says anything false of any pair.
    """
    size = family or sum(len(names) for _, names in parts)
    pairs = [
        pair
        for panel, names in parts
        for pair in _pairs(panel, names, margin=margin, resamples=resamples, seed=seed, family=size)
    ]
    return _decided(pairs, size)


def _pairs(
    panel: Panel, names: Names, *, margin: float | None, resamples: int, seed: int, family: int
) -> Iterator[Pair]:
    """Pairs of one panel, before any correction."""
    arms = [_arms(panel.values[a], panel.values[b]) for a, b in names]
    sums = [[panel.sums(arm) for arm in parts] for parts in arms]
    found = _intervals(sums, panel.counts, resamples, seed)
    plain = [i for i, interval in enumerate(found) if not isinstance(interval, Spread)]
    tests = dict(zip(plain, _tested([_by_question(arms[i]) for i in plain], panel, seed), strict=True))
    for i, (name, parts, interval) in enumerate(zip(names, arms, found, strict=True)):
        yield _pair(panel, name, parts, interval, tests.get(i), margin, family)


def holm(values: Sequence[float], family: int | None = None) -> list[float]:
    """Holm's step-down adjustment (1979), in a family of so many hypotheses; those that are not given are not shown.
    statsmodels has it, and collects the whole heap's garbage at each call."""
    size = family or len(values)
    return _stepped_down(np.array(values), np.arange(size, size - len(values), -1))


def exclusive(
    first: Sequence[float], second: Sequence[float], family: int | None = None
) -> tuple[list[float], list[float]]:
    """Holm's adjustment of two hypotheses a pair that cannot both be true (Shaffer 1986, procedure S1).

    Of 2 m hypotheses at most m are true, so no p value is multiplied by more than m, the pairs of the family.
    """
    p_values, size = np.array([*first, *second]), family or len(first)
    adjusted = _stepped_down(p_values, np.minimum(np.arange(2 * size, 2 * size - len(p_values), -1), size))
    return adjusted[: len(first)], adjusted[len(first) :]


def _stepped_down(p_values: Array, factors: Any) -> list[float]:
    """Each p value, from the smallest, times its factor, and no less than the one before it."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty_like(p_values, dtype=np.float64)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors))
    return [float(p) for p in adjusted]


def _decided(pairs: Sequence[Pair], family: int) -> list[Pair]:
    """The pairs with their corrected p and what follows. Equivalence comes first: what differs by less than the margin
    that was set beforehand does not matter."""
    margins = [pair.p_margin for pair in pairs if pair.p_margin is not None]
    margins_corrected: Sequence[float | None] = [None] * len(pairs)
    if margins:
        corrected, margins_corrected = exclusive([pair.p for pair in pairs], margins, family)
    else:
        corrected = holm([pair.p for pair in pairs], family)
    decided = []
    for pair, p_holm, p_margin_holm in zip(pairs, corrected, margins_corrected, strict=True):
        verdict: Verdict = "inconclusive"
        if p_margin_holm is not None and p_margin_holm <= ALPHA:
            verdict = "equivalent"
        elif p_holm <= ALPHA:
            verdict = "better" if pair.difference > 0 else "worse"
        decided.append(replace(pair, p_holm=p_holm, p_margin_holm=p_margin_holm, verdict=verdict))
    return decided


def _arms(a: Array, b: Array) -> list[Array]:
    """The parts, (seeds, questions), that add up to the difference.

    One, paired seed by seed, where both have as many seeds or one was built once; else each system's own.
    """
    return [a - b] if len(a) == len(b) or 1 in (len(a), len(b)) else [a, -b]


def _by_question(arms: Sequence[Array]) -> Array:
    """The difference on each question, over seeds."""
    found: Array = sum(arm.mean(0) for arm in arms)
    return found


def _pair(
    panel: Panel,
    names: tuple[str, str],
    arms: Sequence[Array],
    found: Interval,
    tested: tuple[float, str] | None,
    margin: float | None,
    family: int,
) -> Pair:
    by_question = _by_question(arms)
    count, mean = len(by_question), float(by_question.mean())
    deviation = float(by_question.std(ddof=1)) if count > 1 else 0.0
    spread = found.spread if isinstance(found, Guarded) else found
    if isinstance(spread, Spread):
        p_value, test = max([(spread.p, "t on the two-level bootstrap"), *([tested] if tested else [])])
        n80 = more_questions(spread, count, power=0.8, family=family)
        planned = plan(spread, count, power=0.9, family=family)
        of_seeds, of_questions = spread.seed_variance, spread.question_variance
    else:
        assert tested is not None  # what has no spread of seeds is tested
        p_value, test = tested
        error = cluster_error(panel.sums(by_question[None])[:, 0], panel.counts)
        n80, n90 = (
            needed(mean, count * error**2, power=power, family=family) if abs(mean) >= error else None
            for power in (0.8, 0.9)
        )
        planned = Plan(n90)
        of_seeds, of_questions = 0.0, error**2
    low, high = found.interval(0.95)
    ways = arms[0] if len(arms) == 1 else by_question[None]
    return Pair(
        *names,
        mean,
        low,
        high,
        count,
        len(panel.counts),
        min(len(arm) for arm in arms),
        p_value,
        p_value,
        test,
        found.method,
        won=float(np.maximum(ways, 0).sum(1).mean()),
        lost=float(np.maximum(-ways, 0).sum(1).mean()),
        effect=mean / deviation if deviation else None,
        n80=n80,
        n90=planned.questions,
        margin=margin,
        non_inferior=None if margin is None else found.interval(0.90)[0] > -margin,
        verdict="inconclusive",
        p_margin=None if margin is None else max(found.one_sided(-margin)[0], found.one_sided(margin)[1]),
        seeds90=planned.seeds,
        both90=planned.both,
        within90=None
        if margin is None
        else needed_within(
            mean, margin, count, lambda more: math.sqrt(of_seeds + of_questions / more), power=0.9, family=family
        ),
    )


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
        z = float(special.ndtri((1 + level) / 2))
        (up_low, up_high), (down_low, down_high) = (wilson(p, self.n, z) for p in (self.up, self.down))
        low = self.up - self.down - math.hypot(self.up - up_low, down_high - self.down)
        high = self.up - self.down + math.hypot(up_high - self.up, self.down - down_low)
        return max(-1.0, low), min(1.0, high)

    def one_sided(self, limit: float) -> tuple[float, float]:
        """From the levels at which the interval just holds the limit."""
        return _one_sided(self.interval, limit)


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


@dataclass(frozen=True)
class Guarded:
    """Where few clusters differ between systems of several seeds: the wider of what the spread over seeds and clusters
    gives, and of what so few clusters give. Seeds that all say the same are no more clusters."""

    spread: Spread
    few: Few
    method: str = "the wider of the two-level bootstrap and Newcombe's, by cluster"

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """(low, high) at a confidence level."""
        lows, highs = zip(self.spread.interval(level), self.few.interval(level), strict=True)
        return min(lows), max(highs)

    def one_sided(self, limit: float) -> tuple[float, float]:
        """The larger of both, either way."""
        over, under = zip(self.spread.one_sided(limit), self.few.one_sided(limit), strict=True)
        return max(over), max(under)


def _intervals(sums: Sequence[Sequence[Array]], counts: Array, resamples: int, seed: int) -> list[Interval]:
    """One for each difference, all from the same draws. A difference is the sum of its arms, (clusters, seeds) each."""
    found: dict[int, Interval] = {}
    once = {i: arms[0][:, 0] for i, arms in enumerate(sums) if len(arms) == 1 and arms[0].shape[1] == 1}
    for number, arms in enumerate(sums):
        if len(counts) < 2:
            found[number] = Open(sum(float(arm.sum(0).mean()) for arm in arms) / float(counts.sum()))
        elif number in once and _is_few(once[number], counts):
            found[number] = _few(once[number], counts)
    single = [i for i in once if i not in found]
    if single:
        columns = np.column_stack([once[i] for i in single])
        found |= dict(zip(single, studentised(columns, counts, resamples, seed), strict=True))
    several = [(i, arm) for i, arms in enumerate(sums) if i not in found for arm in arms]
    if several:
        drawn = totals(np.column_stack([counts, *(arm for _, arm in several)]), resamples, seed)
        ends = np.cumsum([arm.shape[1] for _, arm in several])[:-1]
        means = np.split(drawn[:, 1:] / drawn[:, :1], ends, axis=1)
        for i in {i for i, _ in several}:
            parts = [mean for (j, _), mean in zip(several, means, strict=True) if j == i]
            spread, middle = two_level(sums[i], counts, parts, seed), _over_seeds(sums[i])
            found[i] = Guarded(spread, _few(middle, counts)) if _is_few(middle, counts) else spread
    return [found[i] for i in range(len(sums))]


def _over_seeds(arms: Sequence[Array]) -> Array:
    """The difference in each cluster, over seeds."""
    found: Array = sum(arm.mean(1) for arm in arms)
    return np.where(np.abs(found) < 1e-12, 0.0, found)


def _is_few(sums: Array, counts: Array) -> bool:
    """Whether so few clusters differ that there is too little to resample."""
    return bool(np.count_nonzero(sums) < FEW and (np.abs(sums) <= counts).all())


def _few(sums: Array, counts: Array) -> Few:
    total = float(counts.sum())
    up, down = (float(np.maximum(side, 0).sum()) / total for side in (sums, -sums))
    return Few(up, down, total**2 / float((counts**2).sum()))


def _tested(pairs: Sequence[Array], panel: Panel, seed: int) -> list[tuple[float, str]]:
    """Two-sided p of "the systems do not differ" by the differences of each pair, and the name of the test.

    Exact McNemar where every question is a cluster of its own and right or wrong; else whole clusters change sign,
    in every way where few differ.
    """
    alone = len(panel.counts) == len(panel.clusters)
    binary = [alone and bool(np.isin(pair, (-1.0, 0.0, 1.0)).all()) for pair in pairs]
    others = [pair for pair, so in zip(pairs, binary, strict=True) if not so]
    flipped = iter(sign_flipped(panel.sums(np.stack(others)), seed) if others else ())
    return [_mcnemar(pair) if so else next(flipped) for pair, so in zip(pairs, binary, strict=True)]


def _mcnemar(differences: Array) -> tuple[float, str]:
    return mcnemar(int((differences > 0).sum()), int((differences < 0).sum())), "exact McNemar"


def joint(panel: Panel, *, resamples: int = 10_000, seed: int = 0) -> dict[str, Array]:
    """Each system's mean in the same resamples. system -> (resamples,)

    Systems with as many seeds share the seeds drawn: a hybrid's third seed is its adapter's.
    """
    columns = {name: panel.sums(v) for name, v in panel.values.items()}
    drawn = totals(np.column_stack([panel.counts, *columns.values()]), resamples, seed)
    parts = np.split(drawn[:, 1:] / drawn[:, :1], np.cumsum([c.shape[1] for c in columns.values()])[:-1], axis=1)
    return {name: over_seeds(part, seed) for name, part in zip(columns, parts, strict=True)}
