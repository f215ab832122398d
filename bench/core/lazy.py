"""Sequences whose items are made when they are asked for: what is larger than memory is read from its file."""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from operator import eq
from pathlib import Path
from typing import Any, TypeVar, overload

Made = TypeVar("Made", covariant=True)
Row = dict[str, Any]


class Lazy(Sequence[Made]):
    """Equal to what lists the same items."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]  # as of a list


class Lines(Lazy[Row]):
    """The objects of a JSONL that this program wrote, each read where its line begins: 8 bytes a line are held.

    Raises OSError where there is no such file. It must stay as it is, as what lies in the store does, or be removed.
    """

    def __init__(self, path: Path):
        self._file, self._starts, end = path.open("rb"), array("q"), 0
        for line in self._file:
            if line.startswith(b"{") or line.decode().strip():  # blank as `read_jsonl` says it
                self._starts.append(end)
            end += len(line)
        self._starts.append(end)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> list[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | list[Row]:
        if isinstance(at, slice):
            return [self[n] for n in range(len(self))[at]]
        number = range(len(self))[at]
        start = self._starts[number]
        # by its place, not where the file was left: also after a fork, and when another thread reads too
        found: Row = json.loads(os.pread(self._file.fileno(), self._starts[number + 1] - start, start).decode().strip())
        return found

    def __iter__(self) -> Iterator[Row]:
        return map(self.__getitem__, range(len(self)))


class Mapped(Lazy[Made]):
    """What a function makes of each item of a sequence, made anew whenever it is asked for."""

    def __init__(self, rows: Sequence[Any], make: Callable[[Any], Made]):
        self._rows, self._make = rows, make

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> Made: ...
    @overload
    def __getitem__(self, at: slice) -> list[Made]: ...
    def __getitem__(self, at: int | slice) -> Made | list[Made]:
        return [self._make(row) for row in self._rows[at]] if isinstance(at, slice) else self._make(self._rows[at])

    def __iter__(self) -> Iterator[Made]:
        return map(self._make, self._rows)
