"""Indexes on a server of their own: Qdrant in its client's local mode, and a PostgreSQL that the test starts."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from bench.core.blocks import Retrieval
from bench.core.files import read_json
from bench.core.store import Store
from systems.parts import index
from systems.parts.faiss_index import exact_recall

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(2000, 16)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
QUERIES = VECTORS[:50] + 0.05 * RNG.normal(size=(50, 16)).astype(np.float32)


@contextmanager
def qdrant(tmp_path: Path) -> Iterator[str]:
    """The address of a Qdrant: one that is named, one that is started where its program is, else the client's own."""
    if named := os.environ.get("RAGTUNE_TEST_QDRANT_URL"):
        yield named
    elif program := shutil.which("qdrant"):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {"QDRANT__SERVICE__HTTP_PORT": str(port), "QDRANT__STORAGE__STORAGE_PATH": str(tmp_path / "qdrant")}
        with subprocess.Popen([program], cwd=tmp_path, env=os.environ | settings, stdout=subprocess.DEVNULL) as server:
            while server.poll() is None and socket.socket().connect_ex(("127.0.0.1", port)):
                time.sleep(0.1)
            try:
                yield f"http://127.0.0.1:{port}"
            finally:
                server.terminate()
    else:
        yield ":memory:"


@contextmanager
def server_of(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The server of an index, where it needs one; skips where its package is not installed."""
    if name == "qdrant":
        pytest.importorskip("qdrant_client", reason="qdrant-client is not installed")
        with qdrant(tmp_path) as url:
            monkeypatch.setenv("QDRANT_URL", url)
            yield
    elif name == "pgvector":
        pytest.importorskip("psycopg", reason="psycopg is not installed")
        pytest.importorskip("pgvector", reason="pgvector is not installed")
        pgserver = pytest.importorskip("pgserver", reason="pgserver, a PostgreSQL with pgvector, is not installed")
        with pgserver.get_server(tmp_path / "pg", cleanup_mode="delete") as server:
            monkeypatch.setenv("PGVECTOR_DSN", server.get_uri())
            yield
            from systems.parts.index import pgvector

            pgvector.close()
    else:
        for package in {"usearch": ["usearch"], "lancedb": ["lancedb"]}.get(name, []):
            pytest.importorskip(package, reason=f"{package} is not installed")
        yield


def needs_qdrant() -> None:
    """Skips, and says so, where there is no Qdrant server: its client's local mode has no graph, and keeps no file."""
    if not os.environ.get("RAGTUNE_TEST_QDRANT_URL") and not shutil.which("qdrant"):
        pytest.skip("no Qdrant server: name one in RAGTUNE_TEST_QDRANT_URL, or put `qdrant` on PATH")


@pytest.fixture(params=["qdrant", "qdrant-server", pytest.param("pgvector", marks=pytest.mark.heavy)])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The name of an index whose server is there."""
    name: str = request.param
    if name == "qdrant-server":
        needs_qdrant()
        name = "qdrant"
    with server_of(name, monkeypatch, tmp_path):
        yield name


def test_it_finds_what_exact_search_finds_and_fills_what_was_lost(library: str, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", VECTORS)
    retrieval = Retrieval.model_validate({"index": library, "k": 10})
    store = Store(tmp_path / "s")
    found = index.index(tmp_path / "v.npy", "d", retrieval, store).search(QUERIES, 10)
    recall = float(np.mean(exact_recall(VECTORS, QUERIES, [[n for n, _ in row] for row in found], 10)))
    assert 0.9 < recall <= 1.0
    for query, row in zip(QUERIES, found, strict=True):
        scores = [score for _, score in row]
        assert scores == sorted(scores, reverse=True) and len(row) == 10
        assert scores[0] == pytest.approx(float(VECTORS[row[0][0]] @ query), abs=1e-5)
    again = index.index(tmp_path / "v.npy", "d", retrieval, store)
    assert store.used[-1].hit and again.search(QUERIES, 10) == found
    (folder,) = {path.parent for path in (tmp_path / "s").rglob("*.json") if path.stem in ("collection", "table")}
    lose(library, folder)
    refilled = index.index(tmp_path / "v.npy", "d", retrieval, store).search(QUERIES, 10)
    same = [len({n for n, _ in a} & {n for n, _ in b}) for a, b in zip(found, refilled, strict=True)]
    assert np.mean(same) > 9


def lose(library: str, folder: Path) -> None:
    """Drop what the server holds, as one that was set up anew would."""
    if library == "qdrant":
        from systems.parts.index import qdrant

        qdrant._client().delete_collection(read_json(folder / qdrant.FILE)["collection"])
    else:
        from systems.parts.index import pgvector

        pgvector._connected().execute(f"DROP TABLE {read_json(folder / pgvector.FILE)['table']}")


@pytest.mark.parametrize(
    ("name", "variable", "package"),
    [("qdrant", "QDRANT_URL", "qdrant_client"), ("pgvector", "PGVECTOR_DSN", "psycopg")],
)
def test_without_an_address_or_a_package_it_is_said_what_is_missing(
    name: str, variable: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(variable, raising=False)
    np.save(tmp_path / "v.npy", VECTORS[:10])
    wanted = variable
    try:
        __import__(package)
    except ModuleNotFoundError:
        wanted = rf"ragtune\[{name}\]"
    with pytest.raises(ValueError, match=wanted):
        index.index(tmp_path / "v.npy", "d", Retrieval.model_validate({"index": name}), Store(tmp_path / "s"))
