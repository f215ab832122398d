"""An hnswlib index that is updated in place, for the experiment on churn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.system import Retrieval
from systems.parts.embed import Vectors
from systems.parts.faiss_index import exact_recall
from systems.parts.index.hnswlib import empty


@dataclass
class UpdatedIndex:
    """An hnswlib index that is updated in place: a deleted vector's slot is taken by the next that is added."""

    index: Any
    vectors: Vectors
    label_of: list[int]  # of each vector
    vector_of: dict[int, int]

    @classmethod
    def of(cls, file: Path, retrieval: Retrieval) -> UpdatedIndex:
        """The index of stored vectors, before any update."""
        vectors: Vectors = np.load(file)
        index = empty(vectors, retrieval, allow_replace_deleted=True)
        index.add_items(vectors, np.arange(len(vectors)), num_threads=1)
        index.set_ef(max(retrieval.hnsw.ef_search, retrieval.k))
        return cls(index, vectors, list(range(len(vectors))), {i: i for i in range(len(vectors))})

    def replace(self, moved: Sequence[int]) -> None:
        """Delete these vectors, and add them again under labels never used before."""
        for number in moved:
            self.index.mark_deleted(self.label_of[number])
            self.vector_of.pop(self.label_of[number])
        first = max([*self.vector_of, *self.label_of]) + 1
        for label, number in enumerate(moved, first):
            self.label_of[number], self.vector_of[label] = label, number
        labels = np.array([self.label_of[i] for i in moved])
        self.index.add_items(self.vectors[list(moved)], labels, num_threads=1, replace_deleted=True)

    def recall(self, queries: Vectors, k: int) -> float:
        """Share of the exact top k that is found, over all queries."""
        labels, _ = self.index.knn_query(queries, k=k)
        found = [[self.vector_of[int(n)] for n in row] for row in labels]
        return float(np.mean(exact_recall(self.vectors, queries, found, k)))
