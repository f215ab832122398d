"""USearch: an HNSW graph of another make (Vardanian, unum-cloud/usearch). `pip install 'ragtune[usearch]'`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from usearch.index import Index as Graph

from bench.core.blocks import Retrieval
from systems.parts.embed import Vectors
from systems.parts.index import PARTS, Arrays, Index, Live, Ranked, Size

EFFORT = "ef_search"
FILE = "index.usearch"


@dataclass(frozen=True)
class UsearchIndex:
    """An opened USearch index."""

    graph: Any

    def search(self, queries: Vectors, k: int) -> Ranked:
        """The best `k` chunks of each query, best first."""
        found = self.graph.search(queries, min(k, len(self.graph)))
        ids, distances = (np.atleast_2d(np.asarray(part)) for part in (found.keys, found.distances))
        return Arrays(ids.view(np.int64), distances, distances=True)


@dataclass
class LiveUsearch:
    """A graph whose vectors are removed and added under their own keys."""

    graph: Any
    vectors: Vectors

    def reach(self, effort: int) -> None:
        """The expansion of the next searches."""
        self.graph.expansion_search = effort

    def search(self, queries: Vectors, k: int, part: int | None = None) -> Ranked:
        """The best of each query. Python's USearch has no filter: so many more are looked up that `k` are left."""
        if part is None:
            return UsearchIndex(self.graph).search(queries, k)
        wide = PARTS * k
        while True:
            found = UsearchIndex(self.graph).search(queries, wide)
            kept = [[(n, score) for n, score in row if n % PARTS == part][:k] for row in found]
            if wide >= len(self.graph) or all(len(row) == k for row in kept):
                return kept
            wide *= 2

    def replace(self, numbers: Sequence[int]) -> None:
        """Remove, and add."""
        keys = np.array(numbers)
        self.graph.remove(keys)
        self.graph.add(keys, self.vectors[keys], threads=1)

    def size(self) -> Size:
        """The bytes of its file."""
        return Size(int(self.graph.serialized_length))

    def close(self) -> None:
        """Nothing is left."""
        return


def live(vectors: Vectors, retrieval: Retrieval, folder: Path) -> Live:
    """The graph."""
    return LiveUsearch(_built(vectors, retrieval), vectors)


def build(vectors: Vectors, retrieval: Retrieval, folder: Path) -> None:
    """Write the graph."""
    _built(vectors, retrieval).save(str(folder / FILE))


def _built(vectors: Vectors, retrieval: Retrieval) -> Any:
    hnsw = retrieval.hnsw
    graph = Graph(
        ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=hnsw.m, expansion_add=hnsw.ef_construction
    )
    graph.add(np.arange(len(vectors)), vectors, threads=retrieval.build_threads)
    return graph


def open_folder(folder: Path, vectors: Vectors, retrieval: Retrieval) -> Index:
    """The graph in the folder, searched with `ef_search`, or `k` where that is more."""
    wide = max(retrieval.hnsw.ef_search, retrieval.k)
    graph = Graph(ndim=vectors.shape[1], metric="ip", dtype="f32", expansion_search=wide)
    graph.load(str(folder / FILE))  # safe: the store has checked the file's hash
    return UsearchIndex(graph)


def recipe(retrieval: Retrieval) -> Mapping[str, Any]:
    """The shape of the graph."""
    return {"m": retrieval.hnsw.m, "ef_construction": retrieval.hnsw.ef_construction}
