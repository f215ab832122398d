"""A dataset in a few lines, for whoever checks that it was read as it was meant."""

from __future__ import annotations

import random
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence

from bench.core.normalisation import length, unit
from bench.core.vocabulary import Example, Passage
from bench.data.task import Task

SHOWN = 3  # questions
WIDTH = 90  # characters of a text


def described(task: Task) -> Iterator[str]:
    """What was read: counts, lengths, three test questions with their answers and gold passages, and warnings."""
    lengths = [length(passage.text, task.language) for passage in task.corpus]
    yield f"Passages: {statistics.median(lengths):.0f} {unit(task.language)} (median), {max(lengths)} (longest)."
    yield f"Test questions: {_kinds(task.test)}."
    shown = random.Random("summary").sample(task.test, min(SHOWN, len(task.test)))
    known = _passages(task, {ident for example in shown for ident in example.question.gold})
    for example in shown:
        yield from _shown(example, [known[ident] for ident in example.question.gold])
    yield from (f"Note: {note}" for note in task.notes)
    yield from (f"Warning: {warning}" for warning in warnings(task))


def _passages(task: Task, wanted: Collection[str]) -> dict[str, Passage]:
    """id -> passage, of those that are wanted."""
    return {p.id: p for p in task.corpus if p.id in wanted} if wanted else {}


def warnings(task: Task) -> Iterator[str]:
    """What is rarely meant."""
    silent = sum(example.answers == () for example in task.test)
    if 2 * silent > len(task.test):
        yield (
            f"{silent} of {len(task.test)} test questions have no answer, so that abstaining is right for them. If "
            "that is not meant, check where the answers are read from; where no reference is known, write `null`."
        )
    unknown = sum(example.answers is None for example in task.test)
    if unknown == len(task.test):
        yield "no test question has a reference answer: only retrieval can be scored."
    spanned = [example for example in task.test if example.spans]
    known = _passages(task, {ident for e in spanned for ident in (*e.question.gold, *_marked(e))})
    marked = sum(_marks_another_place(example, known) for example in spanned)
    if marked:
        yield (
            f"the evidence of {marked} test questions holds none of their answers, and their gold passages do, in "
            "another place: check `spans`, by which recall is measured."
        )
    without = sum(bool(example.answers) and not example.question.gold for example in task.test)
    if without:
        yield f"{without} answerable test questions name no gold passage: recall is not measured for them."


def _marked(example: Example) -> set[str]:
    """The ids of the passages in which its evidence stands."""
    return {place.passage for span in example.spans for place in span}


def _marks_another_place(example: Example, known: Mapping[str, Passage]) -> bool:
    """Whether none of the evidence holds an answer of some length, and a gold passage does elsewhere."""
    places = [place for span in example.spans for place in span]
    answers = [a.casefold() for a in example.answers or () if len(a) > 3]
    marked = [known[p.passage].text[p.start : p.end].casefold() for p in places]
    gold = [known[ident].text.casefold() for ident in example.question.gold]
    held = any(answer in text for answer in answers for text in marked)
    return bool(places) and not held and any(answer in text for answer in answers for text in gold)


def _kinds(test: Sequence[Example]) -> str:
    counts = {
        "with answers": sum(bool(e.answers) for e in test),
        "without an answer (abstaining is right)": sum(e.answers == () for e in test),
        "without a known reference": sum(e.answers is None for e in test),
        "with a closed set of choices": sum(bool(e.question.choices) for e in test),
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def _shown(example: Example, gold: Sequence[Passage]) -> Iterator[str]:
    answers = " | ".join(example.answers or ()) or ("abstain" if example.answers is not None else "no reference")
    yield f"  {_cut(example.question.text)}"
    yield f"    answer: {_cut(answers)}"
    for passage in gold[:2]:
        yield f"    gold {passage.id}: {_cut(_evidence(example, passage))}"


def _evidence(example: Example, passage: Passage) -> str:
    """The evidence with what stands around it, or the beginning of the passage."""
    place = next((p for span in example.spans for p in span if p.passage == passage.id), None)
    start = max(0, place.start - WIDTH // 3) if place else 0
    return f"{'... ' if start else ''}{passage.text[start:]}"


def _cut(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= WIDTH else f"{plain[: WIDTH - 4]} ..."
