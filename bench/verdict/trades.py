"""What speaks for one of two systems beside its quality: money, time and memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.scoring import money
from bench.scoring.schema import Criteria, Trade, Traded
from bench.verdict.noise import ALIKE, Noise

WORTH = ALIKE["latency"]  # times smaller, below which two runs of one system may differ as much
SMALL_USD = 1.0  # a month: no cost of a system below it decides anything
# differences that decide nothing. A tenth of a second passes for at once (Nielsen 1993). A system is built once: what
# its updates take stands under "update", and what both cost under "cost" (docs/adr/0020-an-hour-of-building.md)
SMALL: Mapping[Traded, float] = {"cost": SMALL_USD, "latency": 0.1, "memory": 1e8, "build": 3600.0, "update": 60.0}
LITTLE = "$1 a month, 0.1 s an answer, 100 MB, an hour of building, a minute of updating"  # the same in words
Figures = Mapping[Traded, tuple[float | None, float | None]]


def trades(noise: Noise, figures: Mapping[str, Criteria], one: str, other: str) -> Iterator[Trade]:
    """Each figure of which one of two systems has clearly less: more than repeats differ by, and than what is small."""
    for what, (mine, its) in _both(noise, figures, one, other).items():
        if mine is None or its is None:
            continue
        (less, to), (more, over) = sorted([(mine, one), (its, other)])
        if more - less > SMALL[what] and _is_apart(noise, what, to, over, more / less if less else float("inf")):
            yield Trade(what=what, to=to, over=over, less=less, more=more)


def are_comparable(noise: Noise, figures: Mapping[str, Criteria], one: str, other: str) -> bool:
    """Whether whatever was measured of one of two systems was measured of the other."""
    return all((mine is None) == (its is None) for mine, its in _both(noise, figures, one, other).values())


def _both(noise: Noise, figures: Mapping[str, Criteria], one: str, other: str) -> Figures:
    """What can be traded for quality, of two systems."""
    systems, costs = noise.systems, noise.costs
    return {
        "cost": (figures[one].cost, figures[other].cost),
        "latency": (systems[one].speed.p50_s, systems[other].speed.p50_s),
        "memory": (figures[one].memory, figures[other].memory),
        "build": (systems[one].build.total_s, systems[other].build.total_s),
        "update": (costs[one].refresh_s, costs[other].refresh_s),
    }


def _is_apart(noise: Noise, what: Traded, to: str, over: str, ratio: float) -> bool:
    """Whether the figure of `over` is that many times larger by more than repeats differ by."""
    if what == "cost":
        volumes, both = noise.volumes, {name: noise.costs[name] for name in (to, over)}
        return over not in money.cheapest(both, volumes.questions_per_month, volumes.updates_per_month)
    if what == "latency":
        return ratio > 10 ** noise.between("latency", to, over)
    return ratio > (ALIKE["memory"] if what == "memory" else WORTH)
