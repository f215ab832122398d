"""By how much the times, memory and money of one system differ when they are measured again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bench.scoring.schema import Costs, Criterion, MeasuredSystem
from bench.stats.rounds import repeated

ALIKE: Mapping[Criterion, float] = {"cost": 1.3, "latency": 1.3, "memory": 1.1}  # factors, where no rounds were taken


@dataclass(frozen=True)
class Noise:
    """Half-widths of 95% intervals, as decimal logarithms."""

    systems: Mapping[str, MeasuredSystem]
    costs: Mapping[str, Costs]

    def between(self, key: Criterion, a: str, b: str) -> float:
        """Of the ratio of two systems. Latencies are compared within each round, so that a slow round cancels."""
        if key == "latency":
            mine, other = (self._medians(name) for name in (a, b))
            found = repeated([mine[number] / other[number] for number in mine if number in other])
            return found.half_width if found else math.log10(ALIKE[key])
        return math.hypot(self.of(key, a), self.of(key, b))

    def of(self, key: Criterion, name: str) -> float:
        """Of one system's figure."""
        ends = self.costs[name].usd_per_month_interval if key == "cost" else None
        if key == "latency":
            found = repeated(list(self._medians(name).values()))
            ends = (found.low, found.high) if found else None
        if ends is None or ends[0] <= 0:
            return math.log10(ALIKE[key]) / math.sqrt(2)
        return math.log10(ends[1] / ends[0]) / 2

    def _medians(self, name: str) -> dict[int, float]:
        """round -> median latency, of the rounds that count."""
        return {r.number: r.p50_s for r in self.systems[name].speed.kept if r.p50_s}
