"""hnswlib: the HNSW of its authors (Malkov and Yashunin 1603.09320)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np

from bench.core.system import Retrieval
from systems.parts.embed import Vectors
from systems.parts.faiss_index import ranked
from systems.parts.index import Index, Ranked

FILE = "index.bin"


@dataclass(frozen=True)
class HnswlibIndex:
    """An opened hnswlib index."""

    index: Any

    def search(self, queries: Vectors, k: int) -> Ranked:
        """The best `k` chunks of each query, best first."""
        ids, distances = self.index.knn_query(queries, k=min(k, self.index.get_current_count()))
        return ranked(ids.astype(np.int64), 1 - distances)


def empty(vectors: Vectors, retrieval: Retrieval, **options: Any) -> Any:
    """A graph with room for the vectors; `options` are hnswlib's."""
    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    hnsw = retrieval.hnsw
    index.init_index(len(vectors), M=hnsw.m, ef_construction=hnsw.ef_construction, random_seed=100, **options)
    return index


def build(vectors: Vectors, retrieval: Retrieval, folder: Path) -> None:
    """Write the graph."""
    index = empty(vectors, retrieval)
    index.add_items(vectors, num_threads=1)
    index.save_index(str(folder / FILE))


def open_folder(folder: Path, vectors: Vectors, retrieval: Retrieval) -> Index:
    """The graph in the folder, searched with `ef_search`, or `k` where that is more."""
    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.load_index(str(folder / FILE), max_elements=len(vectors))  # safe: the store has checked the file's hash
    index.set_ef(max(retrieval.hnsw.ef_search, retrieval.k))
    return HnswlibIndex(index)


def recipe(retrieval: Retrieval) -> Mapping[str, Any]:
    """The shape of the graph."""
    return {"m": retrieval.hnsw.m, "ef_construction": retrieval.hnsw.ef_construction}
