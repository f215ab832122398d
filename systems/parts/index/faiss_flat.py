"""FAISS flat: exact search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import faiss

from bench.core.blocks import Retrieval
from systems.parts import faiss_index
from systems.parts.embed import Vectors
from systems.parts.index import Index, Live

EFFORT = None


def build(vectors: Vectors, retrieval: Retrieval, folder: Path) -> None:
    """Write the vectors as they are."""
    faiss_index.write(faiss.IndexFlatIP(vectors.shape[1]), vectors, folder)


def open_folder(folder: Path, vectors: Vectors, retrieval: Retrieval) -> Index:
    """The index in the folder."""
    return faiss_index.read(folder)


def recipe(retrieval: Retrieval) -> Mapping[str, Any]:
    """Nothing: there are no parameters."""
    return {}


def live(vectors: Vectors, retrieval: Retrieval, folder: Path) -> Live:
    """The vectors with their ids."""
    index = faiss.IndexIDMap2(faiss.IndexFlatIP(vectors.shape[1]))
    return faiss_index.LiveFaiss.of(index, vectors, lambda _, selector: faiss.SearchParameters(sel=selector))
