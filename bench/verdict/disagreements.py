"""The questions that tell systems apart: who got each right, and where the others went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from bench.core.vocabulary import JSON, Record
from bench.metrics import text
from bench.scoring.grade import Column

MOST = 40


def outcome(r: Record, value: float | None, abstain: Sequence[str]) -> str:
    """`right`; `failed`; `abstained`; `should have abstained`; `not retrieved`, `partly retrieved` (none or not all of the
    gold passages were shown); `misread` (all were); or `wrong`, of a system that shows no passages."""
    if r.answer.error:
        return "failed"
    if value is not None and value >= 1.0:
        return "right"
    if r.answers is not None and not r.answers:
        return "should have abstained"
    if text.abstains(r.answer.text, abstain):
        return "abstained"
    if r.answer.hits is None:
        return "wrong"
    gold, shown = set(r.gold), {h.passage_id for h in r.answer.held}
    return "misread" if gold <= shown else "partly retrieved" if gold & shown else "not retrieved"


def disagreements(
    records: Mapping[str, Sequence[Record]],
    columns: Mapping[str, Mapping[str, Column]],
    metric: str,
    abstain: Sequence[str],
) -> list[JSON]:
    """The questions on which systems differ most, strata in turn: {question, stratum, outcomes: system -> outcome}.

    `records` are those of each system's first seed; the values are of that seed too, where each seed has them.
    """
    values: dict[str, dict[str, float]] = {
        n: dict(zip(c[metric].questions, c[metric].values[0].tolist(), strict=True))
        for n, c in columns.items()
        if metric in c
    }
    found: dict[str, dict[str, str]] = {}
    stratum: dict[str, str] = {}
    for name, rows in records.items():
        for r in rows:
            stratum[r.question] = r.stratum
            found.setdefault(r.question, {})[name] = outcome(r, values.get(name, {}).get(r.question), abstain)

    def split(question: str) -> int:
        right = sum(o == "right" for o in found[question].values())
        return min(right, len(found[question]) - right)

    by_stratum: dict[str, list[str]] = {}
    for q in sorted(found, key=lambda q: -split(q)):
        by_stratum.setdefault(stratum[q], []).append(q)
    chosen: list[str] = []
    for place in range(MOST):
        chosen += [qs[place] for qs in by_stratum.values() if place < len(qs) and (split(qs[place]) or place == 0)]
    return [{"question": q, "stratum": stratum[q], "outcomes": found[q]} for q in chosen[:MOST]]


def outcomes(
    records: Mapping[str, Sequence[Record]],
    columns: Mapping[str, Mapping[str, Column]],
    metric: str,
    abstain: Sequence[str],
) -> dict[str, dict[str, int]]:
    """system -> outcome -> how often, over all questions of its first seed."""
    told: dict[str, dict[str, int]] = {}
    for name, rows in records.items():
        column = columns[name].get(metric)
        values = dict(zip(column.questions, column.values[0].tolist(), strict=True)) if column else {}
        told[name] = dict(Counter(outcome(r, values.get(r.question), abstain) for r in rows))
    return told
