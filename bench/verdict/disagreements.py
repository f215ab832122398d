"""The questions that tell systems apart: who got each right, and where the others went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from bench.core.vocabulary import Record
from bench.metrics.answer import silent
from bench.scoring.grade import Column
from bench.scoring.schema import Disagreement

MOST = 1000
OUTCOMES = {  # what became of an answer, in the order of the page
    "right": "as good as a reference answer",
    "right without support": "as good as a reference answer, and not all gold passages were shown",
    "misread": "all gold passages were shown, and the answer is another",
    "partly retrieved": "only some of the gold passages were shown",
    "not retrieved": "none of the gold passages was shown",
    "wrong": "another answer, from a system that shows no passages",
    "abstained": "no answer, where there is one",
    "should have abstained": "an answer, where there is none",
    "empty": "nothing was said",
    "failed": "the question ended in an error",
}


RIGHT = ("right", "right without support")


def outcome(record: Record, value: float | None, abstain: Sequence[str]) -> str:
    """What became of a question: one of OUTCOMES."""
    if record.answer.error:
        return "failed"
    if value is not None and value >= 1.0:
        return "right" if _is_supported(record) else "right without support"
    if record.answers == ():
        return "should have abstained"
    if silent(record.answer, abstain):
        return "abstained"
    if not record.answer.text.strip():
        return "empty"
    if record.answer.hits is None:
        return "wrong"
    gold, shown = _gold_and_shown(record)
    if gold <= shown:
        return "misread"
    return "partly retrieved" if gold & shown else "not retrieved"


def _gold_and_shown(record: Record) -> tuple[set[str], set[str]]:
    return set(record.gold), {h.passage_id for h in record.answer.held}


def _is_supported(record: Record) -> bool:
    """Whether all gold passages were shown, of a system that shows any; abstaining needs none."""
    gold, shown = _gold_and_shown(record)
    return record.answer.hits is None or record.answers == () or gold <= shown


def outcomes_of(records: Sequence[Record], column: Column | None, abstain: Sequence[str]) -> dict[str, str]:
    """question -> outcome, of a system's first seed; `column` is of the measure that leads, where it applies."""
    values = dict(zip(column.questions, column.values[0].tolist(), strict=True)) if column else {}
    return {r.question: outcome(r, values.get(r.question), abstain) for r in records}


def counted(outcomes: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, int]]:
    """system -> outcome -> how often, over all questions."""
    return {name: dict(Counter(by_question.values())) for name, by_question in outcomes.items()}


def disagreements(outcomes: Mapping[str, Mapping[str, str]], strata: Mapping[str, str]) -> tuple[Disagreement, ...]:
    """Every question up to MOST, those first on which systems differ most, strata in turn.

    `strata`: question -> stratum.
    """
    found: dict[str, dict[str, str]] = {}
    for name, by_question in outcomes.items():
        for question, what in by_question.items():
            found.setdefault(question, {})[name] = what

    def minority(question: str) -> int:
        """How many systems are on the smaller side."""
        right = sum(what in RIGHT for what in found[question].values())
        return min(right, len(found[question]) - right)

    by_stratum: dict[str, list[str]] = {}
    for question in sorted(found, key=lambda q: -minority(q)):
        by_stratum.setdefault(strata[question], []).append(question)
    chosen: list[str] = []
    for rank in range(MOST):
        chosen += [questions[rank] for questions in by_stratum.values() if rank < len(questions)]
    return tuple(Disagreement(question=q, stratum=strata[q], outcomes=found[q]) for q in chosen[:MOST])
