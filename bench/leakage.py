"""Test questions that training has seen: told apart, so that scores on the others can stand beside the whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.metrics.text import normalise
from bench.types import Example

GRAM = 13  # words in a row that two texts hardly share by chance (Brown et al. 2005.14165, appendix C)
NEAR = 0.95  # cosine of TF-IDF over character 3- to 5-grams from which a question is another one's near-duplicate


def leaks(train: Sequence[Example], test: Sequence[Example]) -> dict[str, list[str]]:
    """test question id -> how training has seen it: `exact`, `13-gram`, `near`. Only those that it has.

    Of training, questions and their answers are looked at; passages are not, for they are what is asked about.
    """
    asked = {normalise(e.question.text) for e in train}
    grams = {g for e in train for g in _grams(f"{e.question.text} {' '.join(e.answers or ())}")}
    near = _near([e.question.text for e in train], [e.question.text for e in test])
    found: dict[str, list[str]] = {}
    for e, alike in zip(test, near, strict=True):
        text = f"{e.question.text} {' '.join(e.answers or ())}"
        seen = {
            "exact": normalise(e.question.text) in asked,
            "13-gram": any(g in grams for g in _grams(text)),
            "near": alike >= NEAR,
        }
        if any(seen.values()):
            found[e.question.id] = [how for how, is_so in seen.items() if is_so]
    return found


def _grams(text: str) -> Iterator[tuple[str, ...]]:
    words = normalise(text).split()
    return (tuple(words[i : i + GRAM]) for i in range(len(words) - GRAM + 1))


def _near(train: Sequence[str], test: Sequence[str], block: int = 512) -> list[float]:
    """The highest cosine of each test question with a training question."""
    if not train or not test:
        return [0.0] * len(test)
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5)).fit([*train, *test])
    known, asked = vectors.transform(train), vectors.transform(test)
    found: list[float] = []
    for i in range(0, len(test), block):
        found += (asked[i : i + block] @ known.T).max(axis=1).toarray().ravel().tolist()
    return found
