"""USearch: an HNSW graph of another make (Vardanian, unum-cloud/usearch). `pip install 'ragtune[usearch]'`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from usearch.index import Index as Graph

from bench.core.system import Retrieval
from systems.parts.embed import Vectors
from systems.parts.faiss_index import ranked
from systems.parts.index import Index, Ranked

FILE = "index.usearch"


@dataclass(frozen=True)
class UsearchIndex:
    """An opened USearch index."""

    graph: Any

    def search(self, queries: Vectors, k: int) -> Ranked:
        """The best `k` chunks of each query, best first."""
        found = self.graph.search(queries, min(k, len(self.graph)))
        ids, distances = (np.atleast_2d(np.asarray(part)) for part in (found.keys, found.distances))
        return ranked(ids.astype(np.int64), 1 - distances)


def build(vectors: Vectors, retrieval: Retrieval, folder: Path) -> None:
    """Write the graph."""
    hnsw = retrieval.hnsw
    graph = Graph(
        ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=hnsw.m, expansion_add=hnsw.ef_construction
    )
    graph.add(np.arange(len(vectors)), vectors, threads=1)
    graph.save(str(folder / FILE))


def open_folder(folder: Path, vectors: Vectors, retrieval: Retrieval) -> Index:
    """The graph in the folder, searched with `ef_search`, or `k` where that is more."""
    wide = max(retrieval.hnsw.ef_search, retrieval.k)
    graph = Graph(ndim=vectors.shape[1], metric="ip", dtype="f32", expansion_search=wide)
    graph.load(str(folder / FILE))  # safe: the store has checked the file's hash
    return UsearchIndex(graph)


def recipe(retrieval: Retrieval) -> Mapping[str, Any]:
    """The shape of the graph."""
    return {"m": retrieval.hnsw.m, "ef_construction": retrieval.hnsw.ef_construction}
