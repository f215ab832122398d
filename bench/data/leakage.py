"""Test questions that training has seen: told apart, so that scores on the others can stand beside the whole."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Indel
from rapidfuzz.process import cdist

from bench.core.digest import digest
from bench.core.normalisation import QUOTES, normalise
from bench.core.store import Store
from bench.core.vocabulary import JSON, Example

GRAM = 13  # words in a row that two texts hardly share by chance (Brown et al. 2005.14165, appendix C)
NEAR = 0.95  # from which two questions are near: cosine of embeddings, or 1 - edits / letters of the sorted words
PAIRS = 1 << 24  # questions that are compared at a time: 64 MiB of similarities
Array = npt.NDArray[np.float32]
Key = TypeVar("Key")
MOST = 20_000  # questions that a cell embeds to look for near ones


def leaks(train: Sequence[Example], test: Sequence[Example], language: str = "en") -> dict[str, list[str]]:
    """test question id -> how training has seen it: `exact`, `13-gram`, `near in letters`, or in the same words of the
    `same passage` with an answer in other words. Only those that it has.

    What training has seen is a question with its answer, or in the same words of the same passage, whose answer it was
    then given in whatever words. A question that is asked again of another passage, and has another answer there, is
    none (`asked_again`). What is near in meaning a cell tells, which has an embedder (`alike`).
    """
    asked = _places((_plain(e.question.text, language),) for e in train)
    grams = _places(_grams(_whole(e), language) for e in train)
    near = _near([e.question.text for e in train], [e.question.text for e in test])
    found: dict[str, list[str]] = {}
    for example, close in zip(test, near, strict=True):
        repeated = asked.get(_plain(example.question.text, language), ())
        places = {
            "exact": repeated,
            "13-gram": {i for gram in _grams(_whole(example), language) for i in grams.get(gram, ())},
            "near in letters": close,
        }
        seen = [how for how, known in places.items() if any(_same(example, train[i], language) for i in known)]
        if not seen and any(_of_same_passage(example, train[i]) for i in repeated):
            seen = ["same passage"]
        if seen:
            found[example.question.id] = seen
    return found


def asked_again(train: Sequence[Example], test: Sequence[Example], language: str = "en") -> int:
    """How many test questions training asks in the same words of other passages, with another answer each time."""
    asked = _places((_plain(e.question.text, language),) for e in train)
    known = [[train[i] for i in asked.get(_plain(e.question.text, language), ())] for e in test]
    return sum(
        bool(same) and not any(_same(e, s, language) or _of_same_passage(e, s) for s in same)
        for e, same in zip(test, known, strict=True)
    )


def _places(keys: Iterable[Iterable[Key]]) -> dict[Key, list[int]]:
    """key -> the positions at which it stands."""
    found: dict[Key, list[int]] = {}
    for position, several in enumerate(keys):
        for key in several:
            found.setdefault(key, []).append(position)
    return found


def _plain(text: str, language: str) -> str:
    """A text as two are compared, however its letters are encoded: a full-width digit is a digit."""
    return normalise(unicodedata.normalize("NFKC", text).translate(QUOTES), language)


def _whole(example: Example) -> str:
    return f"{example.question.text} {' '.join(example.answers or ())}"


def _same(a: Example, b: Example, language: str = "en") -> bool:
    """Whether two questions that are near also have an answer in common: pump 7 and pump 8 do not, as a rule."""
    mine, other = ({_plain(x, language) for x in e.answers or ()} for e in (a, b))
    return bool(mine & other) or mine == other


def _of_same_passage(a: Example, b: Example) -> bool:
    """Whether the evidence of two questions is on one passage: the same question of it has one answer."""
    return bool(set(a.question.gold) & set(b.question.gold))


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


def _grams(text: str, language: str) -> Iterator[tuple[str, ...]]:
    words = _plain(text, language).split()
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
