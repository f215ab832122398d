"""Measures of one answered question: `(record, abstain) -> value`, None where a measure does not apply.

`abstain` are the phrases that abstain. A failed question is wrong in every measure of its rightness. A question without
a known reference (`answers` is None) is not scored; one whose right answer is to abstain has no answers (`()`).
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.core.normalisation import normalise
from bench.core.vocabulary import Answer, Record
from bench.metrics import grounding, quantity, text
from bench.metrics.abstention import abstains
from bench.metrics.label import label

Phrases = Sequence[str]


def said(answer: Answer) -> str:
    """What was said, without the marks that cite the passages shown; nothing where the question failed."""
    if answer.error:
        return ""
    cites = answer.hits is not None and ("[" in answer.text or "\u3010" in answer.text)
    return grounding.without_marks(answer.text, len(answer.hits or ())) if cites else answer.text


def silent(answer: Answer, abstain: Phrases) -> bool:
    """Whether the answer abstains, by its words or as an entailment model reads them. A failure is no abstention."""
    return not answer.error and (answer.abstained or abstains(answer.text, abstain))


def _says_nothing(answer: Answer, language: str, abstain: Phrases) -> bool:
    """Whether it abstains, or is empty once normalised: SQuAD v2 takes that for no answer."""
    return silent(answer, abstain) or (not answer.error and not normalise(answer.text, language))


def _against(record: Record, answer: Answer, references: tuple[str, ...]) -> tuple[float, float]:
    """SQuAD's (exact match, F1) of an answer; of what it says to the letter, where a reference has brackets itself."""
    if answer.error:
        return 0.0, 0.0
    found = [text.matched(written, references, record.language) for written in _written(answer)]
    return max(em for em, _ in found), max(f1 for _, f1 in found)


def _written(answer: Answer) -> dict[str, None]:
    """The answer without its marks and to the letter, once where these are one."""
    return dict.fromkeys((said(answer), answer.text))


def em(record: Record, abstain: Phrases) -> float | None:
    """Exact match; of an unanswerable question, whether nothing is said."""
    if record.answers is None:
        return None
    if not record.answers:
        return float(_says_nothing(record.answer, record.language, abstain))
    return _against(record, record.answer, record.answers)[0]


def em_strict(record: Record, abstain: Phrases) -> float | None:
    """Exact match that keeps numbers, signs and units; of an unanswerable question, whether it abstains."""
    if record.answers is None:
        return None
    if not record.answers:
        return float(silent(record.answer, abstain))
    if record.answer.error:
        return 0.0
    return max(text.strict(written, record.answers, record.language) for written in _written(record.answer))


def numeric(record: Record, abstain: Phrases) -> float | None:
    """Whether a number of the answer is that of a reference, where references are numbers; of an unanswerable question,
    whether it abstains."""
    if not record.answers:
        return None if record.answers is None else float(silent(record.answer, abstain))
    return quantity.numeric(said(record.answer), record.answers, record.text, record.language)


def answerable_em(record: Record, abstain: Phrases) -> float | None:
    """Exact match of an answerable question."""
    return em(record, abstain) if record.answers else None


def f1(record: Record, abstain: Phrases) -> float | None:
    """Token F1; of an unanswerable question, whether nothing is said."""
    if record.answers is None:
        return None
    if not record.answers:
        return float(_says_nothing(record.answer, record.language, abstain))
    return _against(record, record.answer, record.answers)[1]


def contains(record: Record, abstain: Phrases) -> float | None:
    """Whether a reference stands in the answer."""
    if not record.answers:
        return None
    return 0.0 if record.answer.error else text.contains(said(record.answer), record.answers, record.language)


def rouge_l(record: Record, abstain: Phrases) -> float | None:
    """ROUGE-L against the references."""
    if not record.answers:
        return None
    return 0.0 if record.answer.error else text.rouge_l(said(record.answer), record.answers, record.language)


def label_accuracy(record: Record, abstain: Phrases) -> float | None:
    """Whether the choice that the answer names is a right one, where answers are a closed set."""
    if not record.answers or not record.choices:
        return None
    return float(not record.answer.error and label(said(record.answer), record.choices) in record.answers)


def form(record: Record, abstain: Phrases) -> float | None:
    """Whether the whole answer, with its citations or without them, is written in the house style, where one is asked
    for."""
    if not record.answers or not record.form:
        return None
    try:
        written = dict.fromkeys((record.answer.text, said(record.answer)))
        return float(not record.answer.error and any(text.matches(w, record.form) for w in written))
    except TimeoutError:
        return None


def content(record: Record, abstain: Phrases) -> float | None:
    """Share of the asked facts that stand in the answer, where a house style is asked for."""
    return text.holds(said(record.answer), record.facts, record.language) if record.answers and record.form else None


def before_em(record: Record, abstain: Phrases) -> float | None:
    """Exact match with the new fact, before the update of the corpus; of a withdrawn one, whether it abstains."""
    return _new_fact(record, record.answer, abstain)


def updated_em(record: Record, abstain: Phrases) -> float | None:
    """Exact match with the new fact, after the update; of a withdrawn one, whether it abstains."""
    return _new_fact(record, record.later, abstain)


def _new_fact(record: Record, answer: Answer | None, abstain: Phrases) -> float | None:
    if answer is None or record.later is None or record.answers is None:
        return None
    if record.withdrawn:
        return float(_says_nothing(answer, record.language, abstain))
    return text.matched(said(answer), record.updated, record.language)[0] if record.updated else None


def kept_em(record: Record, abstain: Phrases) -> float | None:
    """Exact match of a fact that the update leaves alone, after the update."""
    if record.later is None or not record.answers or record.updated or record.withdrawn:
        return None
    return text.matched(said(record.later), record.answers, record.language)[0]


def stale(record: Record, abstain: Phrases) -> float | None:
    """Whether the old fact is still said after the update."""
    right = updated_em(record, abstain)
    if record.later is None or not record.answers or right is None:
        return None
    return 0.0 if right else text.matched(said(record.later), record.answers, record.language)[0]


def abstains_rightly(record: Record, abstain: Phrases) -> float | None:
    """Whether it abstains where that is the right answer."""
    return float(silent(record.answer, abstain)) if record.answers == () else None


def abstains_wrongly(record: Record, abstain: Phrases) -> float | None:
    """Whether it abstains where there is an answer."""
    return float(silent(record.answer, abstain)) if record.answers else None


def _is_grounded(record: Record, abstain: Phrases) -> bool:
    """Whether there are passages and an answer to hold against them. An abstention rests on nothing."""
    answer = record.answer
    return answer.hits is not None and not answer.error and not silent(answer, abstain)


def k_precision(record: Record, abstain: Phrases) -> float | None:
    """Share of the answer's words that stand in the passages shown."""
    if not _is_grounded(record, abstain):
        return None
    return grounding.k_precision(record.answer.text, [h.text for h in record.answer.held], record.language)


def citation_precision(record: Record, abstain: Phrases) -> float | None:
    """Share of the cited passages that are gold; None where nothing is cited."""
    found = _citation(record, abstain)
    return found[0] if found else None


def citation_recall(record: Record, abstain: Phrases) -> float | None:
    """Share of the gold passages that are cited."""
    found = _citation(record, abstain)
    return found[1] if found else None


def _citation(record: Record, abstain: Phrases) -> tuple[float | None, float] | None:
    """(precision, recall) of what an answer cites; None where nothing is to be cited."""
    if not _is_grounded(record, abstain) or not record.gold:
        return None
    answer = record.answer
    if record.choices and not grounding.marks(answer.text):
        return None  # the words of a choice stand anywhere: it is not known what it rests on
    return grounding.citation(answer.text, answer.held, record.gold, record.answers or (), record.language)
