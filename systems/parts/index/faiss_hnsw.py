"""FAISS HNSW: a navigable small-world graph (Malkov and Yashunin 1603.09320)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import faiss

from bench.core.blocks import Retrieval
from systems.parts import faiss_index
from systems.parts.embed import Vectors
from systems.parts.index import Index, Live

EFFORT = "ef_search"


def build(vectors: Vectors, retrieval: Retrieval, folder: Path) -> None:
    """Write the graph."""
    faiss_index.write(_empty(vectors, retrieval), vectors, folder, build_threads=retrieval.build_threads)


def live(vectors: Vectors, retrieval: Retrieval, folder: Path) -> Live:
    """The graph, which cannot be changed in place."""

    def parameters(effort: int, selector: Any) -> Any:
        return faiss.SearchParametersHNSW(efSearch=effort, sel=selector)

    empty = _empty(vectors, retrieval)
    return faiss_index.LiveFaiss.of(empty, vectors, parameters, updates=False, build_threads=retrieval.build_threads)


def _empty(vectors: Vectors, retrieval: Retrieval) -> Any:
    index = faiss.IndexHNSWFlat(vectors.shape[1], retrieval.hnsw.m, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = retrieval.hnsw.ef_construction
    return index


def open_folder(folder: Path, vectors: Vectors, retrieval: Retrieval) -> Index:
    """The graph in the folder, searched with `ef_search`."""
    opened = faiss_index.read(folder)
    opened.index.hnsw.efSearch = retrieval.hnsw.ef_search
    return opened


def recipe(retrieval: Retrieval) -> Mapping[str, Any]:
    """The shape of the graph."""
    return {"m": retrieval.hnsw.m, "ef_construction": retrieval.hnsw.ef_construction}
