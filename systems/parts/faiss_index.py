"""What every FAISS index shares: building on one thread, the file in its folder, and search."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from systems.parts.embed import Vectors
from systems.parts.index import PARTS, Arrays, Ranked, Size

FILE = "index.bin"
TIE = 1e-5  # of inner products of unit vectors in single precision
THREADS = faiss.omp_get_max_threads()  # before anything here changes it


@dataclass(frozen=True)
class FaissIndex:
    """An opened FAISS index, set to its nprobe or efSearch."""

    index: Any

    def search(self, queries: Vectors, k: int) -> Ranked:
        """The best `k` chunks of each query, best first."""
        # one query on many threads waits for the slowest of them
        faiss.omp_set_num_threads(1 if len(queries) == 1 else THREADS)
        scores, ids = self.index.search(queries, k)
        return Arrays(ids, scores)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """FAISS on so many threads; on one a build repeats exactly."""
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(THREADS)


@dataclass
class LiveFaiss:
    """A FAISS index whose vectors have ids; `parameters(effort, selector)` are those of a search."""

    index: Any
    vectors: Vectors
    parameters: Callable[[int, Any], Any]
    updates: bool = True
    effort: int = 1

    @classmethod
    def of(
        cls,
        index: Any,
        vectors: Vectors,
        parameters: Callable[[int, Any], Any],
        *,
        updates: bool = True,
        build_threads: int = 1,
    ) -> LiveFaiss:
        """The index filled."""
        with threads(build_threads):
            if updates:
                index.add_with_ids(vectors, np.arange(len(vectors)))
            else:
                index.add(vectors)
        return cls(index, vectors, parameters, updates)

    def reach(self, effort: int) -> None:
        """The effort of the next searches."""
        self.effort = effort

    def search(self, queries: Vectors, k: int, part: int | None = None) -> Ranked:
        """The best of each query; a filter is a selector of ids."""
        chosen = None if part is None else np.arange(part, len(self.vectors), PARTS)
        selector = None if chosen is None else faiss.IDSelectorBatch(chosen)
        scores, ids = self.index.search(queries, k, params=self.parameters(self.effort, selector))
        return Arrays(ids, scores)

    def replace(self, numbers: Sequence[int]) -> None:
        """Delete and add; FAISS' HNSW cannot delete."""
        if not self.updates:
            raise NotImplementedError("FAISS cannot delete from an HNSW graph")
        moved = np.array(numbers)
        self.index.remove_ids(faiss.IDSelectorBatch(moved))
        self.index.add_with_ids(self.vectors[moved], moved)

    def size(self) -> Size:
        """The bytes of its file."""
        return Size(int(faiss.serialize_index(self.index).size))

    def close(self) -> None:
        """Nothing is left."""
        return


def write(index: Any, vectors: Vectors, folder: Path, *, build_threads: int = 1) -> None:
    """Add the vectors, and write the index into the folder."""
    with threads(build_threads):
        index.add(vectors)
        faiss.write_index(index, str(folder / FILE))


def read(folder: Path) -> FaissIndex:
    """The index that `write` left in the folder."""
    return FaissIndex(faiss.read_index(str(folder / FILE)))


def exact_recall(vectors: Vectors, queries: Vectors, found: Sequence[Sequence[int]], k: int) -> list[float]:
    """Share of the true top-k that was found, a query each, against flat search.

    Whatever is as near as the k-th counts as found: a tie at the edge has no right side (as in ANN-Benchmarks,
    Aumueller et al. 2018).
    """
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    k = min(k, len(vectors))
    nearest, _ = flat.search(queries, k)
    edges = nearest[:, -1] - TIE
    return [
        min(k, int((vectors[list(dict.fromkeys(ids))] @ query >= edge).sum())) / k if ids else 0.0
        for ids, query, edge in zip(found, queries, edges, strict=True)
    ]
