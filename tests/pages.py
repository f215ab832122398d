"""Reads the pages of a fictional world back, sentence by sentence: a second statement of what the generator means."""

from __future__ import annotations

import itertools
import re
from functools import cache

from bench.core.vocabulary import Passage
from bench.world.language import KINDS


@cache
def facts_of(page: Passage) -> dict[str, str]:
    """What a page states, read from its sentences: noun -> value."""
    found: dict[str, str] = {}
    kind = kind_of(page)
    subject = f"{KINDS[kind].lead} {page.title}"
    for sentence in page.text.split(". ")[1:]:
        for a, b in itertools.chain.from_iterable([(a, n) for n in x.nouns] for a, x in KINDS[kind].attributes.items()):
            rest = re.fullmatch(rf"(?i).*?\b{b}(?: of {subject})?(?: is| we list)? (.+?)\.?", sentence)
            if rest and subject.lower() in sentence.lower() and not rest[1].lower().startswith(("of ", "is ", "we ")):
                found[a] = rest[1]
    return found


def kind_of(page: Passage) -> str:
    return next(k for k, x in KINDS.items() if f" {x.lead} {page.title}." in f" {page.text}")


def asked_about(page: Passage, question: str) -> list[str]:
    """Attributes that a question names."""
    return [a for a, x in KINDS[kind_of(page)].attributes.items() if any(n in question.lower() for n in x.nouns)]
