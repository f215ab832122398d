"""The world after the update, for whoever is built on it anew: corpus, training pairs, and what the update changes."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from bench.native import Task
from bench.types import Example

CHANGED, UNCHANGED = "changed", "unchanged"  # strata of the questions asked


def renewed(task: Task) -> Task:
    """The task as it is once the corpus was updated and the training pairs follow it; nothing is left to update.

    Its test split is what the update changes, with the new answers, and as much that it leaves alone.
    """
    changed, kept = asked(task)
    test = [replace(e, answers=e.updated, updated=(), stratum=CHANGED) for e in changed]
    test += [replace(e, stratum=UNCHANGED) for e in kept]
    pages = {p.id: p.text for p in task.corpus}, {p.id: p.text for p in task.updates}
    return replace(
        task, corpus=task.updated.corpus, updates=(), test=tuple(test), train=tuple(rewritten(task.train, *pages)),
        dev=tuple(rewritten(task.dev, *pages)),
    )  # fmt: skip


def asked(task: Task) -> tuple[list[Example], list[Example]]:
    """The test questions that the updates change, and as many whose gold passages they leave alone."""
    changed = [e for e in task.test if e.updated]
    moved = {p.id for p in task.updates}
    kept = [e for e in task.test if e.answers and not e.updated and e.question.gold and not moved & {*e.question.gold}]
    random.Random("unchanged").shuffle(kept)
    return changed, kept[: len(changed)]


def rewritten(pairs: Sequence[Example], before: Mapping[str, str], after: Mapping[str, str]) -> list[Example]:
    """The pairs with each answer that stands in a passage that changed replaced by what now stands in its place.

    An answer that the passage does not hold in its words, such as a composed one, stays; a person would write it anew.
    """
    found = []
    for e in pairs:
        moved = [(before[g], after[g]) for g in e.question.gold if g in before and g in after]
        answers = tuple(next((n for o, w in moved if (n := carried(a, o, w)) is not None), a) for a in e.answers or ())
        found.append(replace(e, answers=answers if e.answers is not None else None))
    return found


def carried(answer: str, old: str, new: str) -> str | None:
    """What stands in `new` where `answer` stands in `old`; None where it does not, or was taken away."""
    a, (before, _), (after, places) = _words(answer)[0], _words(old), _words(new)
    start = next((i for i in range(len(before) - len(a) + 1) if a and before[i : i + len(a)] == a), None)
    if start is None:
        return None
    first = last = None
    for _, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        same = i2 - i1 == j2 - j1
        if i1 <= start < i2:
            first = j1 + start - i1 if same else j1
        if i1 < start + len(a) <= i2:
            last = j1 + start + len(a) - i1 if same else j2
    return (
        new[places[first][0] : places[last - 1][1]] if first is not None and last is not None and first < last else None
    )


def _words(text: str) -> tuple[list[str], list[tuple[int, int]]]:
    """Words and signs in lower case, and where each stands."""
    found = list(re.finditer(r"\w+(?:[.,]\d+)*|[^\w\s]", text))
    return [m[0].lower() for m in found], [m.span() for m in found]
