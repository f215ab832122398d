"""What a gate finds of quality: one measure of a system in two runs, paired by question."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from bench.gate.snapshot import RunNoise, Snapshot, Values
from bench.metrics.registry import JUDGED, MEASURES
from bench.scoring.grade import estimate, panel
from bench.scoring.schema.gate import State
from bench.stats.bootstrap import satterthwaite
from bench.stats.comparisons import Pair, Panel, compare
from bench.stats.distributions import t_above, t_quantile
from bench.stats.planning import ALPHA

Z, NINE_IN_TEN = 1.96, 1.2816  # normal quantiles: of a 95% interval, and of a power of 90%
LOST = 0.1  # the share of questions that a judge may leave without a verdict


@dataclass(frozen=True)
class Finding:
    """What one rule found, before it is known of which system."""

    state: State
    why: str
    old: float | None = None
    new: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None  # one-sided, of "it is no worse"


def _answered(found: Values, before: Values) -> tuple[Values, Values]:
    """The values of a measure that has none where a system does not answer, with 0 where the other run has one."""

    def filled(one: Values, other: Values) -> Values:
        known = set(one.questions)
        missing = [i for i, question in enumerate(other.questions) if question not in known]
        questions, clusters = (
            [*mine, *(its[i] for i in missing)]
            for mine, its in ((one.questions, other.questions), (one.clusters, other.clusters))
        )
        return Values(questions, clusters, [[*row, *[0.0] * len(missing)] for row in one.rows])

    return filled(found, before), filled(before, found)


def quality(metric: str, margin: float, found: Values, before: Values, noise: RunNoise | None) -> Finding:
    """Paired by question; `change` is turned so that less is worse. With `noise` the spread of repeats counts too."""
    measure = MEASURES[metric]
    sign = 1.0 if measure.higher_is_better else -1.0
    judged = metric in JUDGED
    if measure.asked and measure.source not in ("retrieval", "judge") and measure.higher_is_better:
        found, before = _answered(found, before)
    both = panel({"new": found.column, "old": before.column})
    if both is None:
        return Finding("errored", "no question in common")
    missed = len(before.questions) - len(both.clusters)
    turned = Panel({name: sign * values for name, values in both.values.items()}, both.clusters)
    pair = compare(turned)[0]
    means = {name: float(values.mean()) for name, values in both.values.items()}
    worse = pair.p / 2 if pair.difference < 0 else 1 - pair.p / 2
    seen = Finding("pass", "", means["old"], means["new"], pair.difference, pair.low, pair.high, worse)
    if missed and not (judged and missed <= LOST * len(before.questions)):
        why = f"{missed} of the baseline's questions were not scored in this run"  # a judge is asked of no abstention
        return replace(seen, state="inconclusive" if judged else "errored", why=why)
    test, p = f"{pair.test}, p = {pair.p:.2g}", pair.p
    if noise and noise.sd:
        above = _above_noise(pair, noise)
        test, p = f"{test}, and {2 * min(above, 1 - above):.2g} by what repeats differ by", max(p, 2 * above)
        seen = replace(seen, p=max(worse, above))
    if pair.difference <= -margin and p <= 0.05:
        return replace(seen, state="fail", why=test)
    if pair.low < -margin and pair.lost:  # where no answer got worse, none did
        return replace(seen, state="inconclusive", why=f"a loss of the margin is not ruled out{_more(pair, margin)}")
    better = pair.difference >= margin and pair.p <= 0.05
    return replace(seen, state="improved" if better else "pass", why=test)


def _more(pair: Pair, margin: float) -> str:
    """What would tell, where a loss of the margin is not ruled out: nothing of so few documents; more questions, where
    what is seen is less than the margin."""
    if _cannot_tell(pair.clusters):
        what = "questions are" if pair.clusters == pair.n else "documents behind the questions are"
        return f": {pair.clusters} {what} too few to show any loss"
    room, error = pair.difference + margin, (pair.high - pair.low) / 2 / Z
    if pair.difference >= 0 or room <= 0:
        return ""
    needed = pair.n * ((Z + NINE_IN_TEN) * error / room) ** 2
    return f"; about {math.ceil(needed):,} questions would tell" if pair.n < needed <= 1e6 else ""


def _cannot_tell(clusters: int) -> bool:
    """Whether no loss can be shown of so few: chance would make each of them worse as often (two-sided sign test)."""
    return 2 * 0.5**clusters > ALPHA


def too_few(baseline: Snapshot) -> int | None:
    """How many clusters the questions of a baseline come from, where they are too few to show any loss."""
    counts = [len(set(values.clusters)) for s in baseline.systems.values() for values in s.values.values()]
    return max(counts) if counts and _cannot_tell(max(counts)) else None


def _above_noise(pair: Pair, noise: RunNoise) -> float:
    """One-sided p of "it is no worse", where two runs differ by the noise of repeats beside their questions."""
    df = max(1, pair.clusters - 1)
    error = (pair.high - pair.low) / 2 / t_quantile(0.975, df)
    parts = [(error**2, df), (2 * noise.sd**2, noise.df)]
    return t_above(-pair.difference / math.sqrt(sum(part for part, _ in parts)), satterthwaite(parts, otherwise=1.0))


def within(least: float | None, most: float | None, found: Values) -> Finding:
    """Whether the mean is inside its bounds: it is outside only where its whole 95% interval is."""
    score = estimate(found.column)
    assert score is not None  # what is whole has values
    beyond = max(
        least - score.mean if least is not None else -math.inf, score.mean - most if most is not None else -math.inf
    )
    fails = (least is not None and score.high < least) or (most is not None and score.low > most)
    state: State = "fail" if fails else "inconclusive" if beyond > 0 else "pass"
    error = (score.high - score.low) / (2 * t_quantile(0.975, math.inf))
    p = t_above(beyond / error, math.inf) if error else float(beyond <= 0)
    return Finding(state, f"budget, 95% interval {score.low:.3g} to {score.high:.3g}", new=score.mean, p=p)
