"""Reading and writing the project's files: atomically, and with errors that name the line."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.core.digest import plain
from bench.core.errors import UserError
from bench.core.vocabulary import JSON


def write_text(path: Path, text: str | Iterable[str]) -> None:
    """Write whole or not at all, a piece at a time: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("w", encoding="utf-8") as file:
        file.writelines([text] if isinstance(text, str) else text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically. Raises ValueError on NaN and infinity."""
    write_text(path, json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Write values as JSON, one a line, atomically. Raises ValueError on NaN and infinity."""
    write_text(path, (json.dumps(plain(row), ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def read_json(path: Path) -> JSON:
    """Raises UserError with file and line for a missing or malformed file."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(
            "no such file.", where=str(path), remedy="Check the path; relative paths start at the spec's folder."
        ) from None
    except json.JSONDecodeError as e:
        raise UserError(f"malformed JSON: {e.msg}.", where=f"{path}:{e.lineno}") from None
    except (UnicodeDecodeError, IsADirectoryError, PermissionError) as e:
        raise UserError(f"cannot be read as UTF-8 text: {e}.", where=str(path)) from None


def packed(path: Path) -> Path:
    """The file, or where only that is there, the gzip file beside it: a published run keeps its records so."""
    beside = path.with_name(f"{path.name}.gz")
    return beside if beside.exists() and not path.exists() else path


def read_bytes(path: Path) -> bytes:
    """What a file holds, unpacked where it is packed. Raises OSError as `Path.read_bytes` does, and UserError for what
    cannot be unpacked."""
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as e:
        raise UserError(f"cannot be read: {e}.", where=str(path), remedy="Pack it again with gzip.") from None


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each non-blank line of a file, or of the packed one beside it. Raises UserError naming
    the line."""
    try:
        lines = read_bytes(packed(path)).decode("utf-8-sig").split("\n")
    except FileNotFoundError:
        raise UserError(
            "no such file.", where=str(path), remedy="Check the path; relative paths start at the spec's folder."
        ) from None
    except (UnicodeDecodeError, IsADirectoryError, PermissionError) as e:
        raise UserError(f"cannot be read as UTF-8 text: {e}.", where=str(path)) from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as e:
            raise UserError(
                f"malformed JSON: {e.msg}.", where=f"{path}:{number}", remedy="Each line must be one JSON object."
            ) from None
        if not isinstance(row, dict):
            raise UserError(f"expected a JSON object, found {type(row).__name__}.", where=f"{path}:{number}")
        yield number, row
