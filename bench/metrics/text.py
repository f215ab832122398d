"""Answers against references: SQuAD EM and F1, containment, ROUGE-L, labels. Pure functions.

SQuAD scores and ROUGE are torchmetrics', which follows the official scripts; it is imported when first used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

from bench.core.normalisation import normalise


@contextmanager
def _double() -> Iterator[None]:
    """torchmetrics counts in torch's default float; single precision would show in the seventh digit."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def squad(answer: str, references: Sequence[str]) -> tuple[float, float]:
    """(exact match, F1) in 0..1, the best over the references (Rajpurkar et al. 1606.05250)."""
    return _squad(answer, tuple(references))


@lru_cache(256)  # several measures of one answer ask for the same pair
def _squad(answer: str, references: tuple[str, ...]) -> tuple[float, float]:
    from torchmetrics.functional.text import squad as score

    with _double():
        result = score(
            [{"prediction_text": answer, "id": "q"}],
            [{"answers": {"text": list(references), "answer_start": [0] * len(references)}, "id": "q"}],
        )
        return float(result["exact_match"]) / 100, float(result["f1"]) / 100


_DASHES = str.maketrans({"\u2212": "-", "\u2013": "-", "\u2010": "-", "\u2011": "-"})
_TOKEN = re.compile(r"(?<![\w.])[-+]?\d+(?:,\d{3})*(?:\.\d+)?|[^\W\d_]+|\d+|[%\u00b0\u20ac$\u00a3/^]")


def strict(answer: str, references: Sequence[str]) -> float:
    """1 where the answer is a reference in its words, numbers with their signs, and units; else 0.

    Unlike SQuAD's exact match, 1.5 is not 15 and -40 is not 40. Numbers are compared by value: 1,200.0 is 1200.
    """
    said = _exact(answer)
    return float(any(said == _exact(reference) for reference in references))


@lru_cache(1024)
def _exact(text: str) -> tuple[str | float, ...]:
    """Words in lower case without articles, numbers by value, and signs of units."""
    tokens = _TOKEN.findall(text.translate(_DASHES).lower())
    return tuple(float(t.replace(",", "")) if t[-1].isdigit() else t for t in tokens if t not in ("a", "an", "the"))


def is_numeric(reference: str) -> bool:
    """Whether a reference is a number, with or without a unit."""
    tokens = _exact(reference)
    return 0 < len(tokens) <= 4 and any(isinstance(token, float) for token in tokens[:2])


def rouge_l(answer: str, references: Sequence[str]) -> float:
    """ROUGE-L F-measure in 0..1, the best over the references (Lin 2004)."""
    from torchmetrics.functional.text.rouge import rouge_score

    with _double():
        result = rouge_score([answer], [list(references)], rouge_keys="rougeL", accumulate="best")
        return float(result["rougeL_fmeasure"])


def contains(answer: str, references: Sequence[str]) -> float:
    """1 where a normalised reference stands in the normalised answer as whole words."""
    said = f" {normalise(answer)} "
    return float(any(f" {normalise(r)} " in said for r in references if normalise(r)))


def matches(answer: str, form: str) -> bool:
    """Whether the whole answer has the form that a regular expression gives."""
    return re.fullmatch(form, answer.strip(), re.DOTALL) is not None


def holds(answer: str, facts: Sequence[str]) -> float:
    """Share of the facts that stand in the answer, whatever its form."""
    return sum(contains(answer, [f]) for f in facts) / len(facts) if facts else 0.0


def label(answer: str, choices: Sequence[str]) -> str | None:
    """The choice that the answer names: the whole of it, or else the only one that it contains."""
    said = normalise(answer)
    whole = [c for c in choices if normalise(c) == said]
    if whole:
        return whole[0]
    named = [c for c in choices if contains(answer, [c])]
    return named[0] if len(named) == 1 else None
