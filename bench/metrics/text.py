"""Answers against references: SQuAD EM and F1, containment, ROUGE-L. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import regex
from rapidfuzz.distance import LCSseq

from bench.core.normalisation import DASHES, normalise
from bench.metrics.quantity import plain


def squad(answer: str, references: Sequence[str], language: str = "en") -> tuple[float, float]:
    """(exact match, F1) in 0..1, the best over the references (Rajpurkar et al. 1606.05250).

    As in evaluate-v2.0.py of SQuAD, where either side has no words the F1 is 1 if both have none, else 0.
    """
    said = normalise(answer, language)
    known = [normalise(reference, language) for reference in references]
    return (1.0, 1.0) if said in known else (0.0, max(_f1(said.split(), k.split()) for k in known))


@lru_cache(64)  # several measures ask of the same answer, one after the other
def matched(answer: str, references: tuple[str, ...], language: str = "en") -> tuple[float, float]:
    """SQuAD's scores, but a reference that its normalisation erases, such as the letter A, is compared as it stands."""
    known = [reference for reference in references if normalise(reference, language)]
    erased = {_bare(reference) for reference in references if not normalise(reference, language)}
    if _bare(answer) in erased:
        return 1.0, 1.0
    return squad(answer, known, language) if known else (0.0, 0.0)


def _bare(text: str) -> str:
    return text.strip().strip(".,:;!?()[]\"'").lower()


def _f1(said: Sequence[str], known: Sequence[str]) -> float:
    if set(said).isdisjoint(known):
        return float(said == known)  # where neither has words they are equal
    same = (Counter(said) & Counter(known)).total()
    return 2 * same / (len(said) + len(known))


_TOKEN = regex.compile(
    r"(?<![\w.])[-+]?\d+(?:,\d{3})*(?:\.\d+)?|[\p{L}\p{M}]+(?:\+\+|#)?|\d+|[%\u00b0\u20ac$\u00a3/^]"
    r"|[<>\u2264\u2265](?=\s?[-+.]?\d)"  # a bound
)


def strict(answer: str, references: Sequence[str], language: str = "en") -> float:
    """1 where the answer is a reference in its words, numbers with their signs, and units; else 0.

    Unlike SQuAD's exact match, 1.5 is not 15, -40 is not 40 and <5 is not 5. Numbers are compared by value: 1,200.0 is
    1200, or 1.200,0 in a language with a decimal comma.
    """
    said = _exact(plain(answer, language))
    return float(
        any(
            said == known if (known := _exact(plain(reference, language))) else _bare(answer) == _bare(reference) != ""
            for reference in references
        )
    )


ABOUT = ("about", "around", "approximately", "roughly", "nearly", "some", "usd", "eur", "gbp", "us")


@lru_cache(1024)
def _exact(text: str) -> tuple[str | float, ...]:
    """Words in lower case without articles, numbers by value, and signs of units. What stands last is no article: the A
    of vitamin A."""
    whole = unicodedata.normalize("NFC", text).translate(DASHES).lower()
    tokens = _TOKEN.findall(whole.replace("<=", "\u2264").replace(">=", "\u2265"))
    kept = [t for n, t in enumerate(tokens, 1) if t not in ("a", "an", "the") or n == len(tokens)]
    return tuple(float(t.replace(",", "")) if t[-1].isdigit() else t for t in kept)


def is_numeric(reference: str) -> bool:
    """Whether a reference is a number, with or without a unit. A name with a number, such as Article 4, is none."""
    tokens = _exact(reference)
    if not 0 < len(tokens) <= 4:
        return False
    first = next((token for token in tokens if isinstance(token, float) or token.isalpha()), "")
    return isinstance(first, float) or (first in ABOUT and any(isinstance(token, float) for token in tokens[1:2]))


def rouge_l(answer: str, references: Sequence[str], language: str = "en") -> float:
    """ROUGE-L F-measure in 0..1, the best over the references (Lin 2004), without stemming.

    Words of English are runs of ASCII letters and digits in lower case, as in Google's rouge_score; those of other
    languages are what their normalisation leaves.
    """
    said = _words(answer, language)
    return max(_lcs_f1(said, _words(reference, language)) for reference in references)


def _words(text: str, language: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower()) if language == "en" else normalise(text, language).split()


def _lcs_f1(said: Sequence[str], known: Sequence[str]) -> float:
    return 2 * LCSseq.similarity(said, known) / (len(said) + len(known)) if said and known else 0.0


def contains(answer: str, references: Sequence[str], language: str = "en") -> float:
    """1 where a normalised reference stands in the normalised answer as whole words."""
    said = f" {normalise(answer, language)} "
    return float(any(f" {known} " in said for r in references if (known := normalise(r, language))))


LONGEST_S = 1.0  # of one pattern on one answer
_ENDLESS: set[str] = set()  # patterns that took longer


def matches(answer: str, form: str) -> bool:
    """Whether the whole answer has the form that a regular expression gives. Raises TimeoutError for a pattern that
    takes too long, as it does for every later answer: some take years."""
    if form in _ENDLESS:
        raise TimeoutError(form)
    try:
        return regex.fullmatch(form, answer.strip(), regex.DOTALL, timeout=LONGEST_S) is not None
    except TimeoutError:
        _ENDLESS.add(form)
        raise


def holds(answer: str, facts: Sequence[str], language: str = "en") -> float:
    """Share of the facts that stand in the answer, whatever its form."""
    return sum(contains(answer, [f], language) for f in facts) / len(facts) if facts else 0.0


STUCK = 6  # times that a word stands at the end of an answer before it counts as stuck


def is_stuck(text: str) -> bool:
    """Whether an answer repeats one word to its end, as a model that decodes greedily may do."""
    last = text.split()[-STUCK:]
    return len(last) == STUCK and len(set(last)) == 1
