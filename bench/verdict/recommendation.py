"""The recommendation: who meets the needs, who is ahead, how sure that is, and what would change it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.execution.run_file import Number
from bench.metrics.registry import title
from bench.scoring import money
from bench.scoring.grade import Column, panel
from bench.scoring.schema import (
    Costs,
    Criteria,
    Criterion,
    MeasuredSystem,
    Need,
    NeedFlip,
    Outcome,
    Recommendation,
    Split,
    WeightFlip,
)
from bench.spec.model import Needs, Weights
from bench.stats.comparisons import Pair, Panel, Verdict, compare, joint
from bench.verdict.evidence import Evidence

CRITERIA: tuple[Criterion, ...] = ("cost", "latency", "memory")  # weighed by their logarithm
WORTH = 1.3  # times smaller, below which two runs of one system may differ as much
ALIKE = 1.2  # costs of two runs of one system differ by as much


def recommend(evidence: Evidence) -> Recommendation:
    """Feasible systems, the Pareto front, the choice and its probability, what would flip it, and one sentence.

    `outcome`: winner, equivalent (any of these will do; the cheapest is chosen), undecided, or nothing feasible.
    """
    spec = evidence.run.spec
    costs = money.costs(evidence.named, spec.prices, spec.volumes)
    rivals = {
        name: system
        for name, system in evidence.named.items()
        if not system.control and evidence.headline in evidence.columns[name]
    }
    figures = {name: criteria(system, costs[name]) for name, system in rivals.items()}
    needs = {name: constraints(name, evidence, costs[name], figures[name].memory) for name in rivals}
    feasible = [name for name in rivals if all(need.met for need in needs[name])]
    front = pareto({name: (evidence.quality(name), figures[name]) for name in feasible})
    found = Recommendation(
        metric=evidence.headline,
        needs=needs,
        feasible=tuple(feasible),
        pareto=tuple(front),
        costs=costs,
        criteria=figures,
        break_even=tuple(money.break_even({name: costs[name] for name in feasible}, spec.volumes.updates_per_month)),
        outcome="nothing feasible",
    )
    return _decided(evidence, found) if feasible else _nothing_feasible(evidence, found)


def _decided(evidence: Evidence, found: Recommendation) -> Recommendation:
    """The recommendation once there are feasible systems."""
    figures = found.criteria
    offset = offsets({name: figures[name] for name in found.feasible}, evidence.run.spec.needs.weights)
    columns = {name: evidence.columns[name][evidence.headline] for name in found.feasible}
    decision = decide(columns, offset, found.costs, evidence.margin)
    decided = found.model_copy(update=vars(decision))
    others = [name for name in found.pareto if name not in decision.equivalent]
    flips = [
        *weighed(evidence, decision.choice, others, figures, offset),
        *lifted(evidence, found.needs, decision.choice),
    ]
    named = [name for name in (decision.choice, *decision.among) if name]
    explained = decided.model_copy(
        update={
            "flips": tuple(flips),
            "split": tuple(split(evidence, decision.best, decision.among)),
            "caveats": tuple(caveats(evidence, named)),
        }
    )
    return explained.model_copy(update={"sentence": sentence(evidence, explained)})


def _nothing_feasible(evidence: Evidence, found: Recommendation) -> Recommendation:
    if evidence.experiments and not any(system.scenario is None for system in evidence.systems.values()):
        alone = "This run has only experiments, so no systems were compared. Their results are below."
        return found.model_copy(update={"sentence": alone})
    finished = any(not system.control for system in evidence.named.values())
    return found.model_copy(
        update={
            "flips": tuple(lifted(evidence, found.needs, None)),
            "sentence": _no_system(found.needs, finished=finished),
        }
    )


def constraints(name: str, evidence: Evidence, costs: Costs, memory: Number | None) -> tuple[Need, ...]:
    """Each need of the spec against this system. `met` is None where it cannot be told, which is not met."""
    system, needs = evidence.named[name], evidence.run.spec.needs
    found = [_limited(key, limit, value) for key, limit, value in _limits(system, needs, costs, memory)]
    if needs.min_quality is not None:
        value = evidence.quality(name)
        found.append(Need(need="min_quality", limit=needs.min_quality, value=value, met=value >= needs.min_quality))
    if needs.provenance:
        shows = name in evidence.shows
        found.append(Need(need="provenance", limit=True, value=shows, met=shows))
    if needs.data_stays:
        found.append(Need(need="data_stays", limit=True, value=not system.endpoint, met=not system.endpoint))
    return tuple(found)


def _limits(
    system: MeasuredSystem, needs: Needs, costs: Costs, memory: Number | None
) -> Iterator[tuple[str, float, Number | None]]:
    """(need, limit, value) of every figure that the spec limits."""
    rows: tuple[tuple[str, float | None, Number | None], ...] = (
        ("p50_latency_s", needs.p50_latency_s, system.speed.p50_s),
        ("p90_latency_s", needs.p90_latency_s, system.speed.p90_s),
        ("p95_latency_s", needs.p95_latency_s, system.speed.p95_s),
        ("memory_bytes", needs.memory_bytes, memory),
        ("refresh_s", needs.refresh_s, costs.refresh_s),
        ("usd_per_month", needs.usd_per_month, costs.usd_per_month),
    )
    return ((key, limit, value) for key, limit, value in rows if limit is not None)


def _limited(key: str, limit: float, value: Number | None) -> Need:
    return Need(need=key, limit=limit, value=value, met=None if value is None else value <= limit)


def criteria(system: MeasuredSystem, costs: Costs) -> Criteria:
    """What quality is weighed against; memory is the GPU's where one is used."""
    gpu = system.memory.peak_gpu_allocated_bytes
    memory = gpu if gpu is not None else system.memory.peak_rss_growth_bytes
    return Criteria(cost=costs.usd_per_month, latency=system.speed.p50_s, memory=memory)


def pareto(points: Mapping[str, tuple[float, Criteria]]) -> list[str]:
    """The systems that no other one beats or equals in everything, and beats in something; unknown figures tie."""

    def beats(a: str, b: str) -> bool:
        (quality_a, criteria_a), (quality_b, criteria_b) = points[a], points[b]
        both = [(getattr(criteria_a, key), getattr(criteria_b, key)) for key in CRITERIA]
        gaps = [quality_a - quality_b, *(y - x for x, y in both if x is not None and y is not None)]
        return all(gap >= 0 for gap in gaps) and any(gap > 0 for gap in gaps)

    return [name for name in points if not any(beats(other, name) for other in points if other != name)]


def offsets(figures: Mapping[str, Criteria], weights: Weights) -> dict[str, float]:
    """What the weights take off each system's quality: points a tenfold figure above the smallest.

    A figure that was not measured counts as the worst that was.
    """
    off = dict.fromkeys(figures, 0.0)
    for key in CRITERIA:
        weight = getattr(weights, key)
        values = {name: getattr(found, key) for name, found in figures.items()}
        known = [float(value) for value in values.values() if value is not None and value > 0]
        if not weight or not known:
            continue
        for name, value in values.items():
            counted = max(known) if value is None else value or min(known)
            off[name] -= weight * math.log10(max(counted, 1e-12) / min(known))
    return off


@dataclass(frozen=True)
class Decision:
    """The choice among feasible systems, as the fields of a recommendation.

    `best` has the highest quality, `choice` is the cheapest of those equivalent to it, `among` are those that could not
    be told from it, and `probability` is the share of joint resamples in which the choice or an equivalent is ahead.
    """

    outcome: Outcome
    choice: str | None
    best: str | None
    equivalent: tuple[str, ...]
    among: tuple[str, ...]
    probability: float | None
    probabilities: dict[str, float]
    questions: int | None
    against: tuple[Pair, ...]


def decide(
    columns: Mapping[str, Column], offset: Mapping[str, float], costs: Mapping[str, Costs], margin: float | None
) -> Decision:
    """The choice among feasible systems, on the questions that all of them answered."""
    whole = panel(columns)
    if whole is None:
        return Decision("undecided", None, None, (), tuple(columns), None, {}, None, ())
    useful = Panel({name: values + offset[name] for name, values in whole.values.items()}, whole.clusters)
    best = max(useful.values, key=lambda name: float(useful.values[name].mean()))
    against = [_from(pair, best) for pair in compare(useful, margin=margin) if best in (pair.a, pair.b)]
    same = [pair.b for pair in against if pair.verdict == "equivalent"]
    undecided = [pair for pair in against if pair.verdict == "inconclusive"]
    choice = cheapest([name for name in useful.values if name in (best, *same)], costs)
    shares = _shares_ahead(useful)
    return Decision(
        outcome=_outcome(undecided=bool(undecided), same=bool(same)),
        choice=choice,
        best=best,
        equivalent=tuple(name for name in (best, *same) if name != choice),
        among=tuple(pair.b for pair in undecided),
        probability=sum(shares[name] for name in {best, choice, *same}),
        probabilities=shares,
        questions=max((pair.n90 for pair in undecided if pair.n90), default=None),
        against=tuple(against),
    )


def _outcome(*, undecided: bool, same: bool) -> Outcome:
    if undecided:
        return "undecided"
    return "equivalent" if same else "winner"


def _shares_ahead(useful: Panel) -> dict[str, float]:
    """The share of joint resamples in which each system is ahead; ties are shared out."""
    drawn = joint(useful)
    matrix = np.stack(list(drawn.values()))
    top = matrix >= matrix.max(0) - 1e-12
    return dict(zip(drawn, (top / top.sum(0)).mean(1).tolist(), strict=True))


def cheapest(names: Sequence[str], costs: Mapping[str, Costs]) -> str:
    """The first, in the order of the spec, of those that cost about as little as any."""
    known = {name: usd for name in names if (usd := costs[name].usd_per_month) is not None}
    return next((name for name in names if name in known and known[name] <= ALIKE * min(known.values())), names[0])


def _from(pair: Pair, name: str) -> Pair:
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
        verdict=flipped.get(pair.verdict, pair.verdict),
    )


def weighed(
    evidence: Evidence,
    choice: str | None,
    front: Sequence[str],
    figures: Mapping[str, Criteria],
    offset: Mapping[str, float],
) -> list[WeightFlip]:
    """The weights from which another system of the front would be ahead, in points for a tenfold saving."""
    rows = []
    for other in front:
        if choice is None or other == choice:
            continue
        behind = evidence.quality(choice) + offset[choice] - evidence.quality(other) - offset[other]
        for key in CRITERIA:
            mine, its = getattr(figures[choice], key), getattr(figures[other], key)
            if behind <= 0 or not mine or not its or its * WORTH >= mine:
                continue
            threshold = behind / math.log10(mine / its)
            if threshold < evidence.quality(choice):
                rows.append(WeightFlip(criterion=key, to=other, threshold=threshold, saves=mine / its, loses=behind))
    return sorted(rows, key=lambda row: row.threshold)


def lifted(evidence: Evidence, needs: Mapping[str, Sequence[Need]], choice: str | None) -> Iterator[NeedFlip]:
    """The needs that keep a system with higher quality out."""
    own = evidence.quality(choice) if choice else -1.0
    for name, rows in needs.items():
        failing = tuple(row for row in rows if not row.met)
        quality = evidence.quality(name)
        if failing and quality > own:
            yield NeedFlip(to=name, needs=failing, gains=quality - own if choice else None)


def split(evidence: Evidence, best: str | None, others: Sequence[str]) -> Iterator[Split]:
    """Where a level whole hides two opposite halves, the difference of the best from another system in each half.

    The halves are the answerable questions, and those where abstaining is right. Only where both differ, in opposite
    ways, each by itself.
    """
    for other in others if best else ():
        answerable = evidence.pair(str(best), other, "answerable_em")
        unanswerable = evidence.pair(str(best), other, "abstains_rightly")
        if answerable is None or unanswerable is None:
            continue
        both_differ = all(pair.low > 0 or pair.high < 0 for pair in (answerable, unanswerable))
        if both_differ and answerable.difference * unanswerable.difference < 0:
            yield Split(to=other, answerable=answerable, unanswerable=unanswerable)


def caveats(evidence: Evidence, names: Sequence[str]) -> Iterator[str]:
    """What a reader must know of the systems that the sentence names."""
    for name in names:
        doubt = evidence.named[name].doubts.get(evidence.headline)
        if doubt and not doubt.decisive:
            why = "it agrees too little with human labels" if doubt.demoted else "too many of its verdicts failed"
            yield f"{title(evidence.headline)} is not decisive for {name}: {why}."
    few = [name for name in names if evidence.named[name].trained and evidence.named[name].seeds < 3]
    if few:
        yield f"Training variance of {', '.join(few)} was not measured: it takes three seeds."
    for name in names:
        if evidence.named[name].status != "done":
            yield f"{name} failed on some of its seeds."


def sentence(evidence: Evidence, found: Recommendation) -> str:
    """The verdict as a manager reads it."""
    what = title(found.metric).lower()
    if any("not decisive" in caveat for caveat in found.caveats):
        return f"No verdict: {what} is not decisive here. Set `needs.metric` to another measure, or fix the judge."
    if found.choice is None:
        return "No verdict: the systems have no question in common."
    score = _score(evidence, found.choice, found.metric)
    if found.outcome == "undecided":
        return _undecided(found, score)
    if not found.against:
        return f"Use {found.choice}: {score}. No other system meets the needs."
    if found.outcome == "winner":
        return f"Use {found.choice}: {score}, ahead of every other system that meets the needs."
    verb = "is" if len(found.equivalent) == 1 else "are"
    behind = "" if len(found.equivalent) == len(found.against) else " All others are behind."
    return f"Use {found.choice}: {score}. {_list(found.equivalent)} {verb} equivalent to it.{behind}"


def _score(evidence: Evidence, name: str, metric: str) -> str:
    found = evidence.systems[name].scores[metric]
    if found is None:
        raise ValueError(f"{name} has no {metric}")
    interval = f"{found.low:.2f}\N{EN DASH}{found.high:.2f}"
    return f"{title(metric).lower()} {found.mean:.2f} (95% interval {interval}, n = {found.n})"


def _undecided(found: Recommendation, score: str) -> str:
    more = "their scores are equal so far, so the number of questions needed cannot be estimated"
    if found.questions:
        more = f"about {found.questions:,} questions are needed to decide"
    start = f"No clear winner between {found.best} and {_list(found.among, 'or')}; {more}."
    if found.choice == found.best:
        return f"{start} Highest so far: {score}."
    return f"{start} Until then, use {found.choice}, the cheapest of those equivalent to {found.best}: {score}."


def _list(names: Sequence[str], word: str = "and") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def _no_system(needs: Mapping[str, Sequence[Need]], *, finished: bool) -> str:
    if not needs and finished:
        return "No verdict: no question has a reference answer that the measure could be scored on."
    if not needs:
        return "No verdict: no system outside the controls finished."
    failing = {name: [row.need for row in rows if not row.met] for name, rows in needs.items()}
    nearest = min(failing, key=lambda name: len(failing[name]))
    return f"No system meets the needs. The closest is {nearest}, which does not meet {_list(failing[nearest])}."
