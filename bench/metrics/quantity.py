"""Numbers in answers against numbers in references, by value: separators, signs, scales, percent, currencies and units.

Pure functions. Where an answer is a sentence, each of its numbers is looked at that the question does not give.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from bench.core.normalisation import DASHES

TOLERANCE = 0.01  # relative: 1.58 billion is 1,577 million
SCALES = {
    "hundred": 1e2,
    "thousand": 1e3,
    "k": 1e3,
    "million": 1e6,
    "millions": 1e6,
    "mn": 1e6,
    "mm": 1e6,
    "billion": 1e9,
    "billions": 1e9,
    "bn": 1e9,
    "trillion": 1e12,
    "tn": 1e12,
}
LETTERS = {"m": 1e6, "b": 1e9}
CURRENCIES = {"$": "usd", "us$": "usd", "usd": "usd", "dollars": "usd", "dollar": "usd", "\u20ac": "eur", "eur": "eur"}
CURRENCIES |= {
    "euros": "eur",
    "euro": "eur",
    "\u00a3": "gbp",
    "gbp": "gbp",
    "pounds": "gbp",
    "\u00a5": "jpy",
    "yen": "jpy",
}
PERCENT = {"%", "percent", "percentage", "pct"}
NO_UNIT = {
    *[
        "a",
        "an",
        "and",
        "as",
        "at",
        "but",
        "by",
        "for",
        "from",
        "in",
        "is",
        "it",
        "of",
        "on",
        "or",
        "per",
        "than",
        "that",
        "the",
        "this",
        "to",
        "was",
        "were",
        "which",
        "with",
        "year",
        "years",
    ]
}
_NUMBER = re.compile(
    r"(?P<open>\()?(?P<before>us\$|[$\u20ac\u00a3\u00a5]|\b(?:usd|eur|gbp)\b)?\s?"
    r"(?P<sign>(?<![\w)])[-+])?\s?(?P<before2>[$\u20ac\u00a3\u00a5])?"
    r"(?P<digits>(?<![\w.])\d{1,3}(?:[,' ]\d{3})+(?:\.\d+)?(?!\d)|(?<![\w.,])\d+(?:\.\d+)?|(?<![\w.])\.\d+)"
    r"(?P<after>(?:\s?%|\s?-?\s?[^\W\d_]+\.?(?:/[^\W\d_]+)?){0,2})(?P<close>\))?",
    re.IGNORECASE,
)
_IN = re.compile(r"\bin (?:usd |us\$ |\$ ?|eur |euros? )?(thousand|million|billion)s?\b", re.IGNORECASE)


@dataclass(frozen=True)
class Quantity:
    """A value, whether it was said in percent, and its currency or unit where one was said. `scaled`: its scale, such
    as million, was said with it."""

    value: float
    percent: bool
    unit: str
    scaled: bool


@lru_cache(4096)
def quantities(text: str) -> tuple[Quantity, ...]:
    """Every number in a text, in order."""
    return tuple(_quantity(match) for match in _NUMBER.finditer(text.translate(DASHES)))


def _quantity(match: re.Match[str]) -> Quantity:
    value = float(re.sub(r"[,' ]", "", match["digits"]))
    words = [word.strip(".-") for word in re.findall(r"%|[^\W\d_]+(?:/[^\W\d_]+)?", match["after"].lower())]
    factor = math.prod([SCALES[words.pop(0)]]) if words and words[0] in SCALES else None
    before = (match["before"] or match["before2"] or "").lower().strip()
    letter = re.match(r"\s?([MmBb])\b", match["after"])  # $12.5m, 12.5M: of money, or a capital beside the digits
    if factor is None and letter and (before in CURRENCIES or match["after"][:1] in "MB"):
        factor = LETTERS[letter[1].lower()]
        words.pop(0)
    bracketed = match["open"] and match["close"]  # as accountants write what is below zero
    first = words[0] if words else ""
    unit = CURRENCIES.get(before) or CURRENCIES.get(first) or ("" if first in NO_UNIT | PERCENT else first)
    negative = match["sign"] == "-" or bool(bracketed)
    return Quantity((-1 if negative else 1) * value * (factor or 1), first in PERCENT, unit, factor is not None)


def numeric(answer: str, references: Sequence[str], question: str = "") -> float | None:
    """1 where the answer says a reference's value within TOLERANCE, else 0; None where a reference is no number. Counts
    and years, whole numbers without a unit, must be the same.

    A sign, a currency or a unit that both say must agree. A question that asks "in millions" scales what says no scale.
    """
    known = [_of_reference(reference) for reference in references]
    if not known or any(quantity is None for quantity in known):
        return None
    given = {(q.value, q.percent) for q in quantities(question)}
    said = [q for q in quantities(answer) if (q.value, q.percent) not in given or len(quantities(answer)) == 1]
    asked = _IN.search(question)
    scale = SCALES[asked[1].lower()] if asked else 1.0
    return float(any(_same(mine, its, scale) for mine in said for its in known if its))


@lru_cache(4096)
def _of_reference(text: str) -> Quantity | None:
    """The number that a reference is: it and at most three words."""
    found = quantities(text)
    return found[0] if len(found) == 1 and len(re.findall(r"[^\W\d_]+", text)) <= 3 else None


def _is_count(quantity: Quantity) -> bool:
    """Whether it is a whole number without a unit, a scale or per cent: a year, a number of things."""
    bare = not quantity.unit and not quantity.scaled and not quantity.percent
    return bare and float(quantity.value).is_integer()


def _same(mine: Quantity, its: Quantity, scale: float) -> bool:
    tolerance = 0.0 if _is_count(mine) and _is_count(its) else TOLERANCE
    if mine.unit and its.unit and not _alike(mine.unit, its.unit):
        return False
    values = {mine.value} if mine.scaled else {mine.value, mine.value * scale}
    wanted = {its.value} if its.scaled else {its.value, its.value * scale}
    if mine.percent != its.percent:  # 0.123 is 12.3%, where only one of them says percent
        values = {value / 100 if mine.percent else value for value in values} | values
        wanted = {value / 100 if its.percent else value for value in wanted} | wanted
    return any(math.isclose(v, w, rel_tol=tolerance, abs_tol=1e-12) for v in values for w in wanted)


def _alike(a: str, b: str) -> bool:
    """Whether two units are one: the same, a plural, or one the beginning of the other (s, sec, seconds)."""
    short, long = sorted((a.rstrip("s") or a, b.rstrip("s") or b), key=len)
    return long.startswith(short)
