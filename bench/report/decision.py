"""What the first screen says beside the verdict: who leads, what others offer instead, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bench.core import display
from bench.metrics.registry import title
from bench.scoring.money import cheapest, monthly
from bench.scoring.schema import Criterion, MeasuredSystem, NeedFlip, Recommendation, Scores, Split, WeightFlip
from bench.spec.model import Volumes
from bench.verdict.sentence import listed, mixed, takes
from bench.verdict.trades import SMALL_USD

LEADING = 6  # lines of systems; the others are folded
CHANGES = 4  # lines on what would change the decision
OPEN = ("undecided", "not worse", "provisional")  # where `among` are those that could not be told from the choice


def _up(value: float) -> int:
    """A whole number of one digit that is no smaller."""
    step = 10 ** math.floor(math.log10(value))
    return int(math.ceil(value / step - 1e-9) * step)


def ranked(scores: Scores) -> list[tuple[str, tuple[str, ...]]]:
    """The systems outside the controls, the highest first, each with those of its family whose answers come to the same
    outcomes and score: indexes that find the same pages, such as."""
    own = [n for n, s in scores.measured.items() if not s.control and s.scenario is None and s.score(scores.headline)]
    found: dict[str, list[str]] = {}
    for name in sorted(own, key=lambda n: -_mean(scores, n)):
        alike = next((first for first in found if _same(scores, first, name)), None)
        found.setdefault(alike or name, []).append(name)
    return [(first, tuple(names[1:])) for first, names in found.items()]


def _mean(scores: Scores, name: str) -> float:
    score = scores.measured[name].score(scores.headline)
    return scores.recommendation.quality.get(name, score.mean if score else 0.0)


def _same(scores: Scores, a: str, b: str) -> bool:
    one, other = scores.measured[a], scores.measured[b]
    if one.family != other.family or not scores.outcomes.get(a) or scores.outcomes[a] != scores.outcomes.get(b):
        return False
    return one.score(scores.headline) == other.score(scores.headline)


def sure(found: Recommendation, *, many_seeds: bool, weighed: bool = False) -> str:
    """How sure the choice is; empty where there is none, or where it is not for want of data that it is open."""
    if found.probability is None or len(found.feasible) < 2 or (found.outcome == "undecided" and not found.among):
        return ""
    level = ", or one that is equivalent to it," if found.equivalent else ""
    of = f"{found.common:,} questions that all systems have" if found.common else "questions"
    seeds = ", and of the seeds" if many_seeds else ""
    highest = "is ahead, with what is weighed beside quality," if weighed else "scores highest"
    told = f"How sure: {found.choice}{level} {highest} in {100 * found.probability:.1f}% of 10,000 resamples of the "
    if found.outcome == "contradicted":
        return f"{told}{of}{seeds}, all parts taken together."
    if found.outcome == "undecided":
        return f"{told}{of}{seeds}, which is too little once it is corrected for the number of comparisons."
    open_ = found.outcome in OPEN
    return f"{told}{of}{seeds}{', uncorrected for comparisons' if open_ else ''}."


def changes(found: Recommendation, volumes: Volumes) -> list[str]:
    """What would change the decision, in the reader's own quantities: a sentence each."""
    leads = found.types is not None and found.types.systems[0] == found.choice
    mixes = sorted(found.types.mixes, key=lambda mix: abs(mix.share - mix.now)) if found.types and leads else []
    needs = [flip for flip in found.flips if isinstance(flip, NeedFlip)]
    told = [*map(mixed, mixes), *_trades(found), *map(_lifted, needs), *_volumes(found, volumes)][:CHANGES]
    return [*told, *_by_more_data(found), *([] if told else _by_no_mix(found))]


def _by_more_data(found: Recommendation) -> Iterator[str]:
    if found.outcome in OPEN and found.among:
        better = f"More data, which could still show that {listed([str(found.choice), *found.among], 'or')} is better"
        yield f"{better}: {takes(found)}." if found.outcome != "undecided" else f"{better}."


def _by_no_mix(found: Recommendation) -> Iterator[str]:
    if found.types and found.outcome in ("winner", "equivalent", *OPEN):
        yield "Another share of a question type would not: on none of them is another system shown to be ahead."


def _volumes(found: Recommendation, volumes: Volumes) -> Iterator[str]:
    """From how many questions or updates a month on the choice is no longer among the cheapest, where that is more than
    a small sum."""
    costs = {name: found.costs[name] for name in found.feasible if found.costs[name].usd_per_month is not None}
    asked, updates = float(volumes.questions_per_month), float(volumes.updates_per_month)
    if found.choice not in costs or len(costs) < 2 or found.choice not in cheapest(costs, asked, updates):
        return
    for what in ("questions", "updates"):
        for power in range(1, 33):
            factor = 10 ** (power / 8)
            volume = (asked * factor, updates) if what == "questions" else (asked, (updates or 1.0) * factor)
            least = cheapest(costs, *volume)
            saved = (monthly(costs[found.choice], *volume) or 0.0) - (monthly(costs[least[0]], *volume) or 0.0)
            if found.choice not in least and saved > SMALL_USD:
                number = display.many(_up(volume[what == "updates"]), what.removesuffix("s"))
                yield f"From about {number} a month on, {listed(least, 'or')} costs less than {found.choice}."
                break


def meanwhile(found: Recommendation) -> str:
    """What speaks for either of two systems while their quality cannot tell them apart; empty where it can, or where
    more than two are open."""
    if found.outcome not in OPEN or len(found.among) != 1:
        return ""
    speaks: dict[str, list[str]] = {}
    for trade in found.trades:
        text, show = TRADES[trade.what]
        if found.among[0] in (trade.to, trade.over):
            speaks.setdefault(trade.to, []).append(f"{text.format(show(trade.less))} instead of {show(trade.more)}")
    begin = "Until that is known" if found.outcome == "undecided" else "What speaks for it"
    return f"{begin}: {'; '.join(f'{n} {listed(told)}' for n, told in speaks.items())}." if speaks else ""


TRADES = {
    "cost": ("costs {} a month", display.money),
    "latency": ("answers in {}", display.span),
    "memory": ("serves in {}", display.size),
    "build": ("takes {} to build", display.span),
    "update": ("takes {} to update", display.span),
}


def _lifted(flip: NeedFlip) -> str:
    higher = f" scores {_points(flip.gains)} higher, and" if flip.gains else ""
    return f"{flip.to}{higher} would qualify without the need {listed([f'`{need.need}`' for need in flip.needs])}."


def _points(share: float) -> str:
    points = round(100 * share)
    return "less than a point" if points == 0 else "1 point" if points == 1 else f"{points} points"


def _trades(found: Recommendation) -> Iterator[str]:
    """What a system that scores lower offers instead, where it is more than repeats differ by."""
    offered: dict[str, list[WeightFlip]] = {}
    for flip in found.flips:
        if isinstance(flip, WeightFlip):
            offered.setdefault(flip.to, []).append(flip)
    for name, flips in offered.items():
        told = [_offer(found, flip.criterion, name) for flip in flips]
        gap = found.quality.get(str(found.choice), 0.0) - found.quality.get(name, 0.0)
        yield f"{name} {listed(told)}, and scores {_points(abs(gap))} {'lower' if gap >= 0 else 'higher'}."


def _offer(found: Recommendation, criterion: Criterion, name: str) -> str:
    verb, write = {
        "latency": ("answers in", display.span),
        "memory": ("serves in", display.size),
        "cost": ("costs", display.money),
    }[criterion]
    its, mine = (write(getattr(found.criteria[n], criterion)) for n in (name, str(found.choice)))
    return f"{verb} {its} instead of {mine}{' a month' if criterion == 'cost' else ''}"


def opposite(found: Recommendation, part: Split) -> str:
    """A difference that the mean hides, in points."""
    a, b = part.answerable.difference, part.unanswerable.difference
    answers, declines = (found.choice, part.to) if a > 0 else (part.to, found.choice)
    return (
        f"{answers} is {_points(abs(a))} better on questions that the corpus answers; "
        f"{declines} is {_points(abs(b))} better at declining the rest."
    )


def price(scores: Scores, volumes: Volumes) -> str:
    """What a month costs with the systems that meet the needs, and whether that tells them apart; empty without
    prices."""
    found = scores.recommendation
    costs = {n: c.usd_per_month for n in found.feasible if (c := found.costs[n]).usd_per_month is not None}
    if not costs:
        return ""
    low, high = display.money(min(costs.values())), display.money(max(costs.values()))
    span = low if low == high else f"{low} to {high}"
    told = f"Cost {span} a month at {display.count(volumes.questions_per_month)} questions"
    if len(found.cheapest) == len(found.feasible) > 1 or max(costs.values()) < SMALL_USD:
        return f"{told}: not a factor."
    return f"{told}; {listed(found.cheapest)} cost{'s' if len(found.cheapest) == 1 else ''} least."


def all_met(found: Recommendation) -> str:
    """The needs that every system outside the controls meets, each with its limit; empty where one does not, or where
    there are none."""
    rows = [need for needs in found.needs.values() for need in needs]
    if not rows or not all(need.met for need in rows):
        return ""
    limits = {need.need: need.limit for need in rows}
    return listed(
        [f"{name}" if limit is True else f"{name} {display.need(float(limit), name)}" for name, limit in limits.items()]
    )


def profile(scores: Scores) -> tuple[list[str], dict[str, list[str]]]:
    """(labels, system -> texts): what two systems are set side by side by."""
    done, found = scores.measured, scores.recommendation
    kinds = [row.type for row in found.types.rows if not row.is_beyond_all] if found.types else []
    labels = [
        title(scores.headline),
        *kinds,
        "p50",
        "Memory",
        "Memory while training",
        "Build",
        "Update",
        "USD a month",
    ]
    return labels, {name: _texts(scores, name, system, kinds) for name, system in done.items()}


def _texts(scores: Scores, name: str, system: MeasuredSystem, kinds: list[str]) -> list[str]:
    score, cost = system.score(scores.headline), scores.recommendation.costs.get(name)
    return [
        display.interval(score),
        *(display.interval(score.strata.get(kind) if score else None) for kind in kinds),
        display.span(system.speed.p50_s),
        display.size(system.memory.peak_bytes),
        display.size(system.build.train_peak_bytes),
        display.span(system.build.total_s or None),
        display.span(cost.refresh_s if cost else system.refresh_s),
        display.money(cost.usd_per_month if cost else None),
    ]
