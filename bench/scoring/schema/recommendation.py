"""The recommendation of scores.json: needs, costs, the choice, and what would change it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bench.execution.cell_result import Number, Part
from bench.stats.comparisons import Pair
from bench.stats.intervals import Estimate

Outcome = Literal[
    "winner",
    "equivalent",
    "not worse",
    "provisional",
    "undecided",
    "contradicted",
    "not better than the base model",
    "nothing works",
    "nothing feasible",
]
NeedState = Literal["met", "missed", "not decided", "unmeasured"]
View = Literal["clean", "answerable", "unanswerable", "judge"]
Criterion = Literal["cost", "latency", "memory"]
Traded = Literal["cost", "latency", "memory", "build", "update"]


class Need(Part):
    """One need of the spec against one system, with the 95% interval of what was measured where it has one.

    `met` is None where it is not decided or was not measured; `state` is None in scores of an older version.
    """

    need: str
    limit: bool | Number
    value: bool | Number | None
    met: bool | None
    state: NeedState | None = None
    low: float | None = None
    high: float | None = None


class Costs(Part):
    """USD of one system at the spec's volumes; None where the spec has no price, or nothing was measured for it."""

    build_usd: float | None
    thousand_questions_usd: float | None
    refresh_s: float | None
    refresh_usd: float | None
    storage_usd_per_month: float
    people_usd_per_month: float = 0.0  # who wrote the training questions, spread as the cost to build is
    fixed_usd_per_month: float | None
    usd_per_month: float | None = None
    thousand_questions_interval_usd: tuple[float, float] | None = None  # 95%, by what rounds differ by
    usd_per_month_interval: tuple[float, float] | None = None


class Criteria(Part):
    """What quality is weighed against: USD a month, median latency in seconds, peak memory in bytes."""

    cost: float | None
    latency: float | None
    memory: Number | None


class BreakEven(Part):
    """Two systems: from how many questions a month `low`, which costs less to ask, is the cheaper one.

    `questions_per_month` is None where one is cheaper at any volume, and then it is `cheaper`, or neither is. Its
    `interval` follows from those of the costs; without an upper end, `low` may never be the cheaper one.
    """

    a: str
    b: str
    low: str
    high: str
    questions_per_month: float | None
    cheaper: str | None
    interval: tuple[float, float | None] | None = None


class WeightFlip(Part):
    """The weight of a criterion from which another system would be ahead, in points for a tenfold saving."""

    kind: Literal["weight"] = "weight"
    criterion: Criterion
    to: str
    threshold: float
    saves: float
    loses: float


class NeedFlip(Part):
    """The needs that keep a system with higher quality out."""

    kind: Literal["need"] = "need"
    to: str
    needs: tuple[Need, ...]
    gains: float | None


class Split(Part):
    """Two opposite halves that the mean hides: differences of the best from another system."""

    to: str
    answerable: Pair
    unanswerable: Pair


class Trade(Part):
    """A figure of which `to` has clearly `less` than `over` has: USD a month, median seconds of an answer,
    bytes to serve with, seconds to build, seconds to take in an update."""

    what: Traded
    to: str
    over: str
    less: float
    more: float


class Contradiction(Part):
    """A part of the questions, or a reading of a judge's failures, in which another system is ahead of the choice.

    `view`: the questions that training has not seen, those that the corpus answers or does not, or the bounds that a
    judge's failed verdicts leave. `mine` and `its` are the means there, of the bounds the worst and the best.
    """

    view: View
    to: str
    mine: float
    its: float
    n: int


class TypeRow(Part):
    """The leading systems on one type of question; `ahead` are those shown to be better than another, and worse than
    none, corrected over all types."""

    type: str
    n: int
    scores: dict[str, Estimate]
    pairs: tuple[Pair, ...]
    ahead: tuple[str, ...] = ()

    @property
    def gap(self) -> float:
        """Between the highest of the systems and the lowest."""
        means = [score.mean for score in self.scores.values()]
        return max(means) - min(means)

    @property
    def is_beyond_all(self) -> bool:
        """Whether none of the systems is right on any of its questions."""
        return not any(score.mean for score in self.scores.values())


class Mix(Part):
    """From which share of one type of question on, or with `below` under which, another system would lead, the other
    types keeping their shares of the rest; and what the share is in the test set."""

    type: str
    to: str
    now: float
    share: float
    below: bool = False


class QuestionTypes(Part):
    """The leading system of each family, the highest first, on each type of question, the widest gap first."""

    systems: tuple[str, ...]
    rows: tuple[TypeRow, ...]
    mixes: tuple[Mix, ...] = ()

    @property
    def answered(self) -> list[TypeRow]:
        """The types on which some system is right at all."""
        return [row for row in self.rows if not row.is_beyond_all]


class Recommendation(Part):
    """Who meets the needs, who is ahead, how sure that is, and what would change it."""

    metric: str
    needs: dict[str, tuple[Need, ...]]
    feasible: tuple[str, ...]
    pareto: tuple[str, ...]
    costs: dict[str, Costs]
    criteria: dict[str, Criteria]
    quality: dict[str, float] = Field(default_factory=dict)  # the measure as it ranks: 0 for what was not answered
    break_even: tuple[BreakEven, ...]
    cheapest: tuple[str, ...] = ()  # of the feasible systems: those that none is shown to cost less than
    outcome: Outcome
    choice: str | None = None
    best: str | None = None
    equivalent: tuple[str, ...] = ()
    among: tuple[str, ...] = ()
    probability: float | None = None
    probabilities: dict[str, float] = Field(default_factory=dict)
    questions: int | None = None
    asked: int | None = None  # the questions of the test set, of which `metric` scores `scored`
    scored: int | None = None
    common: int | None = None  # the questions that the probabilities rest on
    controls: tuple[Pair, ...] = ()  # the choice minus each closed-book control
    contradictions: tuple[Contradiction, ...] = ()
    against: tuple[Pair, ...] = ()
    flips: tuple[Annotated[WeightFlip | NeedFlip, Field(discriminator="kind")], ...] = ()
    trades: tuple[Trade, ...] = ()  # between the choice and each system that it is not shown to be better than
    split: tuple[Split, ...] = ()
    types: QuestionTypes | None = None
    caveats: tuple[str, ...] = ()
    sentence: str = ""
