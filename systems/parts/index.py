"""Vector indexes over stored embeddings: FAISS flat, IVF and HNSW, and hnswlib; and BM25.

Indexes are built on one thread, which makes them repeat exactly; a parallel HNSW build does not
(faiss issue 1073). Inner product on unit vectors throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import faiss
import hnswlib
import numpy as np
import numpy.typing as npt

from bench.store import Store
from bench.system import HNSW, IVF, Retrieval
from systems.parts.chunk import Chunks
from systems.parts.embed import Vectors

THREADS = faiss.omp_get_max_threads()  # before anything here changes it
Ranked = list[list[tuple[int, float]]]  # for each question, (chunk number, score), best first


class Index(Protocol):
    def search(self, queries: Vectors, k: int) -> Ranked: ...


@dataclass(frozen=True)
class Faiss:
    index: Any
    parameters: Any = None  # search-time: nprobe or efSearch

    def search(self, queries: Vectors, k: int) -> Ranked:
        # one query on many threads waits for the slowest of them
        faiss.omp_set_num_threads(1 if len(queries) == 1 else THREADS)
        scores, ids = self.index.search(queries, k, params=self.parameters)
        return _ranked(ids, scores)


@dataclass(frozen=True)
class Hnswlib:
    index: Any

    def search(self, queries: Vectors, k: int) -> Ranked:
        ids, distances = self.index.knn_query(queries, k=min(k, self.index.get_current_count()))
        return _ranked(ids.astype(np.int64), 1 - distances)


def _ranked(ids: npt.NDArray[Any], scores: npt.NDArray[Any]) -> Ranked:
    return [[(int(i), float(s)) for i, s in zip(*row, strict=True) if i >= 0] for row in zip(ids, scores, strict=True)]


def _flat(vectors: Vectors, retrieval: Retrieval) -> Any:
    return faiss.IndexFlatIP(vectors.shape[1])


def _ivf(vectors: Vectors, retrieval: Retrieval) -> Any:
    index = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(vectors.shape[1]),
        vectors.shape[1],
        cells(len(vectors), retrieval.ivf),
        faiss.METRIC_INNER_PRODUCT,
    )
    index.train(vectors)
    return index


def cells(vectors: int, ivf: IVF) -> int:
    """4 sqrt(n) cells, but 39 vectors in each: below that FAISS warns that k-means has too little to go on."""
    return min(vectors, ivf.nlist or max(1, min(4 * math.isqrt(vectors), vectors // 39)))


def _hnsw(vectors: Vectors, retrieval: Retrieval) -> Any:
    index = faiss.IndexHNSWFlat(vectors.shape[1], retrieval.hnsw.m, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = retrieval.hnsw.ef_construction
    return index


def _build_faiss(empty: Callable[[Vectors, Retrieval], Any]) -> Callable[[Vectors, Retrieval, Path], None]:
    def build(vectors: Vectors, retrieval: Retrieval, file: Path) -> None:
        faiss.omp_set_num_threads(1)
        index = empty(vectors, retrieval)
        index.add(vectors)
        faiss.write_index(index, str(file))
        faiss.omp_set_num_threads(THREADS)

    return build


def _build_hnswlib(vectors: Vectors, retrieval: Retrieval, file: Path) -> None:
    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(
        max_elements=len(vectors), M=retrieval.hnsw.m, ef_construction=retrieval.hnsw.ef_construction, random_seed=100
    )
    index.add_items(vectors, num_threads=1)
    index.save_index(str(file))


def _open_hnswlib(file: Path, vectors: Vectors, retrieval: Retrieval) -> Index:
    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.load_index(str(file), max_elements=len(vectors))  # safe: the store has checked the file's hash
    index.set_ef(max(retrieval.hnsw.ef_search, retrieval.k))
    return Hnswlib(index)


def _open_faiss(parameters: Callable[[Retrieval], Any]) -> Callable[[Path, Vectors, Retrieval], Index]:
    return lambda file, vectors, retrieval: Faiss(faiss.read_index(str(file)), parameters(retrieval))


@dataclass(frozen=True)
class Library:
    """How one kind of index is built and opened, and which parameters its artefact depends on."""

    build: Callable[[Vectors, Retrieval, Path], None]
    open: Callable[[Path, Vectors, Retrieval], Index]
    parameters: Callable[[Retrieval], Mapping[str, Any]]


def _graph(hnsw: HNSW) -> dict[str, int]:
    return {"m": hnsw.m, "ef_construction": hnsw.ef_construction}


LIBRARIES: dict[str, Library] = {
    "faiss_flat": Library(_build_faiss(_flat), _open_faiss(lambda r: None), lambda r: {}),
    "faiss_ivf": Library(_build_faiss(_ivf), _open_faiss(lambda r: faiss.SearchParametersIVF(nprobe=r.ivf.nprobe)), lambda r: {"nlist": r.ivf.nlist}),
    "faiss_hnsw": Library(_build_faiss(_hnsw), _open_faiss(lambda r: faiss.SearchParametersHNSW(efSearch=r.hnsw.ef_search)), lambda r: _graph(r.hnsw)),
    "hnswlib": Library(_build_hnswlib, _open_hnswlib, lambda r: _graph(r.hnsw)),
}  # fmt: skip


def index(file: Path, digest: str, retrieval: Retrieval, store: Store) -> Index:
    """The index of stored embeddings, built where the store has none."""
    library = LIBRARIES[retrieval.index]
    vectors: Vectors = np.load(file)
    recipe = {
        "kind": "index",
        "version": 1,
        "library": retrieval.index,
        "embeddings": digest,
        "parameters": dict(library.parameters(retrieval)),
    }

    def make(folder: Path) -> dict[str, int]:
        library.build(vectors, retrieval, folder / "index.bin")
        return {"vectors": len(vectors)}

    folder, _ = store.get(recipe, make)
    return library.open(folder / "index.bin", vectors, retrieval)


def exact(file: Path, queries: Vectors, k: int) -> list[set[int]]:
    """The true top-k of each query by flat search, ties at the edge broken by chunk number."""
    vectors: Vectors = np.load(file)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    _, ids = flat.search(queries, min(k, len(vectors)))
    return [set(row.tolist()) for row in ids]


@dataclass(frozen=True)
class BM25:
    """BM25 (Lucene's form, k1 1.5, b 0.75) over the chunks."""

    model: Any

    def search(self, texts: Sequence[str], k: int) -> Ranked:
        import bm25s

        tokens = bm25s.tokenize(list(texts), stopwords="en", show_progress=False, return_ids=False)
        found, scores = self.model.retrieve(tokens, k=min(k, self.model.scores["num_docs"]), show_progress=False)
        return _ranked(found, scores)


def bm25(chunks: Chunks, store: Store) -> BM25:
    import bm25s

    recipe = {
        "kind": "index",
        "version": 1,
        "library": "bm25s",
        "chunks": chunks.digest,
        "parameters": {"k1": 1.5, "b": 0.75, "stopwords": "en"},
    }

    def make(folder: Path) -> dict[str, int]:
        model = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
        texts = [f"{c.title}. {c.text}" for c in chunks.rows]
        model.index(bm25s.tokenize(texts, stopwords="en", show_progress=False, return_ids=False), show_progress=False)
        model.save(str(folder / "bm25"))
        return {"chunks": len(texts)}

    folder, _ = store.get(recipe, make)
    return BM25(bm25s.BM25.load(str(folder / "bm25")))


@dataclass
class InPlace:
    """An hnswlib index that is updated in place: a deleted vector's slot is taken by the next that is added."""

    index: Any
    vectors: Vectors
    label_of: list[int]  # of each vector
    vector_of: dict[int, int]

    @classmethod
    def of(cls, file: Path, retrieval: Retrieval) -> InPlace:
        vectors: Vectors = np.load(file)
        made = hnswlib.Index(space="ip", dim=vectors.shape[1])
        h = retrieval.hnsw
        made.init_index(
            max_elements=len(vectors),
            M=h.m,
            ef_construction=h.ef_construction,
            random_seed=100,
            allow_replace_deleted=True,
        )
        made.add_items(vectors, np.arange(len(vectors)), num_threads=1)
        made.set_ef(max(h.ef_search, retrieval.k))
        return cls(made, vectors, list(range(len(vectors))), {i: i for i in range(len(vectors))})

    def replace(self, moved: Sequence[int]) -> None:
        """Delete these vectors, and add them again under labels never used before."""
        for i in moved:
            self.index.mark_deleted(self.label_of[i])
            self.vector_of.pop(self.label_of[i])
        first = max([*self.vector_of, *self.label_of]) + 1
        for label, i in enumerate(moved, first):
            self.label_of[i], self.vector_of[label] = label, i
        labels = np.array([self.label_of[i] for i in moved])
        self.index.add_items(self.vectors[list(moved)], labels, num_threads=1, replace_deleted=True)

    def recall(self, queries: Vectors, truth: Sequence[set[int]], k: int) -> float:
        """Share of the exact top k that is found, over all queries."""
        labels, _ = self.index.knn_query(queries, k=k)
        found = [{self.vector_of[int(n)] for n in row} for row in labels]
        return sum(len(t & f) / len(t) for t, f in zip(truth, found, strict=True)) / len(truth)
