"""By how much the times, memory and money of one system differ when they are measured again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from bench.scoring.schema import Costs, Criterion, MeasuredSystem
from bench.spec.model import Volumes
from bench.stats.rounds import TimeSpread, uneven, within

ALIKE: Mapping[Criterion, float] = {"cost": 1.3, "latency": 1.3, "memory": 1.1}  # factors, where no rounds were taken


@dataclass(frozen=True)
class Noise:
    """Half-widths of 95% intervals, as decimal logarithms."""

    systems: Mapping[str, MeasuredSystem]
    costs: Mapping[str, Costs] = field(default_factory=dict)
    volumes: Volumes = field(default_factory=Volumes)

    def between(self, key: Criterion, a: str, b: str) -> float:
        """Of the ratio of two systems. Latencies are compared within the rounds that both have, so that a slow round
        cancels; but for a system that varies more than the others do."""
        if key != "latency" or {a, b} & self._uneven:
            return math.hypot(self.of(key, a), self.of(key, b))
        shared = len(self._medians[a].keys() & self._medians[b].keys())
        if not shared or self._within is None:
            return math.log10(ALIKE[key])
        return self._within.half_width(2 / shared) / math.log(10)

    def of(self, key: Criterion, name: str) -> float:
        """Of one system's figure."""
        ends = self.systems[name].speed.level_interval if key == "latency" else None
        if key == "cost":
            ends = self.costs[name].usd_per_month_interval
        if ends is None or ends[0] <= 0:
            return math.log10(ALIKE[key]) / math.sqrt(2)
        return math.log10(ends[1] / ends[0]) / 2

    @cached_property
    def _within(self) -> TimeSpread | None:
        return within({name: medians for name, medians in self._medians.items() if name not in self._uneven})

    @cached_property
    def _uneven(self) -> set[str]:
        return uneven(self._medians)

    @cached_property
    def _medians(self) -> dict[str, dict[int, float]]:
        """system -> round -> median latency, of the rounds that count."""
        return {n: {r.number: r.p50_s for r in s.speed.kept if r.p50_s} for n, s in self.systems.items()}
