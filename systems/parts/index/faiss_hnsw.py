"""FAISS HNSW: a navigable small-world graph (Malkov and Yashunin 1603.09320)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import faiss

from bench.core.system import Retrieval
from systems.parts import faiss_index
from systems.parts.embed import Vectors
from systems.parts.index import Index


def build(vectors: Vectors, retrieval: Retrieval, folder: Path) -> None:
    """Write the graph."""
    index = faiss.IndexHNSWFlat(vectors.shape[1], retrieval.hnsw.m, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = retrieval.hnsw.ef_construction
    faiss_index.write(index, vectors, folder)


def open_folder(folder: Path, vectors: Vectors, retrieval: Retrieval) -> Index:
    """The graph in the folder, searched with `ef_search`."""
    return faiss_index.read(folder, faiss.SearchParametersHNSW(efSearch=retrieval.hnsw.ef_search))


def recipe(retrieval: Retrieval) -> Mapping[str, Any]:
    """The shape of the graph."""
    return {"m": retrieval.hnsw.m, "ef_construction": retrieval.hnsw.ef_construction}
