"""One line on each folded part of the page: what it found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bench.core import display
from bench.scoring.schema import ScenarioTables, Scores


def told(scores: Scores, leaders: Sequence[str]) -> dict[str, str]:
    """The line of each part, by the name that its template gives it."""
    return {
        "told_claims": claims(scores),
        "told_reading": reading(scores.scenarios),
        "told_updates": updates(scores, leaders),
        "told_retrieval": retrieval(scores),
        "told_slowdown": slowdown(scores),
    }


def claims(scores: Scores) -> str:
    """How many claims came out how."""
    found = Counter(claim.status for claim in scores.claims)
    parts = [f"{found[status]} {status}" for status in ("confirmed", "refuted", "inconclusive") if found[status]]
    return ", ".join(parts) or "this run tests none of them"


def updates(scores: Scores, leaders: Sequence[str]) -> str:
    """What systems say of facts that changed: after a re-index, and before and after training anew."""
    lines = []
    for row in scores.scenarios.freshness or ():
        if row.updated_em is None or (row.system not in leaders and not row.retrained_changed):
            continue
        tuned = scores.measured[row.system].family == "tuning"
        took = f" of {display.span(row.refresh_s)}" if row.refresh_s is not None else ""
        when = "before training anew" if tuned else f"after an update{took}"
        after = f"{row.system} answers {row.updated_em.mean:.2f} of the changed facts {when}"
        if row.retrained_changed and row.retrain_s:
            after += f" and {row.retrained_changed.mean:.2f} after it ({display.span(row.retrain_s)})"
        lines.append(after)
    return f"{'; '.join(lines)}." if lines else ""


def reading(found: ScenarioTables) -> str:
    """The best form, and what distractors take from the reader."""
    parts = []
    forms = {row.system: row.form.mean for row in found.style or () if row.form}
    if forms:
        best = max(forms, key=lambda name: forms[name])
        parts.append(f"house style is kept in {display.percent(forms[best])} of the answers at best ({best})")
    noise = [(row.value, row.score.mean) for row in found.robustness or () if row.what == "distractors" and row.score]
    if len(noise) > 1:
        (few, first), (many, last) = noise[0], noise[-1]
        parts.append(f"the reader scores {first:.2f} with {few} distractors, {last:.2f} with {many}")
    return "; ".join(parts)


def retrieval(scores: Scores) -> str:
    """Recall of the index, updated in place or not."""
    parts = [
        f"{row.what} {row.value}: index recall {row.index_recall.mean:.3f}"
        for row in scores.scenarios.recall or ()
        if row.index_recall
    ]
    parts += [
        f"after {row.rounds} rounds of updates in place: recall {row.recall_in_place:.3f}, rebuilt "
        f"{row.recall_rebuilt:.3f} ({row.index})"
        for row in scores.scenarios.churn or ()
        if row.recall_in_place is not None
    ]
    return "; ".join(parts)


def slowdown(scores: Scores) -> str:
    """QLoRA's step time over LoRA's, where it was taken at most tokens."""
    points = [point for found in scores.slowdowns for point in found.points]
    if not points:
        return ""
    most = max(points, key=lambda point: point.tokens)
    ends = f" ({most.low:.2f}\N{EN DASH}{most.high:.2f})" if most.low is not None and most.high is not None else ""
    return f"{most.ratio:.2f}{ends} times LoRA's time at {most.tokens:,} tokens a step"
