"""Qdrant: a vector database on a server of its own. `pip install 'ragtune[qdrant]'`, and its address in QDRANT_URL.

`:memory:` as the address runs the client's local mode, which searches without an index: for tests alone.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from qdrant_client import QdrantClient, models

from bench.core import meters
from bench.core.blocks import Retrieval
from bench.core.files import read_json, write_json
from systems.parts.embed import Vectors
from systems.parts.index import PARTS, Index, Live, Ranked, Size, address
from systems.parts.server_size import folder_bytes, listening_bytes

EFFORT = "ef_search"
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

    def search(self, queries: Vectors, k: int, part: int | None = None) -> Ranked:
        """The best `k` chunks of each query, best first, among those of a part or all."""
        wide = None if self.ef is None else models.SearchParams(hnsw_ef=max(self.ef, k))
        among = None if part is None else models.Filter(must=[_of_part(part)])
        asked = [models.QueryRequest(query=query.tolist(), limit=k, params=wide, filter=among) for query in queries]
        found = self.client.query_batch_points(self.name, requests=asked)
        return [sorted(((int(p.id), float(p.score)) for p in one.points), key=lambda x: (-x[1], x[0])) for one in found]


@dataclass
class LiveCollection:
    """A collection that points are deleted from and put into."""

    client: QdrantClient
    name: str
    vectors: Vectors
    effort: int | None = None

    def reach(self, effort: int) -> None:
        """The `ef` of the next searches."""
        self.effort = None if address(ADDRESS) == LOCAL else effort

    def search(self, queries: Vectors, k: int, part: int | None = None) -> Ranked:
        """The best of each query; a filter is on what stands with a point."""
        return Collection(self.client, self.name, self.effort).search(queries, k, part)

    def replace(self, numbers: Sequence[int]) -> None:
        """Delete, and put there again."""
        self.client.delete(self.name, models.PointIdsList(points=list(numbers)), wait=True)
        _put(self.client, self.name, self.vectors, numbers)
        _settle(self.client, self.name)

    def size(self) -> Size:
        """What a server on this machine takes, as this machine sees it: its API does not tell."""
        port = urlsplit(address(ADDRESS)).port
        return Size(None, None) if port is None else Size(folder_bytes(port, self.name), listening_bytes(port))

    def close(self) -> None:
        """Delete the collection."""
        self.client.delete_collection(self.name)


def live(vectors: Vectors, retrieval: Retrieval, folder: Path) -> Live:
    """A collection of its own."""
    name = f"ragtune-{uuid.uuid4().hex[:16]}"
    _fill(_client(), name, vectors, retrieval)
    return LiveCollection(_client(), name, vectors)


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
    meters.note("index", "Qdrant's client in its local mode, without a graph")
    if not _local:
        _local.append(QdrantClient(LOCAL))
    return _local[0]


def _fill(client: QdrantClient, name: str, vectors: Vectors, retrieval: Retrieval) -> None:
    client.create_collection(
        name,
        vectors_config=models.VectorParams(size=vectors.shape[1], distance=models.Distance.DOT),
        hnsw_config=models.HnswConfigDiff(m=retrieval.hnsw.m, ef_construct=retrieval.hnsw.ef_construction),
    )
    if address(ADDRESS) != LOCAL:  # which has none
        client.create_payload_index(name, "part", models.PayloadSchemaType.INTEGER)
    _put(client, name, vectors, range(len(vectors)))
    _settle(client, name)


def _settle(client: QdrantClient, name: str) -> None:
    """Wait until the server has built its graph: what it does later belongs to the build, and until then it may read
    every vector."""
    while client.get_collection(name).status == models.CollectionStatus.YELLOW:
        time.sleep(0.05)


def _of_part(part: int) -> models.FieldCondition:
    return models.FieldCondition(key="part", match=models.MatchValue(value=part))


def _put(client: QdrantClient, name: str, vectors: Vectors, numbers: Sequence[int]) -> None:
    """Put the vectors of these numbers there, some at a time."""
    for start in range(0, len(numbers), AT_ONCE):
        some = list(numbers[start : start + AT_ONCE])
        kept = [{"part": number % PARTS} for number in some]
        client.upsert(name, models.Batch(ids=some, vectors=vectors[some].tolist(), payloads=kept), wait=True)
