"""Qdrant: a vector database on a server of its own. `pip install 'ragtune[qdrant]'`, and its address in QDRANT_URL.

`:memory:` as the address runs the client's local mode, which searches without an index: for tests alone.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from qdrant_client import QdrantClient, models

from bench.core.files import read_json, write_json
from bench.core.system import Retrieval
from systems.parts.embed import Vectors
from systems.parts.index import Index, Ranked, address

FILE = "collection.json"  # the name of what stands on the server
ADDRESS, KEY = "QDRANT_URL", "QDRANT_API_KEY"
LOCAL = ":memory:"
AT_ONCE = 1000  # vectors of one request
_local: list[QdrantClient] = []  # what is in memory ends with its client


@dataclass(frozen=True)
class Collection:
    """An opened collection; the graph is searched with `ef`."""

    client: QdrantClient
    name: str
    ef: int | None  # None: it searches without a graph

    def search(self, queries: Vectors, k: int) -> Ranked:
        """The best `k` chunks of each query, best first."""
        wide = None if self.ef is None else models.SearchParams(hnsw_ef=max(self.ef, k))
        asked = [models.QueryRequest(query=query.tolist(), limit=k, params=wide) for query in queries]
        found = self.client.query_batch_points(self.name, requests=asked)
        return [sorted(((int(p.id), float(p.score)) for p in one.points), key=lambda x: (-x[1], x[0])) for one in found]


def build(vectors: Vectors, retrieval: Retrieval, folder: Path) -> None:
    """Put the vectors into a new collection, and keep its name."""
    name = f"ragtune-{uuid.uuid4().hex[:16]}"
    _fill(_client(), name, vectors, retrieval)
    write_json(folder / FILE, {"collection": name})


def open_folder(folder: Path, vectors: Vectors, retrieval: Retrieval) -> Index:
    """The collection whose name is kept; put there again where the server has lost it."""
    client, name = _client(), str(read_json(folder / FILE)["collection"])
    if not client.collection_exists(name) or client.count(name).count != len(vectors):
        client.delete_collection(name)
        _fill(client, name, vectors, retrieval)
    return Collection(client, name, None if address(ADDRESS) == LOCAL else retrieval.hnsw.ef_search)


def recipe(retrieval: Retrieval) -> Mapping[str, Any]:
    """The server, and the shape of the graph."""
    hnsw, at = retrieval.hnsw, urlsplit(address(ADDRESS))
    return {"at": [at.hostname, at.port], "m": hnsw.m, "ef_construction": hnsw.ef_construction}


def _client() -> QdrantClient:
    at = address(ADDRESS)
    if at != LOCAL:
        return QdrantClient(url=at, api_key=os.environ.get(KEY), timeout=600)
    if not _local:
        _local.append(QdrantClient(LOCAL))
    return _local[0]


def _fill(client: QdrantClient, name: str, vectors: Vectors, retrieval: Retrieval) -> None:
    client.create_collection(
        name,
        vectors_config=models.VectorParams(size=vectors.shape[1], distance=models.Distance.DOT),
        hnsw_config=models.HnswConfigDiff(m=retrieval.hnsw.m, ef_construct=retrieval.hnsw.ef_construction),
    )
    for start in range(0, len(vectors), AT_ONCE):
        part = vectors[start : start + AT_ONCE]
        batch = models.Batch(ids=list(range(start, start + len(part))), vectors=part.tolist())
        client.upsert(name, batch, wait=True)
