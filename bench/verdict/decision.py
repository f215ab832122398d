"""The choice among the systems that meet the needs: who is ahead, who is equivalent, and what cannot be told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.scoring import money
from bench.scoring.grade import Column, named_pairs, pairwise, panel
from bench.scoring.schema import Criteria, Criterion, Outcome
from bench.spec.model import Weights
from bench.stats.bootstrap import Array
from bench.stats.comparisons import Pair, Panel, Verdict, compare_family, joint
from bench.stats.planning import ALPHA
from bench.verdict.noise import Noise
from bench.verdict.trades import SMALL_USD

CRITERIA: tuple[Criterion, ...] = ("cost", "latency", "memory")  # weighed by their logarithm
Offsets = Mapping[str, Mapping[Criterion, float]]  # system -> criterion -> points that its figure takes off


@dataclass(frozen=True)
class Weighing:
    """What counts beside quality: the points that each system's figures take off, by the weights, less their noise."""

    offset: Offsets
    weights: Weights
    noise: Noise

    def points(self, a: str, b: str) -> float:
        """What counts for one system against another, less what noise can make of each criterion."""
        total = 0.0
        for key in self.offset[a]:
            apart = self.offset[a][key] - self.offset[b][key]
            by_noise = getattr(self.weights, key) * self.noise.between(key, a, b)
            total += math.copysign(max(0.0, abs(apart) - by_noise), apart)
        return total

    def panels(
        self, columns: Mapping[str, Column], pairs: Sequence[tuple[str, str]]
    ) -> list[tuple[Panel, list[tuple[str, str]]]]:
        """The pairs on the questions that both have, with what the weights take off."""
        parts = pairwise(columns, pairs)
        if not any(value for of in self.offset.values() for value in of.values()):
            return parts
        found = []
        for whole, names in parts:
            for a, b in names:
                of = {name: whole.values[name] for name in (a, b)}
                found.append((Panel(of, whole.clusters, self.points(a, b)), [(a, b)]))
        return found

    def against(self, columns: Mapping[str, Column], name: str, margin: float | None) -> list[Pair]:
        """One system with each of the others, corrected as a family."""
        return compare_family(
            self.panels(columns, [(name, other) for other in columns if other != name]), margin=margin
        )


@dataclass(frozen=True)
class Decision:
    """The choice among feasible systems, as the fields of a recommendation.

    `best` has the highest quality; `choice` is the cheapest of those equivalent to it of which everything is decided;
    every pair of `against` is of the choice and another one; `equivalent` are those equivalent to it, and `among` those
    that it is not shown to be better than either. `probability` is the share of joint resamples in which the choice or
    an equivalent is ahead, on the `common` questions that all systems have.
    """

    outcome: Outcome
    choice: str
    best: str
    equivalent: tuple[str, ...]
    among: tuple[str, ...]
    probability: float | None
    probabilities: dict[str, float]
    common: int
    questions: int | None
    against: tuple[Pair, ...]

    @property
    def is_no_worse(self) -> bool:
        """Whether it is ruled out that a system that cannot be told from the choice is better by the margin."""
        return {pair.b for pair in self.against if pair.non_inferior}.issuperset(self.among)


def decide(
    columns: Mapping[str, Column], weighing: Weighing, margin: float | None, *, all_pairs: bool = False
) -> Decision:
    """The choice among feasible systems, each pair on the questions that both have. Of many systems only pairs with the
    best are compared, unless `all_pairs`; then no other can be chosen."""
    value = {name: column.mean + sum(weighing.offset[name].values()) for name, column in columns.items()}
    best = max(value, key=lambda name: value[name])
    compared, family = named_pairs(list(columns), [best], every=all_pairs)
    pairs = compare_family(weighing.panels(columns, compared), margin=margin, family=family)
    seen = {name: [seen_from(pair, name) for pair in pairs if name in (pair.a, pair.b)] for name in columns}
    verdicts = {name: {pair.b: pair.verdict for pair in seen[name]} for name in columns}
    level = [best, *(other for other, verdict in verdicts[best].items() if verdict == "equivalent")]
    decided = [name for name in level if _is_decided(verdicts[name], len(columns))]
    choice = _cheapest([name for name in columns if name in decided], weighing.noise) if decided else best
    same = tuple(other for other in columns if verdicts[choice].get(other) == "equivalent")
    among = tuple(n for n in columns if n != choice and verdicts[choice].get(n) not in ("better", "equivalent"))
    shares, common = _shares_ahead(columns, weighing)
    return Decision(
        outcome=_outcome(undecided=bool(among), same=bool(same)),
        choice=choice,
        best=best,
        equivalent=same,
        among=among,
        probability=sum(shares[name] for name in (choice, *same)) if shares else None,
        probabilities=shares,
        common=common,
        questions=max((pair.n90 for pair in seen[choice] if pair.b in among and pair.n90), default=None),
        against=tuple(seen[choice]),
    )


def _is_decided(verdicts: Mapping[str, Verdict], systems: int) -> bool:
    """Whether a system is better than, or equivalent to, each of the others."""
    return len(verdicts) == systems - 1 and all(verdict in ("better", "equivalent") for verdict in verdicts.values())


def _outcome(*, undecided: bool, same: bool) -> Outcome:
    if undecided:
        return "undecided"
    return "equivalent" if same else "winner"


def _shares_ahead(columns: Mapping[str, Column], weighing: Weighing) -> tuple[dict[str, float], int]:
    """The share of joint resamples in which each system is ahead, ties shared out; and the questions it rests on."""
    whole = panel(columns)
    if whole is None:
        return {}, 0
    drawn = joint(whole)
    offset, weights, noise = weighing.offset, weighing.weights, weighing.noise
    matrix = np.stack(
        [
            values
            + _noisy(
                offset[name], {k: getattr(weights, k) * noise.of(k, name) for k in offset[name]}, number, len(values)
            )
            for number, (name, values) in enumerate(drawn.items())
        ]
    )
    top = matrix >= matrix.max(0) - 1e-12
    return dict(zip(drawn, (top / top.sum(0)).mean(1).tolist(), strict=True)), len(whole.clusters)


def _noisy(offset: Mapping[Criterion, float], half: Mapping[Criterion, float], number: int, resamples: int) -> Array:
    """What the weights take off a system in each resample: its figures vary as repeats do. `half` are the half-widths
    of their 95% intervals, in points."""
    rng, found = np.random.default_rng([number, 3]), np.zeros(resamples)
    for key, points in offset.items():
        found += points + half[key] / 1.96 * rng.standard_normal(resamples)
    return found


def offsets(figures: Mapping[str, Criteria], weights: Weights) -> dict[str, dict[Criterion, float]]:
    """What the weights take off each system's quality: points a tenfold figure above the smallest.

    A figure that was not measured counts as the worst that was, and a cost below SMALL_USD, such as none, as that.
    """
    off: dict[str, dict[Criterion, float]] = {name: {} for name in figures}
    for key in CRITERIA:
        weight = getattr(weights, key)
        values = {name: getattr(found, key) for name, found in figures.items()}
        least = SMALL_USD if key == "cost" else 1e-12
        known = [max(float(value), least) for value in values.values() if value is not None]
        if not weight or not known:
            continue
        for name, value in values.items():
            counted = max(known) if value is None else max(float(value), least)
            off[name][key] = -weight * math.log10(counted / min(known))
    return off


def _cheapest(names: Sequence[str], noise: Noise) -> str:
    """The first, in the order of the spec, of those that none is shown to cost less than."""
    asked, updates = noise.volumes.questions_per_month, noise.volumes.updates_per_month
    return next(iter(money.cheapest({name: noise.costs[name] for name in names}, asked, updates)), names[0])


def seen_from(pair: Pair, name: str) -> Pair:
    """The pair seen from one of its sides."""
    if pair.a == name:
        return pair
    flipped: dict[str, Verdict] = {"better": "worse", "worse": "better"}
    return replace(
        pair,
        a=pair.b,
        b=pair.a,
        difference=-pair.difference,
        low=-pair.high,
        high=-pair.low,
        won=pair.lost,
        lost=pair.won,
        effect=None if pair.effect is None else -pair.effect,
        p_worse=pair.p_better,
        p_better=pair.p_worse,
        non_inferior=None if pair.p_better is None else pair.p_better <= ALPHA,
        verdict=flipped.get(pair.verdict, pair.verdict),
    )


def against(columns: Mapping[str, Column], name: str, margin: float | None) -> list[Pair]:
    """The pairs of one system with each of the others, corrected as a family."""
    return compare_family(pairwise(columns, [(name, other) for other in columns if other != name]), margin=margin)
