"""FAISS IVF: vectors in cells around centroids, of which a query visits `nprobe` (Jegou et al. 2011)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import faiss

from bench.core.blocks import IVF, Retrieval
from systems.parts import faiss_index
from systems.parts.embed import Vectors
from systems.parts.index import Index, Live

EFFORT = "nprobe"


def build(vectors: Vectors, retrieval: Retrieval, folder: Path) -> None:
    """Find the centroids, and write the index."""
    faiss_index.write(_trained(vectors, retrieval), vectors, folder, build_threads=retrieval.build_threads)


def live(vectors: Vectors, retrieval: Retrieval, folder: Path) -> Live:
    """The vectors with their ids, in the cells that were found for them at first."""
    return faiss_index.LiveFaiss.of(
        _trained(vectors, retrieval),
        vectors,
        lambda n, selector: faiss.SearchParametersIVF(nprobe=n, sel=selector),
        build_threads=retrieval.build_threads,
    )


def _trained(vectors: Vectors, retrieval: Retrieval) -> Any:
    dimensions, count = vectors.shape[1], cells(len(vectors), retrieval.ivf)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimensions), dimensions, count, faiss.METRIC_INNER_PRODUCT)
    with faiss_index.threads(retrieval.build_threads):
        index.train(vectors)
    return index


def cells(vectors: int, ivf: IVF) -> int:
    """4 sqrt(n) cells, but 39 vectors in each: below that FAISS warns that k-means has too little to go on."""
    return min(vectors, ivf.nlist or max(1, min(4 * math.isqrt(vectors), vectors // 39)))


def open_folder(folder: Path, vectors: Vectors, retrieval: Retrieval) -> Index:
    """The index in the folder, visiting `nprobe` cells a query."""
    opened = faiss_index.read(folder)
    opened.index.nprobe = retrieval.ivf.nprobe
    return opened


def recipe(retrieval: Retrieval) -> Mapping[str, Any]:
    """The number of cells, where the spec sets it."""
    return {"nlist": retrieval.ivf.nlist}
