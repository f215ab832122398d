"""Vector indexes over stored embeddings, one library's index a module; this folder is the whole registry.

A module's name is the value of `retrieval.index`. It holds `build(vectors, retrieval, folder)`, which writes the index
into a folder; `open_folder(folder, vectors, retrieval)`, which gives an `Index`; `recipe(retrieval)`, the parameters
that what is built depends on; and `live(vectors, retrieval, folder)`, an index that is changed in place. Inner product
on unit vectors throughout: it is the cosine.

Indexes are built on one thread unless `build_threads` says more, which makes them repeat exactly; a parallel HNSW
build does not (faiss issue 1073).
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, overload

from bench.core.blocks import Retrieval
from bench.core.lazy import Lazy
from bench.core.redact import hide
from bench.core.store import Store

if TYPE_CHECKING:
    import numpy.typing as npt

    from systems.parts.embed import Vectors

Row = Sequence[tuple[int, float]]  # (chunk number, score), best first
Ranked = Sequence[Row]  # one for each question


class Arrays(Lazy[Row]):
    """Rows from a library's arrays of shape (queries, k), made of Python's own numbers when they are read.

    Numbers below zero are padding. `distances`: the scores are what lacks to one, which is a distance of unit vectors.
    """

    def __init__(self, numbers: npt.NDArray[Any], scores: npt.NDArray[Any], *, distances: bool = False) -> None:
        self.numbers, self.scores, self.distances = numbers, scores, distances

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> list[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | list[Row]:
        chosen = at if isinstance(at, slice) else [at]
        rows = list(Arrays(self.numbers[chosen], self.scores[chosen], distances=self.distances))
        return rows if isinstance(at, slice) else rows[0]

    def __iter__(self) -> Iterator[Row]:
        scores = 1 - self.scores if self.distances else self.scores
        return map(_row, self.numbers.tolist(), scores.tolist())


def _row(numbers: Sequence[int], scores: Sequence[float]) -> Row:
    return [pair for pair in zip(numbers, scores, strict=True) if pair[0] >= 0]


class Index(Protocol):
    """An opened index."""

    def search(self, queries: Vectors, k: int) -> Ranked:
        """The best `k` chunks of each query, best first. Queries are (queries, dimensions)."""
        ...


PARTS = 10  # that a filter tells apart: a vector's number modulo this


@dataclass(frozen=True)
class Size:
    """Bytes of an index: on disk, and of a server's processes where it has one. None where that is not told."""

    disk_bytes: int | None
    server_bytes: int | None = None


class Live(Protocol):
    """An index in use: searched with more or less effort and among a part of the vectors, and changed in place.

    What a library does not do raises NotImplementedError, with the reason.
    """

    def reach(self, effort: int) -> None:
        """Search from now on with this `ef_search` or `nprobe`."""
        ...

    def search(self, queries: Vectors, k: int, part: int | None = None) -> Ranked:
        """The best `k` of each query, among the vectors of a part or all."""
        ...

    def replace(self, numbers: Sequence[int]) -> None:
        """Delete these vectors, and put them there again."""
        ...

    def size(self) -> Size:
        """What it takes now."""
        ...

    def close(self) -> None:
        """Leave nothing behind on a server."""
        ...


class Library(Protocol):
    """What a module of this folder holds."""

    def build(self, vectors: Vectors, retrieval: Retrieval, folder: Path) -> None:
        """Write the index of the vectors into a folder."""
        ...

    def open_folder(self, folder: Path, vectors: Vectors, retrieval: Retrieval) -> Index:
        """The index that `build` wrote."""
        ...

    def recipe(self, retrieval: Retrieval) -> Mapping[str, Any]:
        """The parameters that the built index depends on; search-time ones are not among them."""
        ...

    def live(self, vectors: Vectors, retrieval: Retrieval, folder: Path) -> Live:
        """An index of the vectors to be searched and changed; files go into the folder, which is the caller's."""
        ...

    EFFORT: str | None  # what a search can be given more of: `ef_search` or `nprobe`; None: it is exact


def names() -> list[str]:
    """The indexes that a spec can name."""
    return [m.name for m in pkgutil.iter_modules(__path__)]


def library(name: str) -> Library:
    """The module of an index. Raises ValueError where its package, an extra of ragtune, is not installed."""
    try:
        return cast(Library, importlib.import_module(f"{__name__}.{name}"))
    except ModuleNotFoundError as e:
        raise ValueError(
            f"`retrieval.index: {name}` needs the package {e.name}: pip install 'ragtune[{name}]'"
        ) from None


def address(variable: str) -> str:
    """Where the server of an index is. Raises ValueError where the environment does not say."""
    found = os.environ.get(variable)
    if not found:
        raise ValueError(
            f"this index is on a server of its own: put its address into the environment variable {variable}"
        )
    hide(variable)
    return found


def index(file: Path, digest: str, retrieval: Retrieval, store: Store) -> Index:
    """The index of stored embeddings (`file`, whose artefact has the digest), built where the store has none."""
    import numpy as np

    chosen = library(retrieval.index)
    vectors: Vectors = np.load(file, mmap_mode="r")  # read as it is needed
    threads = {} if retrieval.build_threads == 1 else {"build_threads": retrieval.build_threads}
    known = {
        "kind": "index",
        "version": 1,
        "library": retrieval.index,
        "embeddings": digest,
        "parameters": {**chosen.recipe(retrieval), **threads},
    }

    def make(folder: Path) -> dict[str, int]:
        chosen.build(vectors, retrieval, folder)
        return {"vectors": len(vectors)}

    folder, _ = store.get(known, make)
    return chosen.open_folder(folder, vectors, retrieval)
