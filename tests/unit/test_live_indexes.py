"""Indexes in use: with more effort they find more, a filter keeps to its part, and what is replaced is found again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.blocks import Retrieval
from bench.core.store import Store
from systems.parts.faiss_index import exact_recall
from systems.parts.index import PARTS, Live, index, library, names
from tests.unit.test_index_servers import server_of

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(6000, 16)).astype(np.float32)  # more than LanceDB searches whole
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
QUERIES = VECTORS[:40] + 0.05 * RNG.normal(size=(40, 16)).astype(np.float32)


# a PostgreSQL takes seconds to start
@pytest.fixture(params=[pytest.param(n, marks=[pytest.mark.heavy] * (n == "pgvector")) for n in names()])
def live(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[str, Live]]:
    """The name of an index, and one of the vectors."""
    with server_of(request.param, monkeypatch, tmp_path):
        retrieval = Retrieval.model_validate({"index": request.param, "k": 10})
        found = library(request.param).live(VECTORS, retrieval, tmp_path)
        yield request.param, found
        found.close()


def recall(live: Live) -> float:
    found = [[number for number, _ in row] for row in live.search(QUERIES, 10)]
    return float(np.mean(exact_recall(VECTORS, QUERIES, found, 10)))


def test_an_index_in_use(live: tuple[str, Live]) -> None:
    name, index = live
    index.reach(512)
    whole = recall(index)
    assert whole > 0.97
    if library(name).EFFORT and name != "qdrant":  # whose local mode searches without a graph
        index.reach(1)
        assert recall(index) < whole, "an index that finds all with no effort is not used"
        index.reach(512)
    check_filter(index)
    before = index.size()
    assert name == "qdrant" or (before.disk_bytes or 0) >= VECTORS.nbytes
    assert name != "pgvector" or (before.server_bytes or 0) > 5_000_000  # of the server's processes
    moved = list(range(0, 6000, 3))
    if name == "faiss_hnsw":
        with pytest.raises(NotImplementedError, match="cannot delete"):
            index.replace(moved)
        return
    index.replace(moved)
    assert recall(index) > 0.95
    rows: Any = index.search(VECTORS[moved[:20]], 1)
    assert [row[0][0] for row in rows] == moved[:20]  # each is found under its number


def check_filter(index: Live) -> None:
    """Of the vectors of a part, and of no others, what exact search finds among them."""
    found = [[number for number, _ in row] for row in index.search(QUERIES, 5, 3)]
    assert {number % PARTS for row in found for number in row} == {3}
    of_part = [[number // PARTS for number in row] for row in found]
    assert np.mean(exact_recall(VECTORS[3::PARTS], QUERIES, of_part, 5)) > 0.9


@pytest.mark.parametrize("name", ["faiss_ivf", "faiss_hnsw", "hnswlib", "usearch"])
def test_an_index_built_on_several_threads_finds_as_much_and_is_stored_apart(name: str, tmp_path: Path) -> None:
    file, store, found = tmp_path / "vectors.npy", Store(tmp_path / "s"), []
    np.save(file, VECTORS)
    for threads in (1, 2):
        retrieval = Retrieval.model_validate({"index": name, "k": 10, "build_threads": threads})
        opened = index(file, "digest", retrieval, store)
        found.append([[number for number, _ in row] for row in opened.search(QUERIES, 10)])
    one, two = (float(np.mean(exact_recall(VECTORS, QUERIES, rows, 10))) for rows in found)
    assert abs(one - two) < 0.05 and len(store.used) == 2
