"""LanceDB: a vector database inside the process, its table on disk. `pip install 'ragtune[lancedb]'`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import IvfFlat

from bench.core.blocks import Retrieval
from systems.parts.embed import Vectors
from systems.parts.index import PARTS, Index, Live, Ranked, Size
from systems.parts.index.faiss_ivf import cells

EFFORT = "nprobe"
TABLE = "chunks"
EXACT = 4096  # vectors up to which the table is searched whole, as LanceDB advises for small ones


@dataclass(frozen=True)
class LanceTable:
    """An opened table; `nprobe` cells of its inverted file are searched, where it has one."""

    table: Any
    nprobe: int

    def search(self, queries: Vectors, k: int) -> Ranked:
        """The best `k` chunks of each query, best first."""
        return [self.one(query, k) for query in queries]

    def one(self, query: Vectors, k: int, where: str | None = None) -> list[tuple[int, float]]:
        """The best of one query, among the rows that a condition holds for."""
        asked = self.table.search(query).distance_type("dot").nprobes(self.nprobe).select(["number", "_distance"])
        found = (asked.where(where, prefilter=True) if where else asked).limit(k).to_arrow()
        numbers, distances = (found[name].to_pylist() for name in ("number", "_distance"))
        return sorted(
            ((n, 1 - d) for n, d in zip(numbers, distances, strict=True)), key=lambda pair: (-pair[1], pair[0])
        )


@dataclass
class LiveLance:
    """A table that rows are deleted from and added to; then its inverted file takes them in."""

    table: Any
    vectors: Vectors
    folder: Path
    nprobe: int = 1

    def reach(self, effort: int) -> None:
        """The cells that the next searches visit."""
        self.nprobe = effort

    def search(self, queries: Vectors, k: int, part: int | None = None) -> Ranked:
        """The best of each query; a filter goes before the search."""
        where = None if part is None else f"part = {part}"
        return [LanceTable(self.table, self.nprobe).one(query, k, where) for query in queries]

    def replace(self, numbers: Sequence[int]) -> None:
        """Delete, add, and index what was added."""
        self.table.delete(f"number IN ({', '.join(map(str, numbers))})")
        self.table.add(_rows(self.vectors[list(numbers)], np.array(numbers)))
        self.table.optimize()

    def size(self) -> Size:
        """The files of the table, with the versions that it keeps."""
        return Size(sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file()))

    def close(self) -> None:
        """The folder is the caller's."""
        return


def live(vectors: Vectors, retrieval: Retrieval, folder: Path) -> Live:
    """The table in the folder."""
    build(vectors, retrieval, folder)
    return LiveLance(lancedb.connect(str(folder)).open_table(TABLE), vectors, folder)


def _rows(vectors: Vectors, numbers: Any) -> Any:
    """Rows of (number, part, vector)."""
    kept = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    return pa.table({"number": pa.array(numbers), "part": pa.array(numbers % PARTS), "vector": kept})


def build(vectors: Vectors, retrieval: Retrieval, folder: Path) -> None:
    """Write the table, and an inverted file over it where it is not small."""
    whole = _rows(vectors, np.arange(len(vectors)))
    table = lancedb.connect(str(folder)).create_table(TABLE, whole, mode="overwrite")
    if len(vectors) > EXACT:
        table.create_index("vector", config=IvfFlat("dot", num_partitions=cells(len(vectors), retrieval.ivf)))


def open_folder(folder: Path, vectors: Vectors, retrieval: Retrieval) -> Index:
    """The table in the folder."""
    return LanceTable(lancedb.connect(str(folder)).open_table(TABLE), retrieval.ivf.nprobe)


def recipe(retrieval: Retrieval) -> Mapping[str, Any]:
    """The cells of the inverted file."""
    return {"nlist": retrieval.ivf.nlist}
