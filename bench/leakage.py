"""Test questions that training has seen: told apart, so that scores on the others can stand beside the whole."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.digest import digest
from bench.metrics.text import normalise
from bench.store import Store
from bench.system import Embedder
from bench.types import JSON, Example

GRAM = 13  # words in a row that two texts hardly share by chance (Brown et al. 2005.14165, appendix C)
NEAR = 0.95  # cosine, of TF-IDF over character 3- to 5-grams or of embeddings, from which two questions are near
BLOCK = 512


def leaks(train: Sequence[Example], test: Sequence[Example]) -> dict[str, list[str]]:
    """test question id -> how training has seen it: `exact`, `13-gram`, `near in letters`. Only those that it has.

    Of training, questions and their answers are looked at; passages are not, for they are what is asked about.
    What is near in meaning a cell tells, which has an embedder (`alike`).
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
            "near in letters": alike >= NEAR,
        }
        if any(seen.values()):
            found[e.question.id] = [how for how, is_so in seen.items() if is_so]
    return found


def alike(embedder: Embedder, train: Sequence[Example], test: Sequence[Example], store: Store) -> list[str]:
    """The test questions whose embedding has a cosine of at least NEAR with that of a training question.

    Kept in the store: the cells of a run that share an embedder look once.
    """
    asked, known = ([e.question.text for e in split] for split in (test, train))
    if not asked or not known:
        return []

    def make(folder: Path) -> dict[str, JSON]:
        encoder = importlib.import_module("systems.parts.embed").load(embedder, device="cpu")
        a, b = encoder.questions(asked), encoder.questions(known)
        highest = [c for i in range(0, len(a), BLOCK) for c in (a[i : i + BLOCK] @ b.T).max(1).tolist()]
        (folder / "cosines.json").write_text(json.dumps(highest))
        return {"questions": len(highest)}

    texts = digest([asked, known])
    recipe = {
        "kind": "cosines",
        "version": 1,
        "embedder": embedder.digest or embedder.name,
        "revision": embedder.revision,
        "prefix": embedder.query_prefix,
        "texts": texts,
    }
    folder, _ = store.get(recipe, make)
    found = json.loads((folder / "cosines.json").read_text())
    return [e.question.id for e, cosine in zip(test, found, strict=True) if cosine >= NEAR]


def _grams(text: str) -> Iterator[tuple[str, ...]]:
    words = normalise(text).split()
    return (tuple(words[i : i + GRAM]) for i in range(len(words) - GRAM + 1))


def _near(train: Sequence[str], test: Sequence[str]) -> list[float]:
    """The highest cosine of each test question with a training question."""
    if not train or not test:
        return [0.0] * len(test)
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5)).fit([*train, *test])
    known, asked = vectors.transform(train), vectors.transform(test)
    found: list[float] = []
    for i in range(0, len(test), BLOCK):
        found += (asked[i : i + BLOCK] @ known.T).max(axis=1).toarray().ravel().tolist()
    return found
