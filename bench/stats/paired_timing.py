"""Two ways of doing the same, timed in turns: what one costs over the other, whatever else the machine does."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.stats import intervals

Step = Callable[[], object]


def in_turns(a: Step, b: Step, *, pairs: int, warmup: int = 2) -> list[tuple[float, float]]:
    """Seconds of (a, b), once each in every pair after the warm-up; who goes first alternates."""
    for _ in range(warmup):
        a()
        b()
    found = []
    for number in range(pairs):
        if number % 2:
            second, first = _seconds(b), _seconds(a)
        else:
            first, second = _seconds(a), _seconds(b)
        found.append((first, second))
    return found


def _seconds(step: Step) -> float:
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def ratio(pairs: Sequence[tuple[float, float]]) -> dict[str, float | int | None]:
    """Median of b over a, pair by pair, with the 95% interval of its ranks; None below eight pairs."""
    ratios = [b / a for a, b in pairs]
    interval = intervals.median_interval(ratios)
    middle = statistics.median(ratios)
    return {
        "ratio": middle,
        "low": interval and interval[0],
        "high": interval and interval[1],
        "pairs": len(pairs),
        "a_s": statistics.median([a for a, _ in pairs]),
        "b_s": statistics.median([b for _, b in pairs]),
    }


def matched(a: Mapping[str, Any], b: Mapping[str, Any], *, but: str) -> None:
    """Raises ValueError where two recipes differ in more than the one thing that is compared."""
    other = sorted(k for k in {*a, *b} if k != but and a.get(k) != b.get(k))
    if other:
        differences = ", ".join(f"{k} ({a.get(k)!r} against {b.get(k)!r})" for k in other)
        raise ValueError(f"the pair is confounded: beside {but} it differs in {differences}")
