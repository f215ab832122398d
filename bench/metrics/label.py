"""The choice that an answer names, of a closed set: letters, words such as yes and no, or whole texts. Pure functions.

Tried in this order, and the first that decides does: the whole answer is a choice; the answer announces its choice
("the answer is B"); it starts with one ("B, because"); exactly one is named at all. What is named after "not" does
not count.
A letter counts only as a capital of its own, for "a" is an article and "I" a pronoun.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from functools import lru_cache

from bench.core.normalisation import AFTER_WORD, BEFORE_WORD, QUOTES

_ANNOUNCED = (
    r"(?:\b(?:final |correct |best |right )*(?:answer|choice|option|label|verdict|classification|prediction)"
    r"(?: would be| should be| must be| is|:| =)?|\\boxed|\bi (?:would )?(?:choose|pick|select|go with|say)"
    r"|\bmy answer is)"
    r"[\s:=*_`\"'(\[{]*(?:option |choice |letter )?[\s*_`\"'(\[{]*"
)
_BEFORE = rf"{BEFORE_WORD}(?<!-)"
_AFTER = rf"{AFTER_WORD}(?!-)"
_DENIED = (
    r"(?:\b(?:not|isn't|rather than|instead of|neither|nor|cannot be|exclude[sd]?|rules? out"
    r"|eliminate[sd]?|reject(?:s|ed)?|no reason to (?:say|answer|choose|pick)"
    r"|(?:do not|don't) (?:think|believe)(?: that)?(?: it(?:'s| is)| the answer is)?)|n't be)[\s*_`\"'(]*"
    r"(?:an? |the )?(?:option |choice )?$"
    r"|\b(?:nicht|kein(?:e[nmrs]?)?|niet|geen|no es|no est\u00e1|non \u00e8|n\u00e3o \u00e9|n'est pas|pas)\s+$"
    r"|(?:\u4e0d|\u4e0d\u662f|\u5e76\u975e|\u4e26\u975e|\u975e|\u6ca1\u6709|\u6c92\u6709)$"
)
_DENIED_AFTER = re.compile(
    r"[\s*_`\"')\]}]*(?:(?:is|are|was|were|would be|must be|seems|looks)(?: also| \w+ly)? "
    r"(?:wrong|incorrect|false|untrue|ruled out|excluded|not (?:also )?(?:the )?(?:correct|right|true|answer|valid)\b)"
    r"|(?:isn't|wasn't|can't be|cannot be) (?:the )?(?:correct|right|true|answer|valid)\b)",
    re.IGNORECASE,
)
_GOES_ON = r"(?:because|since|as|is|it|the|this|there|they)\b"  # after a choice that a sentence begins with
_WAIT = re.compile(r"\b(?:no wait|wait,|actually,|correction)", re.IGNORECASE)
_NAME = re.compile(r"\b(?!(?:Option|Choice|Answer|Letter|Label|Is|It|The|So|Thus|Hence)\b)[A-Z][a-z]+ $")  # Hepatitis B
_OUT_OF = re.compile(r"(?<=\d)\s*(?:/|out of)\s*\d+\b")  # a rating of 4 out of 5
DENIAL = 60  # characters before a choice in which it is denied
_EDGES = " \t\n.,:;!?*_`\"'()[]{}"
_MARK = re.compile(r"^\(?([A-Za-z0-9])[.):]\s+(.+)$", re.DOTALL)  # a choice that is a letter with its text


def label(answer: str, choices: Sequence[str]) -> str | None:
    """The choice that the answer names; None where it names none, or several without saying which it is."""
    return _label(answer, tuple(choices))


@lru_cache(4096)
def _label(answer: str, choices: tuple[str, ...]) -> str | None:
    said = answer.strip().translate(QUOTES)
    if all(choice.strip().isdigit() for choice in choices):
        said = _OUT_OF.sub("", said)
    bare = said.strip(_EDGES)
    for choice in choices:
        if bare.lower() in (form.strip(_EDGES).lower() for form in _forms(choice)):
            return choice
    named = _named(said, choices)
    if _is_list(said, named):
        return None
    if named and _WAIT.search(said):
        return named[-1][2]  # what it takes back does not count
    return _announced(said, choices, named) or _bracketed(said, choices) or _leading(said, named) or _only(said, named)


def _is_list(said: str, named: Sequence[Named]) -> bool:
    """Whether it names several choices as one as good as the other: "A or B", or all of them a line each."""
    return any(
        one[2] != other[2]
        and re.fullmatch(r"[\s*_`\"')\]}]*(?:or|and|/|and/or|,|\n)[\s*_`\"'(\[{]*(?:\n\s*)?", said[one[1] : other[0]])
        for one, other in itertools.pairwise(named)
    )


@lru_cache(1024)
def _forms(choice: str) -> tuple[str, ...]:
    """How a choice may be written: whole, and where it is a letter with a text, each of them."""
    marked = _MARK.match(choice.strip())
    return (choice.strip(), marked[1], marked[2].strip()) if marked else (choice.strip(),)


@lru_cache(1024)
def _pattern(form: str) -> str:
    """A form as a word of its own, in any case; a single letter in capitals only."""
    words = r"\s+".join(map(re.escape, form.strip(_EDGES).split()))
    ends = r"(?![.,]\d)" if form.strip(_EDGES)[-1:].isdigit() else ""  # 4.5 is no 4
    starts = r"(?<!\d[.,])" if form.strip(_EDGES)[:1].isdigit() else ""
    return f"{_BEFORE}{starts}{words.upper() if _is_letter(form) else f'(?i:{words})'}{_AFTER}{ends}"


def _is_letter(form: str) -> bool:
    return len(form) == 1 and form.isalpha()


Named = tuple[int, int, str]  # (start, end, choice)


def _named(said: str, choices: Sequence[str]) -> list[Named]:
    """Every choice that is named and not denied, the longest one at each place."""
    found = []
    for choice in choices:
        for form in _forms(choice):
            for match in re.finditer(_pattern(form), said):
                before = said[max(0, match.start() - DENIAL) : match.start()]
                if not re.search(_DENIED, before, re.IGNORECASE) and not _DENIED_AFTER.match(said, match.end()):
                    found.append((match.start(), match.end(), choice))
    longest, widest = [], (0, 0)
    for start, end, choice in sorted(found, key=lambda named: (named[0], -named[1])):
        if end > widest[1] or (start, end) == widest:  # inside no longer one
            longest.append((start, end, choice))
            widest = (start, end)
    return sorted(longest)


def _announced(said: str, choices: Sequence[str], named: Sequence[Named]) -> str | None:
    """The last choice that follows an announcement."""
    ends = [match.end() for match in re.finditer(_ANNOUNCED, said, re.IGNORECASE)]
    found = [(start, choice) for start, _, choice in named if start in ends]
    for end in ends:  # "the answer is b"
        letter = re.match(r"[a-z](?=$|[.,;:!)\]}\n*])", said[end:])
        found += [(end, choice) for choice in choices if letter and letter[0].upper() in _forms(choice)]
    return max(found)[1] if found else None


def _bracketed(said: str, choices: Sequence[str]) -> str | None:
    """The letter that the answer starts with in small, set off by a bracket: "b) Paris"."""
    letter = re.match(r"\(?([a-z])\)\s", said)
    return next((choice for choice in choices if letter and letter[1].upper() in _forms(choice)), None)


def _leading(said: str, named: Sequence[Named]) -> str | None:
    """The choice that the answer starts with, set off by a sign, by a line's end or by a word such as because."""
    skipped = len(said) - len(said.lstrip(_EDGES))
    for start, end, choice in named:
        rest = said[end:]
        if start == skipped and re.match(rf"\s*(?:$|[.,:;!?)\]}}*\n\u2013\u2014-]|(?i:{_GOES_ON}))", rest):
            return choice
    return None


def _only(said: str, named: Sequence[Named]) -> str | None:
    """The only choice that is named. A letter that begins a sentence as a word ("A pump", "I think") does not count."""
    found = {
        choice
        for start, end, choice in named
        if not (said[start:end] in ("A", "I") and re.match(r"[ '](?!or\b|and\b|is\b)\w", said[end:]))
        and not (_is_letter(said[start:end]) and (said[end : end + 1] == "'" or _NAME.search(said[:start])))
        and not (
            said[start:end].lower() == "no" and re.match(rf" (?!{_GOES_ON})\w", said[end:])
        )  # no idea, no evidence
    }
    return found.pop() if len(found) == 1 else None
