"""Vector indexes over stored embeddings, one library's index a module; this folder is the whole registry.

A module's name is the value of `retrieval.index`. It holds `build(vectors, retrieval, folder)`, which writes the index
into a folder; `open_folder(folder, vectors, retrieval)`, which gives an `Index`; and `recipe(retrieval)`, the
parameters that what is built depends on. Inner product on unit vectors throughout: it is the cosine.

Indexes are built on one thread, which makes them repeat exactly; a parallel HNSW build does not (faiss issue 1073).
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from bench.core.redact import hide
from bench.core.store import Store
from bench.core.system import Retrieval

if TYPE_CHECKING:
    from systems.parts.embed import Vectors

Ranked = list[list[tuple[int, float]]]  # for each question, (chunk number, score), best first


class Index(Protocol):
    """An opened index."""

    def search(self, queries: Vectors, k: int) -> Ranked:
        """The best `k` chunks of each query, best first. Queries are (queries, dimensions)."""
        ...


class Library(Protocol):
    """What a module of this folder holds."""

    def build(self, vectors: Vectors, retrieval: Retrieval, folder: Path) -> None:
        """Write the index of the vectors into a folder."""
        ...

    def open_folder(self, folder: Path, vectors: Vectors, retrieval: Retrieval) -> Index:
        """The index that `build` wrote."""
        ...

    def recipe(self, retrieval: Retrieval) -> Mapping[str, Any]:
        """The parameters that the built index depends on; search-time ones are not among them."""
        ...


def names() -> list[str]:
    """The indexes that a spec can name."""
    return [m.name for m in pkgutil.iter_modules(__path__)]


def library(name: str) -> Library:
    """The module of an index. Raises ValueError where its package, an extra of ragtune, is not installed."""
    try:
        return cast(Library, importlib.import_module(f"{__name__}.{name}"))
    except ModuleNotFoundError as e:
        raise ValueError(
            f"`retrieval.index: {name}` needs the package {e.name}: pip install 'ragtune[{name}]'"
        ) from None


def address(variable: str) -> str:
    """Where the server of an index is. Raises ValueError where the environment does not say."""
    found = os.environ.get(variable)
    if not found:
        raise ValueError(
            f"this index is on a server of its own: put its address into the environment variable {variable}"
        )
    hide(variable)
    return found


def index(file: Path, digest: str, retrieval: Retrieval, store: Store) -> Index:
    """The index of stored embeddings (`file`, whose artefact has the digest), built where the store has none."""
    import numpy as np

    chosen = library(retrieval.index)
    vectors: Vectors = np.load(file)
    known = {
        "kind": "index",
        "version": 1,
        "library": retrieval.index,
        "embeddings": digest,
        "parameters": dict(chosen.recipe(retrieval)),
    }

    def make(folder: Path) -> dict[str, int]:
        chosen.build(vectors, retrieval, folder)
        return {"vectors": len(vectors)}

    folder, _ = store.get(known, make)
    return chosen.open_folder(folder, vectors, retrieval)
