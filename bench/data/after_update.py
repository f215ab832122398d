"""The world after the update, for whoever is built on it anew: corpus, training pairs, and what the update changes."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from bench.core.vocabulary import Example
from bench.data.task import Task

CHANGED, UNCHANGED = "changed", "unchanged"  # strata of the questions asked


def renewed(task: Task) -> Task:
    """The task as it is once the corpus was updated and the training pairs follow it; nothing is left to update.

    Its test split is what the update changes, with the new answers, and as much that it leaves alone.
    """
    changed, kept = asked(task)
    test = [replace(e, answers=e.updated, updated=(), withdrawn=False, stratum=CHANGED) for e in changed]
    test += [replace(e, stratum=UNCHANGED) for e in kept]
    after = {p.id: p.text for p in task.updates}
    before = {p.id: p.text for p in task.corpus if p.id in after}
    return replace(
        task,
        corpus=task.updated.corpus,
        updates=(),
        test=tuple(test),
        train=tuple(rewritten(task.train, before, after)),
        dev=tuple(rewritten(task.dev, before, after)),
        paraphrases=tuple(p for p in task.paraphrases if p.group not in after),
    )


def asked(task: Task) -> tuple[list[Example], list[Example]]:
    """The test questions that the updates change, and as many whose gold passages they leave alone."""
    changed = [e for e in task.test if e.changes]
    moved = {p.id for p in task.updates}
    kept = [e for e in task.test if e.answers and not e.changes and e.question.gold and not moved & {*e.question.gold}]
    random.Random("unchanged").shuffle(kept)
    return changed, kept[: len(changed)]


def rewritten(pairs: Sequence[Example], before: Mapping[str, str], after: Mapping[str, str]) -> list[Example]:
    """The pairs whose gold passages stayed, and those whose answer can be carried over to the new text.

    What cannot be carried, such as a composed answer, a choice, or a word that stands in several places, is left out:
    somebody would write it anew.
    """
    found = []
    for pair in pairs:
        moved = [(before[g], after[g]) for g in pair.question.gold if g in before and g in after]
        if not moved or not pair.answers:
            found.append(pair)
        elif not pair.question.choices:
            new = [{n for o, w in moved if (n := carried(a, o, w)) is not None} for a in pair.answers]
            if all(len(n) == 1 for n in new):
                found.append(replace(pair, answers=tuple(n.pop() for n in new)))
    return found


def carried(answer: str, old: str, new: str) -> str | None:
    """What stands in `new` where `answer` stands in `old`.

    None where it does not stand there, was taken away, or stands in several places that became different things.
    """
    words, (before, _), (after, spans) = _words(answer)[0], _words(old), _words(new)
    turns = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    found = set()
    for start in (i for i in range(len(before) - len(words) + 1) if words and before[i : i + len(words)] == words):
        first, last = _mapped(turns, start, end=False), _mapped(turns, start + len(words), end=True)
        taken = first is None or last is None or first >= last
        found.add(None if taken else new[spans[first or 0][0] : spans[(last or 0) - 1][1]])
    return found.pop() if len(found) == 1 else None


def _mapped(turns: Sequence[tuple[str, int, int, int, int]], boundary: int, *, end: bool) -> int | None:
    """A boundary between words of the old text, in the new one: of the word after it, or with `end` before it. None
    within words that became more or fewer, of which nobody knows which is which."""
    for _, i1, i2, j1, j2 in turns:
        if (i1 < boundary <= i2) if end else (i1 <= boundary < i2):
            if i2 - i1 == j2 - j1:
                return j1 + boundary - i1
            return (j2 if boundary == i2 else None) if end else (j1 if boundary == i1 else None)
    return None


def _words(text: str) -> tuple[list[str], list[tuple[int, int]]]:
    """Words and signs in lower case, and where each stands."""
    found = list(re.finditer(r"\w+(?:[.,]\d+)*|[^\w\s]", text))
    return [m[0].lower() for m in found], [m.span() for m in found]
