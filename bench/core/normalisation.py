"""SQuAD's normalisation of texts, for exact comparison (Rajpurkar et al. 1606.05250)."""

from __future__ import annotations

import re
import string


def normalise(text: str) -> str:
    """The text in lower case, without ASCII punctuation and articles, words separated by single spaces."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())
