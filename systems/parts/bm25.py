"""BM25 over chunks, by bm25s (Lucene's form, k1 1.5, b 0.75).

Words are runs of letters, less English stop words. In scripts that do not part words they are pairs of characters, as
Lucene's CJK analyser takes them.
"""

from __future__ import annotations

import importlib
import itertools
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.normalisation import UNPARTED
from bench.core.store import Store
from systems.parts.chunk import Chunks
from systems.parts.index import Arrays, Ranked


def _library() -> Any:
    """bm25s, as it is where JAX is not installed: when imported it has JAX do something, which opens the GPU and takes
    three quarters of its memory."""
    hidden = "jax" not in sys.modules
    if hidden:
        sys.modules["jax"] = None  # type: ignore[assignment]  # as `import` says it
    try:
        return importlib.import_module("bm25s")
    finally:
        if hidden:
            del sys.modules["jax"]


bm25s = _library()
PARAMETERS = {"k1": 1.5, "b": 0.75, "stopwords": "en", "unparted": "pairs"}
_UNPARTED = re.compile(f"[{UNPARTED}]+")


@dataclass(frozen=True)
class BM25:
    """An opened BM25 index."""

    model: Any

    def search(self, texts: Sequence[str], k: int) -> Ranked:
        """The best `k` chunks of each text, best first; of those that share a word with it."""
        tokens = _tokens(texts)
        most = min(k, self.model.scores["num_docs"])
        found, scores = self.model.retrieve(tokens, k=most, show_progress=False, backend_selection="numpy")
        return Arrays(np.where(scores > 0, found, -1), scores)


def bm25(chunks: Chunks, store: Store) -> BM25:
    """The BM25 index of the chunks, built where the store has none."""

    def make(folder: Path) -> dict[str, int]:
        model = bm25s.BM25(method="lucene", k1=PARAMETERS["k1"], b=PARAMETERS["b"])
        texts = [f"{c.title}. {c.text}" for c in chunks.rows]
        model.index(_tokens(texts), show_progress=False)
        model.save(str(folder / "bm25"))
        return {"chunks": len(texts)}

    recipe = {
        "kind": "index",
        "version": 1,
        "library": "bm25s",
        "chunks": chunks.digest,
        "parameters": PARAMETERS,
    }
    folder, _ = store.get(recipe, make)
    return BM25(bm25s.BM25.load(str(folder / "bm25")))


def _tokens(texts: Sequence[str]) -> Any:
    return bm25s.tokenize(list(map(_parted, texts)), stopwords="en", show_progress=False, return_ids=False)


def _parted(text: str) -> str:
    """The text with what its script does not part written as pairs of characters."""
    return _UNPARTED.sub(lambda run: f" {_pairs(run[0])} ", text)


def _pairs(run: str) -> str:
    return " ".join(a + b for a, b in itertools.pairwise(run)) or run
