"""Whether an answer stands on the passages shown, without a judge. Pure functions; None where it does not apply."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from bench.core.normalisation import normalise
from bench.core.vocabulary import Hit
from bench.metrics.text import contains

UNTOLD = ("yes", "no", "true", "false")  # answers that no passage is told by
BLIND = {  # what counting words cannot tell, for the page
    "negated": "a negated fact shares all but one word with the fact",
    "paraphrase": "a true statement in other words shares few words",
}
_ONE = r"(?:(?:doc|document|passage|source|context|chunk|ref|reference)s?\.?\s*)?#?\d+"
# how an answer cites the passages of some numbers: [1], [1, 2], [1-3], [Doc 1], [^1], and the brackets of East Asia
MARK = re.compile(
    rf"(?i:(?:\[\^?|\u3010)\s*({_ONE}(?:\s*(?:[,;&\u2013-]|and)\s*{_ONE})*)\s*(?:\u2020[^\]\u3011]*)?[\]\u3011])"
)
MARKED = re.compile(rf"\s*{MARK.pattern}")
_RANGE = re.compile(r"(\d+)(?:\s*[\u2013-]\s*(\d+))?")
MANY = 99  # passages, beyond which a number names none: [2015] is a year
LONGEST = 100  # passages that a range of marks may name


def k_precision(answer: str, passages: Sequence[str], language: str = "en") -> float | None:
    """Share of the answer's tokens found in the passages (Adlakha et al. 2307.16877); None for an empty answer."""
    said = normalise(MARK.sub(" ", answer), language).split()
    known = [_words(passage, language) for passage in passages]
    return sum(any(token in words for words in known) for token in said) / len(said) if said else None


@lru_cache(1 << 14)  # a passage is shown with many answers
def _words(passage: str, language: str) -> frozenset[str]:
    return frozenset(normalise(passage, language).split())


def marks(text: str) -> list[int]:
    """The numbers of the passages that a text cites, each once."""
    found: dict[int, None] = {}
    for mark in MARK.findall(text):
        for first, last in _RANGE.findall(mark):
            found.update(dict.fromkeys(range(int(first), min(int(last or first), int(first) + LONGEST) + 1)))
    return list(found)


def without_marks(answer: str, shown: int) -> str:
    """The answer without the marks that cite passages. Several numbers in one bracket are a mark where so many passages
    were shown, and else may be an interval; what is all of an answer is no mark."""

    def removed(mark: re.Match[str]) -> str:
        numbers = marks(mark[0])
        far = len(numbers) > 1 or numbers[0] > max(shown, MANY)  # a year, an interval
        return mark[0] if far and not set(numbers) <= set(range(1, shown + 1)) else ""

    return MARKED.sub(removed, answer).strip() or answer


def cited(answer: str, hits: Sequence[Hit], references: Sequence[str] = (), language: str = "en") -> list[str]:
    """Ids of the passages that the answer rests on: those it marks as [n], else those that contain it, or contain a
    reference that the answer states. A yes or a no without a mark rests on none: such words stand anywhere."""
    return _cited(answer, tuple([(h.passage_id, h.text) for h in hits]), tuple(references), language)


@lru_cache(64)  # precision and recall are asked for one after the other
def _cited(answer: str, shown: tuple[tuple[str, str], ...], references: tuple[str, ...], language: str) -> list[str]:
    numbers = marks(answer)
    if numbers:
        return list(dict.fromkeys(shown[n - 1][0] for n in numbers if 0 < n <= len(shown)))
    if normalise(answer, language) in UNTOLD:
        return []
    stated = [answer, *(reference for reference in references if contains(answer, [reference], language))]
    return list(dict.fromkeys(ident for ident, text in shown if contains(text, stated, language)))


def citation(
    answer: str, hits: Sequence[Hit], gold: Sequence[str], references: Sequence[str] = (), language: str = "en"
) -> tuple[float | None, float]:
    """(share of the cited passages that are gold, share of the gold passages that are cited).

    It compares passages, not statements: whether a passage supports what the answer says of it, which ALCE (Gao et al.
    2305.14627) asks of an entailment model, it does not tell. The first is None where nothing is cited.
    """
    found = cited(answer, hits, references, language)
    wanted = set(gold)
    right = len(set(found) & wanted)
    return (right / len(found) if found else None), right / len(wanted)
