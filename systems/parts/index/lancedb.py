"""LanceDB: a vector database inside the process, its table on disk. `pip install 'ragtune[lancedb]'`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import IvfFlat

from bench.core.system import Retrieval
from systems.parts.embed import Vectors
from systems.parts.index import Index, Ranked
from systems.parts.index.faiss_ivf import cells

TABLE = "chunks"
EXACT = 4096  # vectors up to which the table is searched whole, as LanceDB advises for small ones


@dataclass(frozen=True)
class LanceTable:
    """An opened table; `nprobe` cells of its inverted file are searched, where it has one."""

    table: Any
    nprobe: int

    def search(self, queries: Vectors, k: int) -> Ranked:
        """The best `k` chunks of each query, best first."""
        return [self._one(query, k) for query in queries]

    def _one(self, query: Vectors, k: int) -> list[tuple[int, float]]:
        asked = self.table.search(query).distance_type("dot").nprobes(self.nprobe).select(["number", "_distance"])
        found = asked.limit(k).to_arrow()
        numbers, distances = (found[name].to_pylist() for name in ("number", "_distance"))
        return sorted(
            ((n, 1 - d) for n, d in zip(numbers, distances, strict=True)), key=lambda pair: (-pair[1], pair[0])
        )


def build(vectors: Vectors, retrieval: Retrieval, folder: Path) -> None:
    """Write the table, and an inverted file over it where it is not small."""
    rows = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    whole = pa.table({"number": pa.array(np.arange(len(vectors))), "vector": rows})
    table = lancedb.connect(str(folder)).create_table(TABLE, whole, mode="overwrite")
    if len(vectors) > EXACT:
        table.create_index("vector", config=IvfFlat("dot", num_partitions=cells(len(vectors), retrieval.ivf)))


def open_folder(folder: Path, vectors: Vectors, retrieval: Retrieval) -> Index:
    """The table in the folder."""
    return LanceTable(lancedb.connect(str(folder)).open_table(TABLE), retrieval.ivf.nprobe)


def recipe(retrieval: Retrieval) -> Mapping[str, Any]:
    """The cells of the inverted file."""
    return {"nlist": retrieval.ivf.nlist}
