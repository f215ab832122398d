"""The noise of repeats: how much runs that do not differ differ, and what a gate can find above it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from bench.core.errors import UserError
from bench.gate.rules import KNOWN, Rules
from bench.gate.samples import BESIDE, allowed_of, is_trained, middle
from bench.gate.snapshot import RunNoise, Snapshot, SystemSnapshot
from bench.gate.times import TRAINING
from bench.metrics.registry import MEASURES
from bench.scoring.grade import panel
from bench.stats.comparisons import compare
from bench.stats.pooling import pooled, restless

COMPARED = (*KNOWN, *(time + BESIDE for time in ("p50_latency_s", *TRAINING)))


def floors(snapshots: Sequence[Snapshot]) -> dict[str, float]:
    """metric -> the largest change that repeats of one and the same run show: no smaller margin can be held.

    Raises UserError below three repeats, where they are of different data, specs or machines, and for one run given
    twice.
    """
    check_repeats(len(snapshots))
    first = snapshots[0]
    if any(s.dataset != first.dataset or s.machine != first.machine for s in snapshots):
        raise UserError(
            "the repeats are of different datasets or machines.",
            where="gate calibrate",
            remedy="Repeat one run on one machine.",
        )
    if any(s.spec != first.spec for s in snapshots):
        raise UserError(
            "the repeats are runs of different specs.",
            where="gate calibrate",
            remedy="Repeat one spec; its `name` may differ.",
        )
    seals = [s.seal for s in snapshots if s.seal]
    if len(set(seals)) < len(seals):
        raise UserError(
            "one run is given twice, and does not differ from itself.",
            where="gate calibrate",
            remedy="Run the spec again for each repeat, each time with a store of its own.",
        )
    found: dict[str, float] = {}
    for metric in COMPARED:
        for name in first.systems:
            values = [v for s in snapshots if name in s.systems and (v := middle(metric, s.systems[name])) is not None]
            usual = statistics.median(values) if values else 0.0
            if len(values) < 3 or not statistics.fmean(values) or (metric not in MEASURES and usual <= 0):
                continue
            spread = max(values) - min(values)
            noise = spread if metric in MEASURES else spread / usual
            found[metric] = max(found.get(metric, 0.0), noise)
    return found


def check_repeats(number: int) -> None:
    """Raises UserError below three repeats."""
    if number < 3:
        raise UserError(
            f"{number} repeats are too few to see the noise.",
            where="gate calibrate",
            remedy="Give three runs of one spec, or more.",
        )


def run_noise(snapshots: Sequence[Snapshot]) -> dict[str, RunNoise]:
    """metric -> how much times and memory vary between repeats of one run, pooled over the systems that vary alike; one
    that varies more than the others has its own, by `of_system`. Of quality the questions themselves tell, but for what
    is trained anew each time: of such a system the difference of its means is noise too."""
    found: dict[str, RunNoise] = {}
    for metric in COMPARED:
        own = {n: noise for n in snapshots[0].systems if (noise := _of_system(metric, n, snapshots))}
        if metric in MEASURES:
            trained = [name for name in own if is_trained(snapshots[0].systems[name])]
            found |= {of_system(metric, name): own[name] for name in trained}
            continue
        for name in restless({n: (noise.sd, noise.df) for n, noise in own.items()}):
            found[of_system(metric, name)] = own.pop(name)
        if own:
            found[metric] = RunNoise(*pooled([(noise.sd, noise.df) for noise in own.values()]))
    return found


def of_system(metric: str, name: str) -> str:
    """What the noise of a metric of one system is called, where it is not that of all."""
    return f"{metric} of {name}"


def _of_system(metric: str, name: str, snapshots: Sequence[Snapshot]) -> RunNoise | None:
    """Of a measure the spread of its means, of times and memory that of their logarithms; None without two of them."""
    values = [v for s in snapshots if name in s.systems and (v := middle(metric, s.systems[name])) is not None]
    if metric not in MEASURES:
        values = [math.log(v) for v in values] if values and min(values) > 0 else []
    return RunNoise(statistics.stdev(values), len(values) - 1) if len(values) > 1 else None


def check_margins(
    rules: Rules, noise: Mapping[str, float], systems: Mapping[str, SystemSnapshot] | None = None
) -> None:
    """Raises UserError for a margin that repeats of the same run would break: of each of the systems that it is of,
    where some are given."""
    for rule in rules.rules:
        floor = noise.get(rule.metric + BESIDE, noise.get(rule.metric))
        of = [s for name, s in (systems or {}).items() if rule.system in (None, name)]
        if (
            rule.margin is not None
            and floor is not None
            and max([rule.margin, *(allowed_of(rule, s) for s in of)]) < floor
        ):
            least = math.ceil(floor * 1000) / 1000
            raise UserError(
                f"the margin {rule.margin:g} of {rule.metric} is below the noise of {floor:.3g}.",
                where="rules",
                remedy=f"Set it to {least:g} or more, or measure on a quieter machine.",
            )


def detectable(a: Snapshot, b: Snapshot) -> dict[str, float]:
    """metric -> the smallest change that a gate on so many questions finds nine times out of ten, the worst system's.

    From the spread of two runs that do not differ: (1.96 + 1.28) standard errors.
    """
    found: dict[str, float] = {}
    for metric in MEASURES:
        for name, system in a.systems.items():
            mine = system.values.get(metric)
            other = b.systems[name].values.get(metric) if name in b.systems else None
            both = panel({"a": mine.column, "b": other.column}) if mine and other else None
            if both is not None and (pair := compare(both)[0]).n > 1:
                half = (pair.high - pair.low) / 2 / 1.96
                least = min(1.0, (1.96 + 1.2816) * half)  # no share changes by more than 1
                found[metric] = max(found.get(metric, 0.0), least)
    return found
