"""Test questions that training has seen: told apart, so that scores on the others can stand beside the whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Indel
from rapidfuzz.process import cdist

from bench.core.digest import digest
from bench.core.normalisation import normalise
from bench.core.store import Store
from bench.core.vocabulary import JSON, Example

GRAM = 13  # words in a row that two texts hardly share by chance (Brown et al. 2005.14165, appendix C)
NEAR = 0.95  # from which two questions are near: cosine of embeddings, or 1 - edits / letters of the sorted words
PAIRS = 1 << 24  # questions that are compared at a time: 64 MiB of similarities
Array = npt.NDArray[np.float32]
MOST = 20_000  # questions that a cell embeds to look for near ones


def leaks(train: Sequence[Example], test: Sequence[Example]) -> dict[str, list[str]]:
    """test question id -> how training has seen it: `exact`, `13-gram`, `near in letters`. Only those that it has.

    Of training, questions and their answers are looked at; passages are not, for they are what is asked about.
    What is near in meaning a cell tells, which has an embedder (`alike`).
    """
    asked = {normalise(e.question.text) for e in train}
    grams = {g for e in train for g in _grams(f"{e.question.text} {' '.join(e.answers or ())}")}
    near = _near([e.question.text for e in train], [e.question.text for e in test])
    found: dict[str, list[str]] = {}
    for example, close in zip(test, near, strict=True):
        text = f"{example.question.text} {' '.join(example.answers or ())}"
        seen = {
            "exact": normalise(example.question.text) in asked,
            "13-gram": any(g in grams for g in _grams(text)),
            "near in letters": any(_same(example, train[i]) for i in close),
        }
        if any(seen.values()):
            found[example.question.id] = [how for how, is_so in seen.items() if is_so]
    return found


def _same(a: Example, b: Example) -> bool:
    """Whether two questions that are near also have an answer in common: pump 7 and pump 8 do not, as a rule."""
    mine, other = ({normalise(x) for x in e.answers or ()} for e in (a, b))
    return bool(mine & other) or mine == other


def alike(
    train: Sequence[Example],
    test: Sequence[Example],
    *,
    encode: Callable[[Sequence[str]], Array],
    encoder: Mapping[str, JSON],
    store: Store,
) -> list[str] | None:
    """The test questions that are near in meaning to a training question of the same answer: a cosine of at least NEAR.

    `encode` turns questions into unit vectors, (questions, dimensions), and `encoder` is its identity. What was found
    is kept in the store: the cells of a run that share an embedder look once. None where there are too many questions.
    """
    asked, known = ([e.question.text for e in split] for split in (test, train))
    if not asked or not known:
        return []
    if len(asked) + len(known) > MOST:
        return None

    def make(folder: Path) -> dict[str, JSON]:
        vectors = encode([*asked, *known])
        test_vectors, train_vectors = vectors[: len(asked)], vectors[len(asked) :]
        close = [np.flatnonzero(row @ train_vectors.T >= NEAR).tolist() for row in test_vectors]
        (folder / "near.json").write_text(json.dumps(close))
        return {"questions": len(close)}

    recipe = {"kind": "near", "version": 1, "texts": digest([asked, known]), "cosine": NEAR, **encoder}
    folder, _ = store.get(recipe, make)
    found = json.loads((folder / "near.json").read_text())
    return [e.question.id for e, close in zip(test, found, strict=True) if any(_same(e, train[i]) for i in close)]


def _grams(text: str) -> Iterator[tuple[str, ...]]:
    words = normalise(text).split()
    return (tuple(words[i : i + GRAM]) for i in range(len(words) - GRAM + 1))


def _near(train: Sequence[str], test: Sequence[str]) -> list[list[int]]:
    """The training questions that are near in letters, for each test question."""
    if not train:
        return [[] for _ in test]
    known = [_sorted_words(text) for text in train]
    found: list[list[int]] = []
    rows = max(1, PAIRS // len(known))
    for start in range(0, len(test), rows):
        asked = [_sorted_words(text) for text in test[start : start + rows]]
        close = cdist(asked, known, scorer=Indel.normalized_similarity, score_cutoff=NEAR, workers=-1)
        found += [np.flatnonzero(row).tolist() for row in close]
    return found


def _sorted_words(text: str) -> str:
    return " ".join(sorted(normalise(text).split()))
