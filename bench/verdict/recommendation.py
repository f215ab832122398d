"""The recommendation: who meets the needs, who is ahead, how sure that is, and what would change it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from bench.metrics.registry import title
from bench.scoring import money
from bench.scoring.schema import Costs, Criteria, MeasuredSystem, Need, NeedFlip, Recommendation, WeightFlip
from bench.spec.model import Weights
from bench.stats.comparisons import Pair
from bench.verdict.contradictions import contradictions, remembered, split, unseen_no_worse
from bench.verdict.decision import CRITERIA, Offsets, Weighing, against, decide, offsets
from bench.verdict.evidence import Evidence
from bench.verdict.needs import constraints, may_serve
from bench.verdict.noise import Noise
from bench.verdict.question_types import question_types
from bench.verdict.sentence import FLOOR, listed, no_system, sentence
from bench.verdict.trades import SMALL_USD, WORTH, are_comparable, trades


def recommend(evidence: Evidence) -> Recommendation:
    """Feasible systems, the Pareto front, the choice and its probability, what would flip it, and one sentence.

    `outcome`: winner; equivalent (any of these will do; one of the cheapest is chosen); not worse (that another is
    better by the margin is ruled out, and nothing else speaks for another); provisional (a system that was tuned with
    one seed is compared); contradicted (a part of the questions says otherwise); undecided; or nothing feasible.
    """
    spec = evidence.run.spec
    costs = money.costs(evidence.named, spec.prices, spec.volumes, evidence.retrained)
    rivals = {
        name: system
        for name, system in evidence.named.items()
        if not system.control and evidence.headline in evidence.columns[name]
    }
    figures = {name: criteria(system, costs[name]) for name, system in rivals.items()}
    needs = {name: constraints(name, evidence, costs[name], figures[name].memory) for name in rivals}
    feasible = [name for name in rivals if may_serve(needs[name])]
    front = pareto({name: (evidence.quality(name), figures[name]) for name in feasible})
    at = (spec.volumes.questions_per_month, spec.volumes.updates_per_month)
    found = Recommendation(
        metric=evidence.headline,
        needs=needs,
        feasible=tuple(feasible),
        pareto=tuple(front),
        costs=costs,
        criteria=figures,
        quality={name: column.mean for name, column in evidence.ranked.items() if name in evidence.named},
        break_even=tuple(money.break_even({name: costs[name] for name in feasible}, at[1])),
        cheapest=money.cheapest({name: costs[name] for name in feasible}, *at),
        outcome="nothing feasible",
        asked=max((system.n for system in rivals.values()), default=None),
        scored=max((len(evidence.ranked[name].questions) for name in feasible), default=None),
    )
    return _decided(evidence, found) if feasible else _nothing_feasible(evidence, found)


def _decided(evidence: Evidence, found: Recommendation) -> Recommendation:
    """The recommendation once there are feasible systems."""
    figures, weights = found.criteria, evidence.run.spec.needs.weights
    offset = offsets({name: figures[name] for name in found.feasible}, weights)
    columns = {name: evidence.ranked[name] for name in found.feasible}
    spec = evidence.run.spec
    noise = Noise(evidence.named, found.costs, spec.volumes)
    weighing = Weighing(offset, weights, noise)
    decision = decide(columns, weighing, evidence.margin, all_pairs=spec.all_pairs)
    level = (*decision.equivalent, *decision.among)
    told = tuple(trade for other in level for trade in trades(noise, figures, decision.choice, other))
    if (
        decision.outcome == "undecided"
        and decision.is_no_worse
        and unseen_no_worse(evidence, decision, found.feasible, weighing)
        and not any(trade.to in level for trade in told)
        and not any(_may_speak(evidence, found, noise, decision.choice, other) for other in level)
    ):
        decision = replace(decision, outcome="not worse")
    against = tuple(contradictions(evidence, decision, found.feasible, weighing))
    if against:
        decision = replace(decision, outcome="contradicted")
    elif decision.outcome in ("winner", "equivalent", "not worse") and evidence.few_seeds(
        (decision.choice, *(pair.b for pair in decision.against))
    ):
        decision = replace(decision, outcome="provisional")
    decided = found.model_copy(update={**vars(decision), "contradictions": against, "trades": told})
    others = [name for name in found.pareto if name not in decision.equivalent]
    flips = [
        *weighed(evidence, decision.choice, others, figures, offset, weights),
        *lifted(evidence, found.needs, decision.choice),
    ]
    explained = decided.model_copy(
        update={
            "flips": tuple(flips),
            "split": tuple(split(evidence, decision.choice, [n for n in found.feasible if n != decision.choice])),
            "types": question_types(evidence, found.feasible),
            "caveats": tuple(caveats(evidence, found.feasible)),
        }
    )
    doubted = doubtful(evidence, found.needs)
    seen = all_seen(evidence, found.feasible)
    if doubted or seen:
        explained = explained.model_copy(update={"outcome": "undecided"})
    elif decision.outcome != "contradicted":
        explained = _worth_it(evidence, explained)
    return explained.model_copy(update={"sentence": sentence(evidence, explained, doubted, all_seen=seen)})


def _worth_it(evidence: Evidence, found: Recommendation) -> Recommendation:
    """The recommendation, unless nothing reaches the floor, also on the questions that have an answer, or the choice is
    not shown to be better than the base model alone. Both of "ahead of the others" and "better than the base model"
    must hold, so that neither is corrected for the other (Berger 1982)."""
    answered = [evidence.answered(name) for name in found.feasible]
    if max(evidence.quality(name) for name in found.feasible) < FLOOR or max(answered) < FLOOR:
        return found.model_copy(update={"outcome": "nothing works"})
    choice = str(found.choice)
    controls = controlled(evidence, choice)
    if not all(pair.verdict == "better" for pair in controls):
        return found.model_copy(update={"controls": controls, "outcome": "not better than the base model"})
    against = tuple(remembered(evidence, choice, [pair.b for pair in controls]))
    update = {"outcome": "contradicted", "contradictions": against} if against else {}
    return found.model_copy(update={"controls": controls, **update})


def all_seen(evidence: Evidence, feasible: Sequence[str]) -> bool:
    """Whether training has seen every question that is scored, and one of the systems was trained."""
    scored = {question for name in feasible for question in evidence.ranked[name].questions}
    return any(evidence.named[name].has_seen_training for name in feasible) and scored <= set(evidence.run.leaks)


def controlled(evidence: Evidence, choice: str) -> tuple[Pair, ...]:
    """The choice minus each closed-book control of its base model that has the measure."""
    names = [name for name in evidence.controls(choice) if name in evidence.ranked]
    pairs = (against({n: evidence.ranked[n] for n in (choice, name)}, choice, evidence.margin) for name in names)
    return tuple(pair for found in pairs for pair in found)


def _may_speak(evidence: Evidence, found: Recommendation, noise: Noise, choice: str, other: str) -> bool:
    """Whether what is no trade speaks for another system than the choice, or may: a figure that was measured of one of
    them, sources that it alone shows, a need that it alone is known to meet."""
    if not are_comparable(noise, found.criteria, choice, other):
        return True
    if other in evidence.shows and choice not in evidence.shows:
        return True
    states = {need.need: need.state for need in found.needs[choice]}
    return any(need.state == "met" and states[need.need] == "not decided" for need in found.needs[other])


def _nothing_feasible(evidence: Evidence, found: Recommendation) -> Recommendation:
    if evidence.experiments and not evidence.named:
        others = [name for name in evidence.run.systems if name not in evidence.experiments]
        alone = "This run has only experiments, so no systems were compared."
        if others:
            alone = f"No systems were compared: {listed(others)} did not finish. The experiments of the run did."
        return found.model_copy(update={"sentence": f"{alone} Their results are below."})
    finished = any(not system.control for system in evidence.named.values())
    return found.model_copy(
        update={
            "flips": tuple(lifted(evidence, found.needs, None)),
            "sentence": no_system(found.needs, finished=finished),
        }
    )


def criteria(system: MeasuredSystem, costs: Costs) -> Criteria:
    """What quality is weighed against; memory is what it must find, on the GPU where one is used."""
    return Criteria(cost=costs.usd_per_month, latency=system.speed.p50_s, memory=system.memory.room_bytes)


def pareto(points: Mapping[str, tuple[float, Criteria]]) -> list[str]:
    """The systems that no other one beats or equals in everything, and beats in something. An unknown figure ties with
    an unknown one, and beats none."""

    def beats(a: str, b: str) -> bool:
        (quality_a, criteria_a), (quality_b, criteria_b) = points[a], points[b]
        both = [(getattr(criteria_a, key), getattr(criteria_b, key)) for key in CRITERIA]
        if any(x is None and y is not None for x, y in both):
            return False
        gaps = [quality_a - quality_b, *(y - x for x, y in both if x is not None and y is not None)]
        return all(gap >= 0 for gap in gaps) and any(gap > 0 for gap in gaps)

    return [name for name in points if not any(beats(other, name) for other in points if other != name)]


def weighed(
    evidence: Evidence,
    choice: str,
    front: Sequence[str],
    figures: Mapping[str, Criteria],
    offset: Offsets,
    weights: Weights,
) -> list[WeightFlip]:
    """The weights from which another system of the front would be ahead, in points for a tenfold saving, beside the
    other weights as they are. Costs below SMALL_USD count as that, as where they are weighed."""
    rows = []
    for other in front:
        if other == choice:
            continue
        mine_whole, its_whole = (evidence.quality(name) + sum(offset[name].values()) for name in (choice, other))
        behind = mine_whole - its_whole
        for key in CRITERIA:
            mine, its = getattr(figures[choice], key), getattr(figures[other], key)
            if key == "cost":
                mine, its = (value if value is None else max(value, SMALL_USD) for value in (mine, its))
            if behind <= 0 or not mine or not its or its * WORTH >= mine:
                continue
            threshold = getattr(weights, key) + behind / math.log10(mine / its)
            if threshold < evidence.quality(choice):
                rows.append(WeightFlip(criterion=key, to=other, threshold=threshold, saves=mine / its, loses=behind))
    return sorted(rows, key=lambda row: row.threshold)


def lifted(evidence: Evidence, needs: Mapping[str, Sequence[Need]], choice: str | None) -> Iterator[NeedFlip]:
    """The needs that keep a system with higher quality out."""
    own = evidence.quality(choice) if choice else -1.0
    for name, rows in needs.items():
        failing = tuple(row for row in rows if row.state in ("missed", "unmeasured"))
        quality = evidence.quality(name)
        if failing and quality > own:
            yield NeedFlip(to=name, needs=failing, gains=quality - own if choice else None)


def doubtful(evidence: Evidence, needs: Mapping[str, Sequence[Need]]) -> list[str]:
    """The systems whose figure a judge leaves open: the choice, the base model alone, and every rival that may meet the
    needs, were its quality known."""

    def in_question(name: str) -> bool:
        rest = tuple(need for need in needs.get(name, ()) if need.need != "min_quality")
        return may_serve(rest) and (not evidence.named[name].control or evidence.named[name].kind == "closed_book")

    doubts = {name: evidence.named[name].doubts.get(evidence.headline) for name in evidence.named if in_question(name)}
    return [name for name, doubt in doubts.items() if doubt and not doubt.decisive]


def caveats(evidence: Evidence, feasible: Sequence[str]) -> Iterator[str]:
    """What a reader must know of the systems that the sentence compares."""
    for name in feasible:
        doubt = evidence.named[name].doubts.get(evidence.headline)
        if doubt and not doubt.decisive:
            why = "it agrees too little with human labels" if doubt.demoted else "too many of its verdicts failed"
            yield f"{title(evidence.headline)} is not decisive for {name}: {why}."
    if few := evidence.few_seeds(feasible):
        yield f"Training variance of {listed([*few])} was not measured: it takes three seeds."
    for name in feasible:
        if evidence.named[name].status != "done":
            yield f"{name} failed on some of its seeds."
    if filled := [name for name in feasible if evidence.counts_zeros(name)]:
        yield (
            f"{title(evidence.headline)} has no value where a system does not answer. To rank {listed(filled)}, such "
            "questions count as 0."
        )
