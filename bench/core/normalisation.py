"""Normalisation of texts for exact comparison: SQuAD's for English, MLQA's for other languages."""

from __future__ import annotations

import re
import string
import unicodedata
from functools import lru_cache
from typing import Literal

DASHES = str.maketrans({"\u2212": "-", "\u2013": "-", "\u2010": "-", "\u2011": "-", "\u00a0": " ", "\u202f": " "})
QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"', "\u00a0": " "})

Language = Literal["en", "ar", "de", "es", "fr", "hi", "it", "ja", "nl", "pt", "vi", "zh", "other"]

# MLQA's lists (Lewis et al. 1910.07475, mlqa_evaluation_v1.py) for ar, de, es, vi; French, Italian, Dutch and
# Portuguese have theirs from grammars
_ARTICLES: dict[str, str] = {
    "en": r"\b(a|an|the)\b",
    "es": r"\b(un|una|unos|unas|el|la|los|las)\b",
    "de": r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "vi": r"\b(của|là|cái|chiếc|những)\b",
    "ar": r"\bال",
    "fr": r"\b(le|la|les|un|une|des|du|l|d)\b",
    "it": r"\b(il|lo|la|i|gli|le|l|un|uno|una)\b",
    "nl": r"\b(de|het|een)\b",
    "pt": r"\b(o|a|os|as|um|uma|uns|umas)\b",
}
_ASCII_SIGNS = str.maketrans("", "", string.punctuation)
_ENGLISH = re.compile(_ARTICLES["en"])
# letters of scripts that do not part words: Thai, Lao, Khmer and Burmese; kana; Han
UNPARTED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_RUNNING = rf"{UNPARTED}\uac00-\ud7a3"  # and Hangul, whose particles follow a word without a space
BEFORE_WORD = rf"(?<![^\W{_RUNNING}])"  # the edges of a word, as \b, where a word may stand within such a run
AFTER_WORD = rf"(?![^\W{_RUNNING}])"
_BY_CHARACTER = ("zh", "ja")  # languages without spaces between words: each such character is a word
_SPACELESS = re.compile(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")


@lru_cache(1 << 14)  # a passage is held against many answers
def normalise(text: str, language: str = "en") -> str:
    """The text in lower case, without punctuation and articles, words separated by single spaces.

    English follows SQuAD (Rajpurkar et al. 1606.05250): ASCII punctuation alone; letters with marks are composed first,
    however they were written. Other languages are brought to Unicode NFKC first and lose every sign of Unicode's
    punctuation; Chinese and Japanese are segmented by character.
    """
    if language == "en":
        composed = text if text.isascii() else unicodedata.normalize("NFC", text)
        return " ".join(_ENGLISH.sub(" ", composed.lower().translate(_ASCII_SIGNS)).split())
    whole = unicodedata.normalize("NFKC", text).lower()
    spaced = re.sub("['\u2019]", " ", whole)  # l'eau is two words
    plain = "".join(c for c in spaced if not _is_sign(c))
    if language in _ARTICLES:
        plain = re.sub(_ARTICLES[language], " ", plain)
    if language in _BY_CHARACTER:
        plain = _SPACELESS.sub(r" \1 ", plain)
    return " ".join(plain.split())


SCRIPTS: dict[Language, str] = {  # a language that is known by its letters; kana tell Japanese from Chinese
    "ja": r"[\u3040-\u30ff]",
    "zh": r"[\u4e00-\u9fff]",
    "hi": r"[\u0900-\u097f]",
    "ar": r"[\u0600-\u06ff]",
    "other": r"[^\W\d_a-zA-Z\u00c0-\u024f\u1e00-\u1eff]",
}


def likely_language(text: str) -> Language:
    """The language that a text is likely to be in: by its script, else by whose articles are most of its words.

    English where no article is found. Meant for a proposal that a person reads: articles are few, and some are shared.
    """
    letters = len(re.findall(r"[^\W\d_]", text)) or 1
    for language, script in SCRIPTS.items():
        if len(re.findall(script, text)) > (0.05 if language == "ja" else 0.3) * letters:
            return language
    lower = text.lower()
    counts = {language: len(re.findall(articles, lower)) for language, articles in _ARTICLES.items()}
    best = max(counts, key=lambda language: counts[language])
    return best if counts[best] else "en"  # type: ignore[return-value]


def length(text: str, language: str) -> int:
    """Of a text, in words; in a language that sets none apart, in characters."""
    return sum(not c.isspace() for c in text) if language in UNSPACED else len(text.split())


def unit(language: str) -> str:
    """What `length` counts."""
    return "characters" if language in UNSPACED else "words"


UNSPACED = ("zh", "ja")


def _is_sign(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")
