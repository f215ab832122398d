"""The decisions of a gate: a run against a baseline, rule by rule. Fails on a real regression, and never on noise.

A regression needs practical size (the rule's margin, or the noise floor where that is larger) and statistical evidence:
paired by question and clustered for quality, ratios question by question for latency, medians over seeds for memory and
training time, which have no more than one figure a seed. Where the same reference work was done between the questions
or steps of both runs, times are compared over it: what the machine did to both is taken away, and a quarter of it, as a
standard deviation, counts against a failure, for the two do not feel it quite alike. Times and memory vary from run to
run by more than their questions show, and so does what is trained anew each time with fewer than three seeds: without
the noise of repeats (`baseline accept --repeat`) they fail nothing. On a machine that was itself much slower, as a
fixed piece of work tells, a time fails nothing either. The evidence of all rules and systems is corrected as one
family (Holm), so that a gate on a run that did not change fails once in twenty times at most.
"""

from __future__ import annotations

import difflib
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from bench.core.errors import UserError
from bench.gate.noise import of_system
from bench.gate.quality import Finding, quality, within
from bench.gate.rules import DEFAULT, LATENCY, Rule, Rules, with_headline
from bench.gate.samples import BESIDE, Samples, allowed_of, beside, flat, is_trained, is_whole, samples, summary
from bench.gate.snapshot import RunNoise, Snapshot, SystemSnapshot, Values
from bench.gate.times import OF_BUILDS, TRAINING
from bench.metrics.registry import JUDGED, MEASURES
from bench.scoring.schema.gate import BAD, Result, State
from bench.stats.bootstrap import satterthwaite
from bench.stats.corrections import holm
from bench.stats.distributions import t_above, t_quantile
from bench.stats.intervals import percentile
from bench.stats.planning import ALPHA, SEEDS
from bench.stats.rounds import OFF

BUSY = 0.5  # by what share the reference work may take longer
TAILS = 1000  # resamples of the questions, of which a high percentile is taken
ALONE = 0.25  # by what share more beside one system than beside the others
UNLIKE = 0.25  # of what the machine changed by, how much a system may have changed by more than the reference work


BROUGHT = Finding("not comparable", "built on another device, and found in the store")


def gate(new: Snapshot, old: Snapshot, rules: Rules = DEFAULT) -> list[Result]:
    """Every rule on every system that the baseline has. Raises UserError where the two are of different data."""
    if new.dataset != old.dataset:
        raise UserError(
            "the run and the baseline are of different datasets: nothing can be compared.",
            where=new.name,
            remedy="Run on the baseline's dataset, or accept a new baseline.",
        )
    if not new.systems or not old.systems:
        raise UserError("there is no system in it.", where=new.name if not new.systems else old.name)
    for rule in rules.rules:
        if rule.system and rule.system not in new.systems and rule.system not in old.systems:
            have = sorted({*new.systems, *old.systems})
            near = difflib.get_close_matches(rule.system, have, 1)
            raise UserError(
                f"a rule is of the system {rule.system!r}, which neither the run nor the baseline has.",
                where="rules",
                remedy=f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(have)}.",
            )
    given = rules is not DEFAULT
    rules = rules if given else with_headline(rules, old.headline)
    looked = [
        (rule, name, _found(rule, name, new, old))
        for rule in rules.rules
        for name in ([rule.system] if rule.system else list(old.systems))
    ]
    results = []
    for (rule, name, _), found in zip(looked, _corrected([found for _, _, found in looked]), strict=True):
        said = _softened(rule, found)
        led = rule.metric == old.headline and _has(rule, name, new)  # a baseline that lost it is none to pass by
        if given or rule.system or said.state != "missing" or _has(rule, name, old) or led:
            title = f"{rule.title} on {rule.stratum}" if rule.stratum else rule.title
            results.append(Result(title, name, **{k: v for k, v in vars(said).items() if k != "p"}))
    return results


def _corrected(found: Sequence[Finding]) -> list[Finding]:
    """The findings with those failures taken back that are not shown once all rules and systems count as one family."""
    tested = [finding.p for finding in found if finding.p is not None]
    adjusted = iter(holm(tested))
    corrected = []
    for finding in found:
        p = next(adjusted) if finding.p is not None else 0.0
        if finding.state == "fail" and p > ALPHA:
            why = f"not shown over {len(tested)} comparisons, corrected p = {p:.2g}; {finding.why}".rstrip("; ")
            finding = replace(finding, state="inconclusive", why=why)
        corrected.append(finding)
    return corrected


def _has(rule: Rule, name: str, snapshot: Snapshot) -> bool:
    return name in snapshot.systems and samples(rule.metric, snapshot.systems[name]) is not None


def _softened(rule: Rule, found: Finding) -> Finding:
    """A failure that only warns, and what is allowed to be missing."""
    if found.state == "fail" and rule.warns:
        return replace(found, state="warn")
    if found.state == "missing" and rule.missing == "pass":
        return replace(found, state="pass", why=f"{found.why} (allowed to be missing)")
    return found


def _found(rule: Rule, name: str, new: Snapshot, old: Snapshot) -> Finding:
    """What a rule says of a system in two snapshots."""
    mine = new.systems.get(name)
    if mine is None:
        return Finding("missing", "the run has no such system")
    if mine.status == "failed":
        return Finding("missing", "the system failed in this run")
    accepted = old.systems.get(name)
    if mine.status == "partly failed" and (accepted is None or mine.seeds < accepted.seeds):
        return Finding("missing", "the system failed on some of its seeds in this run")
    found = samples(rule.metric, mine, rule.stratum)
    if found is None and _is_brought(rule, mine):
        return BROUGHT
    if found is None:
        on = f" on {rule.stratum}" if rule.stratum else ""
        return Finding("missing", f"the run has no {rule.metric} of it{on}")
    if not is_whole(found):
        return Finding("errored", f"{rule.metric} holds what is no number")
    if rule.margin is None:
        return _budget(rule, found)
    if rule.metric not in MEASURES and new.machine != old.machine:
        return Finding("not comparable", _unlike(new, old))
    before = samples(rule.metric, accepted, rule.stratum) if accepted else None
    if before is None and accepted and _is_brought(rule, accepted):
        return BROUGHT
    if before is None:
        return Finding("missing", f"the baseline has no {rule.metric} of it")
    if not is_whole(before):
        return Finding("errored", f"the baseline's {rule.metric} holds what is no number")
    over = _over_reference(rule, name, new, old)
    if over is not None:
        return over
    said = _regression(rule, name, rule.metric, found, before, new, old)
    when = _when(rule.metric)
    beside_new, beside_old = (s.systems[name].yardstick_s.get(when) for s in (new, old))
    if said.state == "fail" and beside_new and beside_old and beside_new / beside_old - 1 > OFF:
        slower = 100 * (beside_new / beside_old - 1)
        return replace(said, state="inconclusive", why=f"the machine itself was {slower:.0f}% slower; {said.why}")
    return said


def _is_brought(rule: Rule, system: SystemSnapshot) -> bool:
    """Whether the rule asks of a build that was another device's."""
    return rule.margin is not None and rule.metric in OF_BUILDS and system.brought


def _unlike(new: Snapshot, old: Snapshot) -> str:
    """What sets two machines apart."""
    here, there = (s.machine.get("threads") for s in (new, old))
    if {**new.machine, "threads": there} != old.machine:
        return "other hardware than the baseline's"
    return f"threads: {here} here, {there} in the baseline; set `measure: {{ threads: {there} }}` in the spec"


def _when(metric: str) -> str:
    """When a time was taken; nothing for what is no time."""
    return "answering" if metric in LATENCY else "building" if metric in TRAINING else ""


def _over_reference(rule: Rule, name: str, new: Snapshot, old: Snapshot) -> Finding | None:
    """What the rule says of a time over the reference work beside it. Seconds are told as they were.

    None where a run has none, or the two are not alike: another torch or device, another number of rounds, too few
    questions in common. Where the work itself took much longer or shorter, a machine is too busy to be told from; where
    it took longer beside this system than beside the others, the system may have slowed both.
    """
    mine, its = new.systems[name], old.systems[name]
    found, before = (beside(rule.metric, system) for system in (mine, its))
    if found is None or before is None or new.versions.get("torch") != old.versions.get("torch"):
        return None
    if mine.device != its.device or (rule.metric in LATENCY and mine.rounds != its.rounds):
        return None
    when = _when(rule.metric)
    moved = {
        n: s.reference_s[when] / old.systems[n].reference_s[when]
        for n, s in new.systems.items()
        if when in s.reference_s and n in old.systems and when in old.systems[n].reference_s
    }
    if name not in moved:  # a baseline that does not say what the work itself took
        return None
    usual, own = statistics.median(moved.values()), moved[name]
    metric = rule.metric + BESIDE
    said = _regression(rule, name, metric, found, before, new, old)
    change = said.change
    if change is None:
        return None
    if said.state == "fail":  # which what the machine changed by must not account for
        said = _regression(rule, name, metric, found, before, new, old, moved=math.log(own))
    seconds = [statistics.median(flat(samples(rule.metric, system) or [0.0])) for system in (mine, its)]
    clock = seconds[0] / seconds[1] - 1 if all(seconds) else change
    why = f"{100 * change:+.1f}% over the reference work, {100 * clock:+.1f}% as the clock saw it"
    rest = said.why if said.state == "inconclusive" else ""
    said = replace(said, new=seconds[0], old=seconds[1], why=f"{why}; {rest}".rstrip("; "))
    if abs(math.log(own)) > math.log(1 + BUSY):
        apart = f"the machine was {abs(own - 1):.0%} {'slower' if own > 1 else 'quicker'} than at the baseline"
        return replace(said, state="inconclusive", why=f"{apart}, too unlike it to tell; {said.why}")
    if said.state in ("pass", "improved") and clock >= (rule.margin or 0.0) and own / usual > 1 + ALONE:
        slowed = f"the reference work was slower beside this system than beside the others, by {own / usual - 1:.0%}"
        return replace(said, state="inconclusive", why=f"{slowed}; {said.why}")
    return said


def _budget(rule: Rule, found: Samples) -> Finding:
    """Whether the one number of the samples is inside the rule's bounds; a measure's is outside only where its 95%
    interval is."""
    value = summary(rule.metric, found)
    if value is None:
        return Finding("errored", f"{rule.metric} has too few samples for its percentile")
    if isinstance(found, Values):
        return within(rule.min, rule.max, found)
    inside = (rule.min is None or value >= rule.min) and (rule.max is None or value <= rule.max)
    return Finding("pass" if inside else "fail", "budget", new=value)


def _regression(
    rule: Rule,
    name: str,
    metric: str,
    found: Samples,
    before: Samples,
    new: Snapshot,
    old: Snapshot,
    *,
    moved: float = 0.0,
) -> Finding:
    """`metric` is whose noise and floor count: the rule's, or that of its time beside the reference work. `moved`: the
    logarithm of what the reference work changed by."""
    noise = old.noise.get(of_system(metric, name), old.noise.get(metric))
    if noise is not None and moved:
        noise = _on_another_machine(noise, moved)
    if rule.stratum:
        noise = None  # what repeats differ by is known of the whole
    floor, allowed = old.floors.get(metric, 0.0), allowed_of(rule, old.systems[name])
    margin = max(allowed, floor)
    if isinstance(found, Values) and isinstance(before, Values):
        said = quality(rule.metric, margin, found, before, noise)
        if said.state != "fail" or noise or min(len(found.rows), len(before.rows)) >= SEEDS:
            return said
        if not (is_trained(new.systems[name]) or is_trained(old.systems[name])):
            return said
        why = f"{said.why}; how much one training differs from another is not known: accept the baseline with --repeat"
        return replace(said, state="inconclusive", why=f"{why}, or train with three seeds")
    if isinstance(found, Mapping) and isinstance(before, Mapping) and rule.metric in LATENCY:
        percent = LATENCY[rule.metric]
        said = _latency(margin, found, before, noise) if percent == 50 else _tail(percent, margin, found, before, noise)
    else:
        said = _figures(margin, flat(found), flat(before), noise)
    if said.state == "pass" and said.change is not None and said.change > allowed:
        return replace(said, state="inconclusive", why=f"repeats of one run differ by {100 * floor:.0f}%; {said.why}")
    return said


def _on_another_machine(noise: RunNoise, moved: float) -> RunNoise:
    """The noise of a time over the reference work where the machine was slower or quicker by `moved` (a logarithm): a
    system and that work feel it a little differently, by UNLIKE of it."""
    repeats, besides = noise.sd**2, (UNLIKE * moved) ** 2 / 2
    df = satterthwaite([(repeats, noise.df), (besides, math.inf)], otherwise=noise.df)
    return RunNoise(math.sqrt(repeats + besides), int(min(df, 1e9)))


def _latency(margin: float, found: Mapping[str, float], before: Mapping[str, float], noise: RunNoise | None) -> Finding:
    """The mean log ratio over questions that both answered alone."""
    common = _timed_in_both(found, before)
    if len(common) < 2:
        return Finding("missing", "fewer than two questions were timed in both")
    logs = np.array([math.log(found[q] / before[q]) for q in common])
    old, new = (statistics.median(side[q] for q in common) for side in (before, found))
    within = float(logs.var(ddof=1)) / len(logs), len(logs) - 1
    return _increase(margin, float(logs.mean()), [within], noise, old, new)


def _timed_in_both(found: Mapping[str, float], before: Mapping[str, float]) -> list[str]:
    return [q for q in before if q in found and before[q] > 0 and found[q] > 0]


def _tail(
    percent: int, margin: float, found: Mapping[str, float], before: Mapping[str, float], noise: RunNoise | None
) -> Finding:
    """The log ratio of a high percentile, over questions that both answered alone: its variance is of resampled
    questions."""
    common = _timed_in_both(found, before)
    both = [percentile([side[q] for q in common], percent) for side in (before, found)]
    old, new = both
    if old is None or new is None:
        return Finding("errored", f"{len(common)} questions that were timed in both are too few for their percentile")
    pairs = np.array([[before[q], found[q]] for q in common])
    drawn = np.random.default_rng(0).integers(0, len(pairs), (TAILS, len(pairs)))
    ends = np.log(np.percentile(pairs[drawn], percent, axis=1))
    within = float((ends[:, 1] - ends[:, 0]).var(ddof=1)), len(common) - 1
    return _increase(margin, math.log(new / old), [within], noise, old, new)


def _figures(margin: float, found: Sequence[float], before: Sequence[float], noise: RunNoise | None) -> Finding:
    """Every figure of a system: one a seed. Two medians; with three seeds each, the spread of the logs as well."""
    if not any((*before, *found)):
        return Finding("pass", "none in either", 0.0, 0.0, 0.0)
    if min(*before, *found) <= 0:
        return Finding("errored", "a figure that is not above zero")
    old, new = statistics.median(before), statistics.median(found)
    if min(len(before), len(found)) < 3:
        return _increase(margin, math.log(new / old), [], noise, old, new)
    logs_old, logs_new = np.log(np.array(before)), np.log(np.array(found))
    within = [(float(logs.var(ddof=1)) / len(logs), len(logs) - 1) for logs in (logs_old, logs_new)]
    return _increase(margin, float(logs_new.mean() - logs_old.mean()), within, noise, old, new)


def _increase(
    margin: float, change: float, within: Sequence[tuple[float, float]], noise: RunNoise | None, old: float, new: float
) -> Finding:
    """`change` is of logarithms, more is worse. Its variance is that between two runs and that within them, for which
    `within` has (variance, degrees of freedom)."""
    parts = [*within, (2 * noise.sd**2, noise.df)] if noise else list(within)
    variance, df = sum(part for part, _ in parts), satterthwaite(parts, otherwise=1.0)
    half = t_quantile(0.975, df) * math.sqrt(variance)
    low, middle, high = (math.expm1(v) for v in (change - half, change, change + half))
    seen = Finding("pass", f"{100 * middle:+.1f}%", old, new, middle, low, high)
    if noise is None:
        if middle >= margin:
            why = "no calibration: how much repeats of one run differ is not known; accept the baseline with --repeat"
            return replace(seen, state="inconclusive", why=f"{100 * middle:+.1f}%; {why}")
        if high > margin and half:
            return replace(seen, state="inconclusive", why="an increase of the margin is not ruled out")
        return seen
    p = t_above(change / math.sqrt(variance), df) if variance else float(change <= 0)
    seen = replace(seen, p=p)
    if middle >= margin and low > 0:
        return replace(seen, state="fail")
    if high > margin and half:
        return replace(seen, state="inconclusive", why="an increase of the margin is not ruled out")
    return replace(seen, state="improved" if middle <= -margin and high < 0 else "pass")


def judged(results: Sequence[Result]) -> dict[str, set[str]]:
    """system -> the judge's metrics that fail it or warn of it."""
    found: dict[str, set[str]] = {}
    for result in results:
        metric = result.rule.split(" ")[0]
        if metric in JUDGED and result.state in ("fail", "warn"):
            found.setdefault(result.system, set()).add(metric)
    return found


def confirmed(results: Sequence[Result], again: Sequence[Result]) -> list[Result]:
    """The results after a repeat of the judge.

    What it does not fail a second time is inconclusive; what it does not warn of a second time passes.
    """
    second = {(r.rule, r.system): r for r in again}
    return [_confirmed(result, second.get((result.rule, result.system))) for result in results]


def _confirmed(result: Result, twin: Result | None) -> Result:
    """One result beside that of the repeat."""
    if twin is None or result.system not in judged([result]):
        return result
    if twin.state in ("fail", "warn"):
        return replace(result, why=f"{result.why}; the judge says so again")
    if twin.state not in ("pass", "improved", "inconclusive"):
        return replace(result, why=f"{result.why}; asked again, the judge did not answer: {twin.why}")
    state: State = "inconclusive" if result.state == "fail" else "pass"
    return replace(result, state=state, why=f"{result.why}; asked again the judge says {twin.state}")


def is_any_compared(results: Sequence[Result]) -> bool:
    """Whether any rule had figures on both sides, or a bound to hold; what is allowed to be missing is no figure."""
    return any(r.new is not None and r.state not in ("missing", "not comparable", "errored") for r in results)


def verdict(results: Sequence[Result]) -> Literal["pass", "fail", "inconclusive"]:
    """The gate's answer: nothing compared is no pass."""
    if not results or any(r.state in BAD for r in results):
        return "fail"
    checked = is_any_compared([r for r in results if r.state != "warn"])
    return "inconclusive" if not checked or any(r.state == "inconclusive" for r in results) else "pass"
