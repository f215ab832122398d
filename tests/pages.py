"""Reads the pages of a fictional world back, statement by statement."""

from __future__ import annotations

import re
from functools import cache

from bench.core.vocabulary import Passage
from bench.world.language import KINDS, STATEMENTS

STOP = {".": r"\.(?= |$)", "|": r" \|$"}  # what ends a value: its sentence, its cell, else its line


@cache
def facts_of(page: Passage) -> dict[str, str]:
    """What a page states, read from its sentences, list and table: attribute -> value."""
    kind = kind_of(page)
    subject = f"{KINDS[kind].lead} {page.title}".lower()
    found = (m for pattern in patterns(kind) for m in pattern.finditer(page.text) if m["subject"].lower() == subject)
    return {a: m["value"] for m in found for a in asked_about(page, m["noun"])}


@cache
def patterns(kind: str) -> list[re.Pattern[str]]:
    """Each statement on a kind as a pattern."""
    nouns = "|".join(n for x in KINDS[kind].attributes.values() for n in x.nouns)
    parts = {"noun": f"(?P<noun>(?i:{nouns}))", "subject": rf"(?P<subject>(?i:{KINDS[kind].lead}) [\w-]+(?: \d+)?)"}
    return [
        re.compile(
            re.sub(r"\\{(\w+)\\}", lambda m: parts[m[1]], re.escape(t[: t.index("{value}")]))
            + f"(?P<value>[^.|\n]+?){STOP.get(t[-1], '$')}",
            re.MULTILINE,
        )
        for t in STATEMENTS
    ]


def kind_of(page: Passage) -> str:
    """The kind that a page's opening names."""
    opening = page.text.partition(".")[0]
    return next(k for k, x in KINDS.items() if opening.endswith(f" {x.lead} {page.title}"))


def asked_about(page: Passage, question: str) -> list[str]:
    """Attributes that a question names."""
    return [a for a, x in KINDS[kind_of(page)].attributes.items() if any(n in question.lower() for n in x.nouns)]
