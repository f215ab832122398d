"""What it would take to find a difference: more questions, more training seeds, or more of both."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy import special

from bench.stats.bootstrap import Spread, satterthwaite

ALPHA = 0.05
SEEDS = 3  # of what is trained, below which too little is known of how much one training differs from another
MOST = 10_000  # times what there is, beyond which a plan is no plan


@dataclass(frozen=True)
class Plan:
    """What finds a difference of the size seen: `questions` alone, `seeds` alone, or `both` as (questions, seeds).

    None where that does not find it, or where no difference was seen.
    """

    questions: int | None = None
    seeds: int | None = None
    both: tuple[int, int] | None = None


def needed(difference: float, variance: float, *, power: float, family: int = 1) -> int | None:
    """Questions to find a mean paired difference with this power; `variance` is of one question's difference, and
    `family` the number of comparisons that it is corrected with (by Bonferroni, which asks for no less than Holm)."""
    if not difference or not math.isfinite(variance):
        return None
    z = float(special.ndtri(1 - ALPHA / 2 / family) + special.ndtri(power))
    return math.ceil(z * z * variance / difference**2 - 1e-9)


def needed_within(
    difference: float,
    margin: float,
    questions: int,
    error: Callable[[float], float],
    *,
    power: float,
    family: int = 1,
) -> int | None:
    """Questions to show with this power that a difference as large as the one seen is within the margin.

    By two one-sided tests (Schuirmann 1987), each at the level corrected by Bonferroni; `error` is the standard error
    of the difference at so many times the `questions`. None where the difference is not smaller than the margin, where
    nothing was seen to vary, so that nothing is known of it, or where no number of questions is enough, as where seeds
    are the larger part of the error.
    """
    if not abs(difference) < margin or not 0 < error(1.0) < math.inf:
        return None
    least = float(special.ndtri(1 - ALPHA / family))

    def shows(more: float) -> bool:
        at = error(more)
        sides = ((margin - difference) / at - least, (margin + difference) / at - least)
        return float(sum(special.ndtr(side) for side in sides)) - 1 >= power

    more = _least(shows)
    return None if more is None else math.ceil(more * questions - 1e-6)


def plan(found: Spread, questions: int, *, power: float, family: int = 1) -> Plan:
    """The plan for a difference over questions and seeds, of which `found` has the two variances apart.

    The variance of questions falls with their number and that of seeds with theirs; a t of Satterthwaite's degrees of
    freedom is compared at each size, its power by the shifted t.
    """
    if not _is_seen(found):
        return Plan()

    def finds(more_questions: float, more_seeds: float) -> bool:
        return _power(found, more_questions, more_seeds, family) >= power

    seeds = _least(lambda more: finds(1.0, more))
    both = _least(lambda more: finds(more, more))
    return Plan(
        more_questions(found, questions, power=power, family=family),
        None if seeds is None else math.ceil(seeds * found.seeds - 1e-6),
        None if both is None else (math.ceil(both * questions), math.ceil(both * found.seeds - 1e-6)),
    )


def more_questions(found: Spread, questions: int, *, power: float, family: int = 1) -> int | None:
    """The questions of a plan, with the seeds as they are."""
    if not _is_seen(found):
        return None
    alone = _least(lambda more: _power(found, more, 1.0, family) >= power)
    return None if alone is None else math.ceil(alone * questions)


def _is_seen(found: Spread) -> bool:
    """Whether there is a difference of a standard error or more to plan for."""
    return found.seeds > 1 and found.mean**2 >= found.question_variance + found.seed_variance


def _power(found: Spread, more_questions: float, more_seeds: float, family: int) -> float:
    """The power with so many times the questions and the seeds."""
    both = found.interaction_variance
    of_questions = (found.question_variance - both + both / more_seeds) / more_questions
    of_seeds = found.seed_variance / more_seeds
    question_df = max(1.0, (found.question_df + 1) * more_questions - 1)
    seed_df = max(1.0, (found.seed_df + 1) * more_seeds - 1)
    df = satterthwaite([(of_questions, question_df), (of_seeds, seed_df)], otherwise=question_df)
    away = abs(found.mean) / math.sqrt(of_questions + of_seeds) if of_questions + of_seeds else math.inf
    return float(special.stdtr(df, away - special.stdtrit(df, 1 - ALPHA / 2 / family)))


def _least(enough: Callable[[float], bool]) -> float | None:
    """The least multiple of what there is that is enough; None where MOST times is not. More is never worse."""
    low, high = 0.01, float(MOST)
    if not enough(high):
        return None
    while high / low > 1.0005:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
