"""Canonical JSON and sha256: the identity of data, recipes and files."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.core.vocabulary import JSON


def plain(value: Any) -> JSON:
    """The JSON form of dataclasses, mappings, tuples and paths."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if (names := _fields(type(value))) is not None:  # type: ignore[arg-type]  # classes are hashable
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    return str(value) if isinstance(value, Path) else value


@functools.cache
def _fields(kind: type) -> tuple[str, ...] | None:
    """The fields of a dataclass; None for what is none. Asked once a type, not once a value."""
    return tuple(f.name for f in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else None


def canonical(value: Any) -> str:
    """One spelling for one value: sorted keys, no spaces, no NaN. Raises ValueError on NaN and infinity."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def sealed(written: Mapping[str, Any]) -> str:
    """The digest of all that a file says, but for its own `seal`: a figure that was changed is found. What is nested
    too deep has none, for nothing that is written here is."""
    try:
        return digest({key: value for key, value in written.items() if key != "seal"})
    except RecursionError:
        return ""


def digest_of_parts(parts: Iterable[Any]) -> str:
    """`digest` of the list of the parts, a piece at a time: what a part lists may be larger than memory."""
    hashed = hashlib.sha256()
    for piece in _pieces(parts):
        hashed.update(piece.encode())
    return hashed.hexdigest()


def _pieces(value: Any) -> Iterator[str]:
    """A value's canonical JSON, an item of a list at a time."""
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        yield canonical(value)
        return
    yield "["
    for number, item in enumerate(value):
        if number:
            yield ","
        yield from _pieces(item)
    yield "]"


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def visible(path: Path, root: Path) -> bool:
    """Whether no part of the path below the root is hidden."""
    return not any(part.startswith(".") for part in path.relative_to(root).parts)


def tree_digest(folder: Path) -> str:
    """Of every file below a folder, by relative path, links followed: hub caches hold models as links. Hidden files do
    not count. Raises OSError for a link to a folder that it stands in."""
    return digest({p.relative_to(folder).as_posix(): file_digest(p) for p in _files(folder, ())})


def _files(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """The visible files below a folder."""
    real = folder.resolve()
    if real in above:
        raise OSError(f"{folder} leads to a folder that it stands in")
    for path in sorted(p for p in folder.iterdir() if not p.name.startswith(".")):
        if path.is_dir():
            yield from _files(path, (*above, real))
        elif path.is_file():
            yield path
