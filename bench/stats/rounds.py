"""Times that were taken in rounds over the systems, each turn beside a yardstick: a fixed piece of work.

A busy minute hurts all systems of a round alike, so that a ratio within a round is free of it, and what rounds differ
by says how well a time repeats.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.stats.distributions import t_quantile
from bench.stats.pooling import pooled, restless

OFF = 0.15  # a turn counts as disturbed where its yardstick is off from the run's median by more than this share


@dataclass(frozen=True)
class Repeated:
    """A figure over rounds: the geometric mean, with its 95% interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class TimeSpread:
    """How much one time varies around what is usual for its system: the standard deviation of its natural logarithm,
    and the degrees of freedom that it rests on."""

    sd: float
    df: int

    def half_width(self, variance: float) -> float:
        """Half of a 95% interval, for a figure whose variance is so many times that of one time."""
        return t_quantile(0.975, self.df) * self.sd * math.sqrt(variance)


Times = Mapping[str, Mapping[int, float]]  # system -> round -> seconds, or any other positive figure


def spreads(times: Times) -> dict[str, TimeSpread]:
    """system -> how much its figures vary from round to round, pooled over the systems that vary alike.

    A machine is as restless for one system as for another: with three rounds, one system alone would say little. One
    that varies more than the others together, such as an endpoint, has its own.
    """
    own = _own(times)
    apart = restless(own)
    alike = [known for name, known in own.items() if name not in apart]
    usual = TimeSpread(*pooled(alike)) if sum(df for _, df in alike) else None
    found = {name: TimeSpread(*own[name]) if name in apart else usual for name in times if times[name]}
    return {name: known for name, known in found.items() if known is not None}


def uneven(times: Times) -> set[str]:
    """The systems whose figures vary more from round to round than those of the others together."""
    return restless(_own(times))


def _own(times: Times) -> dict[str, tuple[float, int]]:
    logs = {name: [math.log(value) for value in by_round.values()] for name, by_round in times.items() if by_round}
    return {name: (statistics.stdev(v) if len(v) > 1 else 0.0, len(v) - 1) for name, v in logs.items()}


def within(times: Times) -> TimeSpread | None:
    """The same, once what all systems of a round have in common is taken away: two of them are compared within it."""
    logs = {name: {n: math.log(value) for n, value in by_round.items()} for name, by_round in times.items() if by_round}
    off = {name: {n: v - statistics.fmean(found.values()) for n, v in found.items()} for name, found in logs.items()}
    rounds = sorted({number for found in off.values() for number in found})
    common = {n: statistics.fmean(found[n] for found in off.values() if n in found) for n in rounds}
    df = sum(len(found) for found in off.values()) - len(off) - len(rounds) + 1
    squares = sum((value - common[n]) ** 2 for found in off.values() for n, value in found.items())
    return TimeSpread(math.sqrt(squares / df), df) if df > 0 else None


def repeated(figures: Sequence[float], known: TimeSpread | None) -> Repeated | None:
    """The geometric mean of positive figures, with its interval by a spread; None without either."""
    if not figures or known is None:
        return None
    mean = statistics.geometric_mean(figures)
    half = known.half_width(1 / len(figures))
    return Repeated(mean, mean * math.exp(-half), mean * math.exp(half))


def widened(mean: float, *intervals: tuple[float, float]) -> tuple[float, float]:
    """The interval of a positive figure that varies for independent reasons: half-widths of logarithms add as squares.

    Each interval is of the same figure, and holds `mean`.
    """
    down = math.hypot(*(math.log(mean / low) for low, _ in intervals))
    up = math.hypot(*(math.log(high / mean) for _, high in intervals))
    return mean * math.exp(-down), mean * math.exp(up)


def usual(yardsticks: Iterable[Sequence[float]]) -> float | None:
    """The usual seconds of the fixed piece of work: the median over turns; None without any."""
    seconds = [s for of_turn in yardsticks for s in of_turn]
    return statistics.median(seconds) if seconds else None


def is_off(yardsticks: Sequence[float], usual_s: float) -> bool:
    """Whether one of the yardsticks of a turn, in seconds, says that the machine was not as usual."""
    return any(abs(seconds / usual_s - 1) > OFF for seconds in yardsticks)
