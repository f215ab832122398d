"""hnswlib: the HNSW of its authors (Malkov and Yashunin 1603.09320)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np

from bench.core.blocks import Retrieval
from systems.parts.embed import Vectors
from systems.parts.index import PARTS, Arrays, Index, Live, Ranked, Size

EFFORT = "ef_search"
FILE = "index.bin"


@dataclass(frozen=True)
class HnswlibIndex:
    """An opened hnswlib index."""

    index: Any

    def search(self, queries: Vectors, k: int) -> Ranked:
        """The best `k` chunks of each query, best first."""
        ids, distances = self.index.knn_query(queries, k=min(k, self.index.get_current_count()))
        return Arrays(ids, distances, distances=True)


@dataclass
class LiveHnswlib:
    """A graph whose vectors are deleted and added: a deleted one's place is taken by the next, under a label never used
    before."""

    index: Any
    vectors: Vectors
    label_of: list[int]  # of each vector
    vector_of: dict[int, int]

    def reach(self, effort: int) -> None:
        """The `ef` of the next searches."""
        self.index.set_ef(effort)

    def search(self, queries: Vectors, k: int, part: int | None = None) -> Ranked:
        """The best of each query; a filter is asked of every label that is met."""
        options = {} if part is None else {"filter": lambda label: self.vector_of[label] % PARTS == part}
        labels, distances = self.index.knn_query(queries, k=k, num_threads=1, **options)
        numbers = np.array([[self.vector_of[int(label)] for label in row] for row in labels])
        return Arrays(numbers, distances, distances=True)

    def replace(self, numbers: Sequence[int]) -> None:
        """Mark as deleted, and add."""
        for number in numbers:
            self.index.mark_deleted(self.label_of[number])
            self.vector_of.pop(self.label_of[number])
        first = max([*self.vector_of, *self.label_of]) + 1
        for label, number in enumerate(numbers, first):
            self.label_of[number], self.vector_of[label] = label, number
        labels = np.array([self.label_of[i] for i in numbers])
        self.index.add_items(self.vectors[list(numbers)], labels, num_threads=1, replace_deleted=True)

    def size(self) -> Size:
        """The bytes of its file."""
        return Size(int(self.index.index_file_size()))

    def close(self) -> None:
        """Nothing is left."""
        return


def live(vectors: Vectors, retrieval: Retrieval, folder: Path) -> Live:
    """The graph, with room for what takes the place of what was deleted."""
    index = empty(vectors, retrieval, allow_replace_deleted=True)
    index.add_items(vectors, np.arange(len(vectors)), num_threads=retrieval.build_threads)
    return LiveHnswlib(index, vectors, list(range(len(vectors))), {i: i for i in range(len(vectors))})


def empty(vectors: Vectors, retrieval: Retrieval, **options: Any) -> Any:
    """A graph with room for the vectors; `options` are hnswlib's."""
    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    hnsw = retrieval.hnsw
    index.init_index(len(vectors), M=hnsw.m, ef_construction=hnsw.ef_construction, random_seed=100, **options)
    return index


def build(vectors: Vectors, retrieval: Retrieval, folder: Path) -> None:
    """Write the graph."""
    index = empty(vectors, retrieval)
    index.add_items(vectors, num_threads=retrieval.build_threads)
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
