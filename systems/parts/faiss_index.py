"""What every FAISS index shares: building on one thread, the file in its folder, and search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from systems.parts.embed import Vectors
from systems.parts.index import Ranked

FILE = "index.bin"
THREADS = faiss.omp_get_max_threads()  # before anything here changes it


@dataclass(frozen=True)
class FaissIndex:
    """An opened FAISS index, and its search-time parameters: nprobe or efSearch."""

    index: Any
    parameters: Any = None

    def search(self, queries: Vectors, k: int) -> Ranked:
        """The best `k` chunks of each query, best first."""
        # one query on many threads waits for the slowest of them
        faiss.omp_set_num_threads(1 if len(queries) == 1 else THREADS)
        scores, ids = self.index.search(queries, k, params=self.parameters)
        return ranked(ids, scores)


def write(index: Any, vectors: Vectors, folder: Path) -> None:
    """Add the vectors on one thread, and write the index into the folder."""
    faiss.omp_set_num_threads(1)
    index.add(vectors)
    faiss.write_index(index, str(folder / FILE))
    faiss.omp_set_num_threads(THREADS)


def read(folder: Path, parameters: Any = None) -> FaissIndex:
    """The index that `write` left in the folder."""
    return FaissIndex(faiss.read_index(str(folder / FILE)), parameters)


def exact(file: Path, queries: Vectors, k: int) -> list[set[int]]:
    """The true top-k of each query among stored vectors by flat search, ties at the edge broken by chunk number."""
    vectors: Vectors = np.load(file)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    _, ids = flat.search(queries, min(k, len(vectors)))
    return [set(row.tolist()) for row in ids]


def ranked(ids: npt.NDArray[Any], scores: npt.NDArray[Any]) -> Ranked:
    """Rows of (chunk number, score) from arrays of shape (queries, k); numbers below zero are padding."""
    return [[(int(i), float(s)) for i, s in zip(*row, strict=True) if i >= 0] for row in zip(ids, scores, strict=True)]
