"""Times that were taken in rounds over the systems, each turn beside a yardstick: a fixed piece of work.

A busy minute hurts all systems of a round alike, so that a ratio within a round is free of it, and what rounds differ
by says how well a time repeats.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats as distributions

OFF = 0.15  # a turn counts as disturbed where its yardstick is off from the run's median by more than this share


@dataclass(frozen=True)
class Repeated:
    """A figure over rounds: the geometric mean, with its 95% interval."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval, as a decimal logarithm."""
        return math.log10(self.high / self.low) / 2


def repeated(figures: Sequence[float]) -> Repeated | None:
    """The geometric mean of positive figures with Student's t interval of their logarithms; None below two."""
    if len(figures) < 2 or min(figures) <= 0:
        return None
    logs = [math.log(figure) for figure in figures]
    mean = statistics.fmean(logs)
    spread = statistics.stdev(logs) / math.sqrt(len(logs))
    half = float(distributions.t.ppf(0.975, len(logs) - 1)) * spread
    return Repeated(math.exp(mean), math.exp(mean - half), math.exp(mean + half))


def widened(mean: float, *intervals: tuple[float, float]) -> tuple[float, float]:
    """The interval of a positive figure that varies for independent reasons: half-widths of logarithms add as squares.

    Each interval is of the same figure, and holds `mean`.
    """
    down = math.hypot(*(math.log(mean / low) for low, _ in intervals))
    up = math.hypot(*(math.log(high / mean) for _, high in intervals))
    return mean * math.exp(-down), mean * math.exp(up)


def is_off(yardsticks: Sequence[float], usual: float) -> bool:
    """Whether one of the yardsticks of a turn, in seconds, says that the machine was not as usual."""
    return any(abs(seconds / usual - 1) > OFF for seconds in yardsticks)
