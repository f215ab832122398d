"""Systems against each other on the same questions: differences, tests and equivalence, corrected as one family.

Everything is paired by question and clustered. Training seeds are a second level of sampling, never further questions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from bench.stats.bootstrap import (
    Array,
    Interval,
    Spread,
    cluster_error,
    over_seeds,
    satterthwaite,
    studentised,
    totals,
    two_level,
)
from bench.stats.corrections import exclusive, holm
from bench.stats.few import Few, Guarded, Open, Shifted, few, seldom
from bench.stats.intervals import RESAMPLES
from bench.stats.permutation import mcnemar, sign_flipped
from bench.stats.planning import ALPHA, Plan, more_questions, needed, needed_within, plan
from bench.stats.pooling import Known, pooled, restless

EXACT = "exact McNemar"
UNLIKE = 0.1  # level, over all systems, at which the seeds of one differ by more than those of the others
Verdict = Literal["better", "worse", "equivalent", "inconclusive"]


@dataclass(frozen=True)
class Panel:
    """One metric of several systems on the same questions.

    `values`: system -> (seeds, questions), one row where nothing was trained; `clusters`: a name for each question.
    `points` count for the first system of a pair beside its values: they are known, and are no sample.
    """

    values: Mapping[str, Array]
    clusters: Sequence[str]
    points: float = 0.0

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
    one-sided tests, Schuirmann 1987). `p_holm` and `p_margin_holm` are corrected over the family compared together, and
    so are `p_worse` and `p_better`, of "`a` is worse, or better, by the margin or more".

    `won` and `lost` are the sums of the differences either way; `effect` is their mean over their standard deviation.
    `n80` and `n90` are the questions that find a difference of this size with that power at the 5% level, with the
    seeds as they are; `seeds90` the seeds, with the questions as they are; `both90` (questions, seeds). None where that
    is not enough, or no difference was seen. `within90` are the questions that show with 90% power that a difference of
    this size is within the margin, with the seeds as they are. `non_inferior`: it is ruled out that `a` is worse by the
    margin or more.
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
    p_worse: float | None = None
    p_better: float | None = None
    seeds90: int | None = None
    both90: tuple[int, int] | None = None
    within90: int | None = None

    @property
    def no_worse(self) -> tuple[str, ...]:
        """Those of the two of which it is ruled out that they are worse by the margin."""
        found = ((self.a, self.p_worse), (self.b, self.p_better))
        return tuple(name for name, p in found if p is not None and p <= ALPHA)


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

    With a margin a pair has three hypotheses, of which one at most is true: that it does not differ, that the first is
    worse by the margin or more, and that it is better by as much. All are in the family, so that at most one run in
    twenty says anything false of any pair.
    """
    size = family or sum(len(names) for _, names in parts)
    noise = seed_noise([panel for panel, _ in parts])
    pairs = [
        pair
        for panel, names in parts
        for pair in _pairs(panel, names, noise, margin=margin, resamples=resamples, seed=seed, family=size)
    ]
    return _decided(pairs, size)


def seed_noise(panels: Sequence[Panel]) -> dict[str, Known]:
    """By how much one training of a system differs from another, of each that was trained several times: the standard
    deviation of its means, and its degrees of freedom. That of all of them together, but for those that vary by more:
    two or three seeds of one system tell little."""
    means = {name: rows.mean(1) for panel in panels for name, rows in panel.values.items() if len(rows) > 1}
    own = {name: (float(of.std(ddof=1)), len(of) - 1) for name, of in means.items()}
    apart = restless(own, UNLIKE / max(1, len(own)))
    alike = [known for name, known in own.items() if name not in apart]
    usual = pooled(alike) if alike else None
    return {name: usual if usual and name not in apart else known for name, known in own.items()}


def _of_seeds(a: tuple[Known, int] | None, b: tuple[Known, int] | None) -> tuple[float, float] | None:
    """(variance, degrees of freedom) that seeds bring to a difference of two systems, of each its noise and its number
    of seeds; None where both were built once."""
    known = [of for of in (a, b) if of is not None]
    parts = [(sd**2 / seeds, float(df)) for (sd, df), seeds in known]
    if not parts:
        return None
    of_one = len({noise for noise, _ in known}) == 1  # the same figure in both: it is known no worse
    df = parts[0][1] if of_one else satterthwaite(parts, otherwise=min(df for _, df in parts))
    return sum(variance for variance, _ in parts), df


def _pairs(
    panel: Panel,
    names: Names,
    noise: Mapping[str, Known],
    *,
    margin: float | None,
    resamples: int,
    seed: int,
    family: int,
) -> Iterator[Pair]:
    """Pairs of one panel, before any correction."""
    plain_arms = [_arms(panel.values[a], panel.values[b]) for a, b in names]
    sums = [[panel.sums(arm) for arm in parts] for parts in plain_arms]
    known = {name: (noise[name], len(panel.values[name])) for name in noise if name in panel.values}
    of_seeds = [_of_seeds(known.get(a), known.get(b)) for a, b in names]
    found = _intervals(sums, panel.counts, of_seeds, resamples, seed)
    if panel.points:
        found = [interval.shifted(panel.points) for interval in found]
    arms = [[first + panel.points, *rest] for first, *rest in plain_arms] if panel.points else plain_arms
    plain = [i for i, interval in enumerate(found) if not isinstance(interval, Spread)]
    tests = dict(zip(plain, _tested([_by_question(arms[i]) for i in plain], panel, seed), strict=True))
    for i, (name, parts, interval) in enumerate(zip(names, arms, found, strict=True)):
        yield _pair(panel, name, parts, interval, tests.get(i), margin, family)


def _decided(pairs: Sequence[Pair], family: int) -> list[Pair]:
    """The pairs with their corrected p and what follows. Equivalence comes first: what differs by less than the margin
    that was set beforehand does not matter."""
    worse = [pair.p_worse for pair in pairs if pair.p_worse is not None]
    better = [pair.p_better for pair in pairs if pair.p_better is not None]
    if not worse:
        corrected = holm([pair.p for pair in pairs], family)
        return [replace(pair, p_holm=p, verdict=_of_sign(pair, p)) for pair, p in zip(pairs, corrected, strict=True)]
    decided = []
    adjusted = exclusive([pair.p for pair in pairs], worse, better, family=family)
    for pair, p_holm, p_worse, p_better in zip(pairs, *adjusted, strict=True):
        outside = max(p_worse, p_better)
        verdict: Verdict = "equivalent" if outside <= ALPHA else _of_sign(pair, p_holm)
        of_margin = {"p_margin_holm": outside, "p_worse": p_worse, "p_better": p_better}
        decided.append(replace(pair, p_holm=p_holm, **of_margin, non_inferior=p_worse <= ALPHA, verdict=verdict))
    return decided


def _of_sign(pair: Pair, p_holm: float) -> Verdict:
    """Better or worse where that they do not differ is ruled out."""
    return "inconclusive" if p_holm > ALPHA else "better" if pair.difference > 0 else "worse"


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
        rare = [(found.few.p, found.method)] if isinstance(found, Guarded) else []
        p_value, test = max([(spread.p, "t on the two-level bootstrap"), *([tested] if tested else []), *rare])
        n80 = more_questions(spread, count, power=0.8, family=family)
        planned = plan(spread, count, power=0.9, family=family)
        of_seeds, of_questions = spread.seed_variance, spread.question_variance
    else:
        assert tested is not None  # what has no spread of seeds is tested
        p_value, test = tested
        if isinstance(found, Guarded | Shifted) or (isinstance(found, Few) and test != EXACT):
            p_value = max(p_value, found.p)
        error = cluster_error(panel.sums(by_question[None])[:, 0], panel.counts)
        n80, n90 = (
            needed(mean, count * error**2, power=power, family=family) if abs(mean) >= error else None
            for power in (0.8, 0.9)
        )
        planned = Plan(n90)
        of_seeds, of_questions = 0.0, error**2
    low, high = found.interval(0.95)
    if not panel.points and np.abs(by_question).max(initial=0.0) <= 1:  # of shares
        low, high = max(low, -1.0), min(high, 1.0)
    worse, better = (None, None) if margin is None else (found.one_sided(-margin)[0], found.one_sided(margin)[1])
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
        non_inferior=None if worse is None else worse <= ALPHA,
        verdict="inconclusive",
        p_margin=None if worse is None or better is None else max(worse, better),
        p_worse=worse,
        p_better=better,
        seeds90=planned.seeds,
        both90=planned.both,
        within90=None
        if margin is None
        else needed_within(
            mean, margin, count, lambda more: math.sqrt(of_seeds + of_questions / more), power=0.9, family=family
        ),
    )


def _intervals(
    sums: Sequence[Sequence[Array]],
    counts: Array,
    of_seeds: Sequence[tuple[float, float] | None],
    resamples: int,
    seed: int,
) -> list[Interval]:
    """One for each difference, all from the same draws. A difference is the sum of its arms, (clusters, seeds) each.
    `of_seeds`: what seeds bring to each."""
    found: dict[int, Interval] = {}
    once = {i: arms[0][:, 0] for i, arms in enumerate(sums) if len(arms) == 1 and arms[0].shape[1] == 1}
    for number, arms in enumerate(sums):
        if len(counts) < 2:
            found[number] = Open(sum(float(arm.sum(0).mean()) for arm in arms) / float(counts.sum()))
        elif number in once and (rare := few(once[number], counts)):
            found[number] = rare
    single = [i for i in once if i not in found]
    if single:
        columns = np.column_stack([once[i] for i in single])
        for i, interval in zip(single, studentised(columns, counts, resamples, seed), strict=True):
            unseen = seldom(once[i], counts)
            found[i] = Guarded(interval, unseen) if unseen else interval
    several = [(i, arm) for i, arms in enumerate(sums) if i not in found for arm in arms]
    if several:
        drawn = totals(np.column_stack([counts, *(arm for _, arm in several)]), resamples, seed)
        ends = np.cumsum([arm.shape[1] for _, arm in several])[:-1]
        means = np.split(drawn[:, 1:] / drawn[:, :1], ends, axis=1)
        for i in {i for i, _ in several}:
            parts = [mean for (j, _), mean in zip(several, means, strict=True) if j == i]
            spread, middle = two_level(sums[i], counts, parts, seed, of_seeds[i]), _over_seeds(sums[i])
            rare = few(middle, counts)
            found[i] = Guarded(spread, rare) if rare else spread
    return [found[i] for i in range(len(sums))]


def _over_seeds(arms: Sequence[Array]) -> Array:
    """The difference in each cluster, over seeds."""
    found: Array = sum(arm.mean(1) for arm in arms)
    return np.where(np.abs(found) < 1e-12, 0.0, found)


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
    return mcnemar(int((differences > 0).sum()), int((differences < 0).sum())), EXACT


def joint(panel: Panel, *, resamples: int = 10_000, seed: int = 0) -> dict[str, Array]:
    """Each system's mean in the same resamples. system -> (resamples,)

    Systems with as many seeds share the seeds drawn: a hybrid's third seed is its adapter's.
    """
    columns = {name: panel.sums(v) for name, v in panel.values.items()}
    drawn = totals(np.column_stack([panel.counts, *columns.values()]), resamples, seed)
    parts = np.split(drawn[:, 1:] / drawn[:, :1], np.cumsum([c.shape[1] for c in columns.values()])[:-1], axis=1)
    return {name: over_seeds(part, seed) for name, part in zip(columns, parts, strict=True)}
