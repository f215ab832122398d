"""The gate: a run against a baseline, rule by rule. Fails on a real regression, and never on noise.

A regression needs practical size (the rule's margin, or the noise floor where that is larger) and statistical evidence:
paired by question and clustered for quality, ratios question by question for latency, medians over seeds for memory and
training time, which have no more than one figure a seed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator
from scipy import stats as distributions

from bench.core.errors import UserError
from bench.core.system import Block
from bench.gate.snapshot import FIGURES, Snapshot, finite
from bench.scoring.grade import JUDGED, METRICS, Column
from bench.stats import comparisons
from bench.verdict.scenario_tables import panel

State = Literal["pass", "fail", "inconclusive", "missing", "not comparable", "errored", "warn", "improved"]
BAD = ("fail", "missing", "errored")
LATENCY = {"p50_latency_s": 50, "p90_latency_s": 90, "p95_latency_s": 95, "p99_latency_s": 99}
Told = Callable[..., "Result"]


class Rule(Block):
    """A regression rule has a `margin`, a budget `min` or `max`. `system`: one, or all that the baseline has."""

    metric: str
    margin: float | None = Field(None, ge=0, description="Points of a share; relative for times and memory.")
    min: float | None = None
    max: float | None = None
    system: str | None = None
    stratum: str | None = None
    missing: Literal["fail", "pass"] = "fail"
    warn: bool | None = Field(None, description="Tell, and do not fail; unset: judge metrics warn.")

    @model_validator(mode="after")
    def _one(self) -> Rule:
        if self.metric not in {*METRICS, *FIGURES, *LATENCY}:
            raise ValueError(f"unknown metric {self.metric!r}; known are {', '.join([*METRICS, *FIGURES, *LATENCY])}")
        if self.stratum and self.metric not in METRICS:
            raise ValueError(f"`stratum` is of questions, and {self.metric} has none")
        if (self.margin is None) == (self.min is None and self.max is None):
            raise ValueError("give `margin`, or `min` or `max`")
        return self

    @property
    def warns(self) -> bool:
        return self.metric in JUDGED if self.warn is None else self.warn

    @property
    def title(self) -> str:
        if self.margin is not None:
            unit = f"{self.margin:.3f}" if self.metric in METRICS else f"{100 * self.margin:g}%"
            return f"{self.metric} within {unit}"
        bounds = [
            f"{word} {value:g}" for word, value in (("at least", self.min), ("at most", self.max)) if value is not None
        ]
        return f"{self.metric} {' and '.join(bounds)}"


class Rules(Block):
    rules: tuple[Rule, ...] = Field(min_length=1)


DEFAULT = Rules(
    rules=(
        Rule(metric="em", margin=0.02), Rule(metric="recall_at_k", margin=0.02), Rule(metric="p50_latency_s", margin=0.10),
        Rule(metric="peak_rss_bytes", margin=0.05), Rule(metric="peak_gpu_allocated_bytes", margin=0.05), Rule(metric="step_s", margin=0.10),
    )
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What one rule says of one system. `change` is new minus old, or new over old minus one."""

    rule: str
    system: str
    state: State
    old: float | None
    new: float | None
    change: float | None
    low: float | None
    high: float | None
    why: str


def load(path: Path | None) -> Rules:
    """The rules of a YAML file, or those that hold where none is given. Raises UserError."""
    if path is None:
        return DEFAULT
    from bench.spec.validation_errors import explain
    from bench.spec.yaml_lines import read

    raw, lines = read(path)
    try:
        return Rules.model_validate(raw)
    except ValidationError as e:
        raise explain(e, Rules, (), str(path), lines) from None


def gate(new: Snapshot, old: Snapshot, rules: Rules = DEFAULT) -> list[Result]:
    """Every rule on every system that the baseline has. Raises UserError where the two are of different data."""
    if new.dataset != old.dataset:
        raise UserError("the run and the baseline are of different datasets: nothing can be compared.", where=new.name,
                        remedy="Run on the baseline's dataset, or accept a new baseline.")  # fmt: skip
    if not new.systems or not old.systems:
        raise UserError("there is no system in it.", where=new.name if not new.systems else old.name)
    given = rules is not DEFAULT
    results = []
    for rule in rules.rules:
        names = [rule.system] if rule.system else list(old.systems)
        for name in names:
            found = _result(rule, name, new, old)
            if given or rule.system or found.state != "missing" or _has(rule, old.systems.get(name)):
                results.append(_softened(rule, found))
    return results


def judged(results: Sequence[Result]) -> dict[str, set[str]]:
    """system -> the judge's metrics that fail it or warn of it."""
    found: dict[str, set[str]] = {}
    for r in results:
        metric = r.rule.split(" ")[0]
        if metric in JUDGED and r.state in ("fail", "warn"):
            found.setdefault(r.system, set()).add(metric)
    return found


def confirmed(results: Sequence[Result], again: Sequence[Result]) -> list[Result]:
    """The results after a repeat of the judge: what it does not fail a second time is inconclusive, a warning passes."""
    second = {(r.rule, r.system): r for r in again}
    told = []
    for r in results:
        twin = second.get((r.rule, r.system))
        if twin is None or r.system not in judged([r]):
            told.append(r)
        elif twin.state in ("fail", "warn"):
            told.append(replace(r, why=f"{r.why}; the judge says so again"))
        elif twin.state not in ("pass", "improved", "inconclusive"):
            told.append(replace(r, why=f"{r.why}; asked again, the judge did not answer: {twin.why}"))
        else:
            state: State = "inconclusive" if r.state == "fail" else "pass"
            told.append(replace(r, state=state, why=f"{r.why}; asked again the judge says {twin.state}"))
    return told


def _has(rule: Rule, system: Mapping[str, Any] | None) -> bool:
    return system is not None and _samples(rule.metric, system) is not None


def _softened(rule: Rule, r: Result) -> Result:
    if r.state == "fail" and rule.warns:
        return replace(r, state="warn")
    return (
        replace(r, state="pass", why=f"{r.why} (allowed to be missing)")
        if r.state == "missing" and rule.missing == "pass"
        else r
    )


def _samples(metric: str, system: Mapping[str, Any], stratum: str | None = None) -> Any:
    if metric in LATENCY:
        return system["latency_s"] or None
    found = system["figures"].get(metric) if metric in FIGURES else system["values"].get(metric)
    return _of(found, stratum) if found and stratum else found


def _of(found: Mapping[str, Any], stratum: str) -> dict[str, Any] | None:
    """The values of one stratum; None where there are none, or an older baseline does not say."""
    kept = [i for i, s in enumerate(found.get("strata") or ()) if s == stratum]
    one = {k: [found[k][i] for i in kept] for k in ("questions", "clusters", "strata")} if kept else {}
    return {**one, "rows": [[row[i] for i in kept] for row in found["rows"]]} if kept else None


def _result(rule: Rule, name: str, new: Snapshot, old: Snapshot) -> Result:
    def told(state: State, why: str, **figures: float | None) -> Result:
        known = {k: figures.get(k) for k in ("old", "new", "change", "low", "high")}
        return Result(rule.title + (f" on {rule.stratum}" if rule.stratum else ""), name, state, **known, why=why)

    mine = new.systems.get(name)
    if mine is None or mine["status"] == "failed":
        return told("missing", "the run has no such system" if mine is None else "the system failed in this run")
    found = _samples(rule.metric, mine, rule.stratum)
    if found is None:
        return told("missing", f"the run has no {rule.metric} of it{f' on {rule.stratum}' if rule.stratum else ''}")
    if not _whole(found):
        return told("errored", f"{rule.metric} holds what is no number")
    if rule.margin is None:
        value = _summary(rule, found)
        if value is None:
            return told("errored", f"{rule.metric} has too few samples for its percentile")
        inside = (rule.min is None or value >= rule.min) and (rule.max is None or value <= rule.max)
        return told("pass" if inside else "fail", "budget", new=value)
    if rule.metric not in METRICS and new.place != old.place:
        return told("not comparable", "other hardware or thread count than the baseline's")
    before = _samples(rule.metric, old.systems[name], rule.stratum) if name in old.systems else None
    if before is None:
        return told("missing", f"the baseline has no {rule.metric} of it")
    if not _whole(before):
        return told("errored", f"the baseline's {rule.metric} holds what is no number")
    margin = max(rule.margin, old.floors.get(rule.metric, 0.0))
    if rule.metric in METRICS:
        return _quality(rule, margin, found, before, told)
    if rule.metric in LATENCY:
        return _latency(margin, found, before, told)
    return _figures(margin, found, before, told)


def _whole(found: Any) -> bool:
    values = found.values() if isinstance(found, dict) and "rows" not in found else found
    if isinstance(found, dict) and "rows" in found:
        values = [v for row in found["rows"] for v in row]
    return all(finite(v) for v in values) and bool(list(values))


def _column(found: Mapping[str, Any]) -> Column:
    return Column(
        found["questions"],
        np.array(found["rows"], dtype=np.float64),
        found["clusters"],
        ["all"] * len(found["questions"]),
    )


def _summary(rule: Rule, found: Any) -> float | None:
    if rule.metric in METRICS:
        return float(np.mean(found["rows"]))
    if rule.metric in LATENCY:
        from bench.stats.intervals import percentile

        return percentile(list(found.values()), LATENCY[rule.metric])
    return float(max(found))


def _quality(rule: Rule, margin: float, found: Any, before: Any, told: Told) -> Result:
    """Paired by question; `change` is turned so that less is worse."""
    sign = 1.0 if METRICS[rule.metric][1] else -1.0
    both = panel({"new": _column(found), "old": _column(before)})
    if both is None:
        return told("errored", "no question in common")
    missed = len(before["questions"]) - len(both.clusters)
    turned = comparisons.Panel({n: sign * v for n, v in both.values.items()}, both.clusters)
    p = comparisons.compare(turned)[0]
    figures = {
        "old": float(both.values["old"].mean()),
        "new": float(both.values["new"].mean()),
        "change": p.difference,
        "low": p.low,
        "high": p.high,
    }
    if missed:
        return told("errored", f"{missed} of the baseline's questions were not scored in this run", **figures)
    if p.difference <= -margin and p.p <= 0.05:
        return told("fail", f"{p.test}, p = {p.p:.2g}", **figures)
    if p.low < -margin and p.lost:  # where no answer got worse, none did
        n = f"; n = {p.n90:,} questions would tell" if p.n90 and p.difference < 0 else ""
        return told("inconclusive", f"a loss of the margin is not ruled out{n}", **figures)
    better = p.difference >= margin and p.p <= 0.05
    return told("improved" if better else "pass", f"{p.test}, p = {p.p:.2g}", **figures)


def _latency(margin: float, found: Mapping[str, float], before: Mapping[str, float], told: Told) -> Result:
    """The mean log ratio over questions that both answered alone."""
    common = [q for q in before if q in found and before[q] > 0 and found[q] > 0]
    if len(common) < 2:
        return told("missing", "fewer than two questions were timed in both")
    x = np.array([math.log(found[q] / before[q]) for q in common])
    half = float(distributions.t.ppf(0.975, len(x) - 1)) * float(x.std(ddof=1)) / math.sqrt(len(x))
    old, new = (statistics.median(side[q] for q in common) for side in (before, found))
    return _decide(margin, float(x.mean()), half, old, new, told)


def _figures(margin: float, found: Sequence[float], before: Sequence[float], told: Told) -> Result:
    """Every figure of a system: one a seed. Two medians; with three seeds each, the spread of the logs as well."""
    if min(*before, *found) <= 0:
        return told("errored", "a figure that is not above zero")
    if min(len(before), len(found)) >= 3:
        a, b = np.log(np.array(before)), np.log(np.array(found))
        error = math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
        half = float(distributions.t.ppf(0.975, min(len(a), len(b)) - 1)) * error
        return _decide(
            margin, float(b.mean() - a.mean()), half, statistics.median(before), statistics.median(found), told
        )
    change = math.log(statistics.median(found) / statistics.median(before))
    return _decide(margin, change, 0.0, statistics.median(before), statistics.median(found), told)


def _decide(margin: float, change: float, half: float, old: float, new: float, told: Told) -> Result:
    """`change` is of logarithms, more is worse; `half` is half of its 95% interval."""
    low, middle, high = (math.expm1(v) for v in (change - half, change, change + half))
    figures = {"old": old, "new": new, "change": middle, "low": low, "high": high}
    if middle >= margin and low > 0:
        return told("fail", f"{100 * middle:+.1f}%", **figures)
    if high > margin and half:
        return told("inconclusive", "an increase of the margin is not ruled out", **figures)
    return told("improved" if middle <= -margin and high < 0 else "pass", f"{100 * middle:+.1f}%", **figures)


def verdict(results: Sequence[Result]) -> Literal["pass", "fail", "inconclusive"]:
    """The gate's answer: nothing checked is no pass."""
    if not results or any(r.state in BAD for r in results):
        return "fail"
    checked = [r for r in results if r.state not in ("not comparable", "warn")]
    return "inconclusive" if not checked or any(r.state == "inconclusive" for r in results) else "pass"


def floors(snapshots: Sequence[Snapshot]) -> dict[str, float]:
    """metric -> the largest change that repeats of one and the same run show: no smaller margin can be held.

    Raises UserError below three repeats, or where they are of different data or machines.
    """
    if len(snapshots) < 3:
        raise UserError(
            f"{len(snapshots)} repeats are too few to see the noise.",
            where="gate calibrate",
            remedy="Give three runs of one spec, or more.",
        )
    first = snapshots[0]
    if any(s.dataset != first.dataset or s.place != first.place for s in snapshots):
        raise UserError(
            "the repeats are of different datasets or machines.",
            where="gate calibrate",
            remedy="Repeat one run on one machine.",
        )
    found: dict[str, float] = {}
    for metric in (*METRICS, *FIGURES, *LATENCY):
        for name in first.systems:
            values = [v for s in snapshots if name in s.systems and (v := _middle(metric, s.systems[name])) is not None]
            if len(values) < 3 or not statistics.fmean(values):
                continue
            spread = max(values) - min(values)
            noise = spread if metric in METRICS else spread / statistics.median(values)
            found[metric] = max(found.get(metric, 0.0), noise)
    return found


def _middle(metric: str, system: Mapping[str, Any]) -> float | None:
    found = _samples(metric, system)
    if found is None or not _whole(found):
        return None
    if metric in METRICS:
        return float(np.mean(found["rows"]))
    return float(statistics.median(found.values() if isinstance(found, dict) else found))


def check_margins(rules: Rules, noise: Mapping[str, float]) -> None:
    """Raises UserError for a margin that repeats of the same run would break."""
    for rule in rules.rules:
        floor = noise.get(rule.metric)
        if rule.margin is not None and floor is not None and rule.margin < floor:
            raise UserError(f"the margin {rule.margin:g} of {rule.metric} is below the noise of {floor:.3g}.", where="rules",
                            remedy=f"Set it to {math.ceil(floor * 1000) / 1000:g} or more, or measure on a quieter machine.")  # fmt: skip


def detectable(a: Snapshot, b: Snapshot) -> dict[str, float]:
    """metric -> the smallest change that a gate on so many questions finds nine times out of ten, the worst system's.

    From the spread of two runs that do not differ: (1.96 + 1.28) standard errors.
    """
    found: dict[str, float] = {}
    for metric in METRICS:
        for name, system in a.systems.items():
            mine, other = _samples(metric, system), _samples(metric, b.systems.get(name, {"values": {}}))
            both = panel({"a": _column(mine), "b": _column(other)}) if mine and other else None
            if both is not None and (p := comparisons.compare(both)[0]).n > 1:
                half = (p.high - p.low) / 2 / 1.96
                found[metric] = max(found.get(metric, 0.0), (1.96 + 1.2816) * half)
    return found
