"""Reading and writing the project's files: atomically, and with errors that name the line."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import logging
import lzma
import mmap
import os
import platform
import re
import shutil
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from bench.core.digest import file_digest, plain
from bench.core.errors import UserError
from bench.core.vocabulary import JSON

LONGEST_FIELD = 64_000_000  # characters of a field of a CSV
_LOG = logging.getLogger("ragtune")
_HOST = re.sub(r"\W", "-", platform.node()) or "here"


def write_text(path: Path, text: str | Iterable[str]) -> None:
    """Write whole or not at all, a piece at a time: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    with part.open("w", encoding="utf-8") as file:
        file.writelines([text] if isinstance(text, str) else text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def part_of(path: Path) -> Path:
    """Where a file or folder is made before it takes its name, which says who makes it."""
    return path.with_name(f".{path.name}.{_HOST}.{os.getpid()}.part")


def sweep(folder: Path) -> None:
    """Remove what processes of this machine that are gone have left half made in a folder; not in those below it."""
    for part in folder.glob(f".*.{_HOST}.*.part"):
        process = part.name.split(".")[-2]
        if process.isdigit() and not psutil.pid_exists(int(process)):
            if part.is_dir() and not part.is_symlink():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically. Raises ValueError on NaN and infinity."""
    write_text(path, json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Write values as JSON, one a line, atomically. Raises ValueError on NaN and infinity."""
    write_text(path, (json.dumps(plain(row), ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def check_file(path: Path) -> None:
    """Raises UserError for what is no file that can be read to its end: a folder, a pipe, a device, a dangling link."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as e:  # ValueError: a NUL in the name
        link = "a link to nothing" if _is_link(path) else "no such file"
        why = link if isinstance(e, FileNotFoundError) else f"cannot be opened: {getattr(e, 'strerror', None) or e}"
        raise UserError(
            f"{why}.", where=_shown(path), remedy="Check the path; relative paths start at the spec's folder."
        ) from None
    if not stat.S_ISREG(mode):
        raise UserError("this is a folder, a pipe or a device, and no file.", where=_shown(path))


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except (OSError, ValueError):
        return False


def _shown(path: Path) -> str:
    """A path as a line of text, whatever its name holds."""
    name = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(path))
    return name if len(name) <= 300 else f"{name[:300]}..."


LONGEST_LINE = 1 << 26  # characters of a line of JSON
LARGEST = 1 << 30  # bytes of a file that is read whole
MOST_PACKED = 100  # times that a packed text may be smaller: ours are 5 to 90 times
UNPACK: dict[str, Callable[[Path], Any]] = {".xz": lzma.open, ".gz": gzip.open}
NOT_PACKED = (EOFError, zlib.error, lzma.LZMAError)  # what they raise, beside OSError
PACK_AGAIN = "Pack it again."


def read_text(path: Path) -> str:
    """The UTF-8 text of a file, without a byte order mark. Raises UserError."""
    check_file(path)
    if path.stat().st_size > LARGEST:
        raise UserError(f"the file has more than {LARGEST:,} bytes.", where=_shown(path))
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = bytes(e.object[: e.start]).count(b"\n") + 1
        raise UserError(
            f"cannot be read as UTF-8 text: byte {e.start + 1:,} is of another encoding.",
            where=f"{_shown(path)}:{line}",
            remedy="Save the file as UTF-8.",
        ) from None
    except OSError as e:
        raise UserError(f"cannot be read as UTF-8 text: {e}.", where=_shown(path)) from None


def drop_torn_line(path: Path) -> None:
    """Cut what a kill left of a last line that was not written whole, if there is such a file."""
    if path.exists() and (size := path.stat().st_size):
        with path.open("rb+") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as seen:
            file.truncate(seen.rfind(b"\n") + 1)


def parsed(text: str, where: str, *, line: int | None = None) -> JSON:
    """A JSON text as a value. Raises UserError for what is malformed, nested too deep, or has a key twice; `line` is
    the text's own, where it is one."""
    try:
        found = json.loads(text, parse_constant=_no_number, object_pairs_hook=_once)
        if _HALF.search(text):
            json.dumps(found, ensure_ascii=False).encode()
        return found
    except json.JSONDecodeError as e:
        remedy = "Each line must be one JSON object." if line else ""
        if line == 1 and text.lstrip()[:1] == "[":
            remedy = "This is a JSON array: name the file .json, or write one object a line."
        raise UserError(
            f"malformed JSON: {e.msg.removesuffix(' at')}.", where=f"{where}:{line or e.lineno}", remedy=remedy
        ) from None
    except UnicodeEncodeError:
        raise UserError("a text in it holds half of a character.", where=f"{where}:{line}" if line else where) from None
    except (RecursionError, ValueError) as e:  # ValueError: a number of thousands of digits, or none
        why = "it is nested too deep" if isinstance(e, RecursionError) else str(e).partition(";")[0]
        raise UserError(f"this JSON cannot be read: {why}.", where=f"{where}:{line}" if line else where) from None


def _once(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    """The object of these keys. Raises ValueError where one stands twice: nobody knows which is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} stands twice in one object")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # a surrogate, which is half of a character where it stands alone


def _lines(path: Path) -> Iterator[str]:
    """The lines of a file, or of the packed one beside it, each read when it is asked for. Raises UserError."""
    file = packed(path)
    try:
        raw: Any = UNPACK[file.suffix](file) if file.suffix in UNPACK else file.open("rb")
        with io.TextIOWrapper(raw, encoding="utf-8-sig", newline="\n") as lines:
            while line := lines.readline(LONGEST_LINE + 1):
                if len(line) > LONGEST_LINE:
                    raise UserError(f"a line of more than {LONGEST_LINE:,} characters.", where=_shown(path))
                yield line
    except (UnicodeDecodeError, OSError, *NOT_PACKED) as e:
        remedy = PACK_AGAIN if file.suffix in UNPACK else ""
        raise UserError(f"cannot be read as UTF-8 text: {e}.", where=_shown(path), remedy=remedy) from None


def read_json(path: Path) -> JSON:
    """Raises UserError with file and line for a missing or malformed file."""
    return parsed(read_text(path), str(path))


def read_state(path: Path, check: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any] | None:
    """What a stage wrote for a later one; None where it wrote nothing. What cannot be read, or makes `check` raise a
    ValueError, is set aside, and told: it is made again."""
    try:
        found = read_json(path) if path.exists() else None
        if found is None:
            return None
        if not isinstance(found, dict):
            raise UserError("expected a JSON object.", where=str(path))
        if check:
            check(found)
        return found
    except UserError as e:
        set_aside(path, str(e))
    except ValueError as e:
        set_aside(path, f"{path}: {str(e).splitlines()[0]}.")
    return None


def set_aside(path: Path, wrong: str) -> None:
    """Give a damaged file another name, and say so: it is made again."""
    aside = path.with_name(f"{path.name}.damaged")
    os.replace(path, aside)
    _LOG.warning("%s It was set aside as %s, and is made again.", wrong, aside.name)


def packed(path: Path) -> Path:
    """The file, or where only that is there, a packed one beside it: a published run keeps its records so."""
    beside = (path.with_name(path.name + suffix) for suffix in UNPACK)
    return path if path.exists() else next((file for file in beside if file.exists()), path)


def content_digest(path: Path) -> str:
    """sha256 of what a file holds, unpacked where it is packed. Raises OSError as `Path.open` does, and UserError for
    what cannot be unpacked, or unpacks to much more than any text does."""
    if path.suffix not in UNPACK:
        return file_digest(path)
    found, left = hashlib.sha256(), max(LARGEST, MOST_PACKED * path.stat().st_size)
    try:
        with UNPACK[path.suffix](path) as packed_file:
            while block := packed_file.read(1 << 20):
                found.update(block)
                left -= len(block)
                if left < 0:
                    raise UserError(f"unpacks to more than {MOST_PACKED} times its size.", where=str(path))
    except (gzip.BadGzipFile, *NOT_PACKED) as e:
        raise UserError(f"cannot be read: {e}.", where=str(path), remedy=PACK_AGAIN) from None
    return found.hexdigest()


def read_csv(path: Path) -> tuple[Sequence[str], list[tuple[int, dict[str, Any]]]]:
    """(columns, (line on which it ends, row) of each row) of a CSV whose fields are parted by commas, semicolons or
    tabs, as spreadsheets of many countries write them. Raises UserError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            csv.field_size_limit(LONGEST_FIELD)
            header = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter=max(",;\t", key=header.count))
            rows = [(reader.line_num, row) for row in reader]
            return reader.fieldnames or (), rows
    except (UnicodeDecodeError, csv.Error) as e:
        raise UserError(
            f"not readable as CSV: {e}.", where=str(path), remedy="Save it as `CSV UTF-8`, with a header line."
        ) from None


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each non-blank line of a file, or of the packed one beside it. Raises UserError naming
    the line."""
    for number, line in read_lines(path):
        yield number, parsed_object(line, path, number)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number, text) of each non-blank line of a file, or of the packed one beside it. Raises UserError."""
    check_file(packed(path))
    for number, line in enumerate(_lines(path), 1):
        if not line.isspace():
            yield number, line


def parsed_object(line: str, path: Path, number: int) -> dict[str, Any]:
    """The object of a line of a file. Raises UserError naming it."""
    row = parsed(line, str(path), line=number)
    if not isinstance(row, dict):
        raise UserError(f"expected a JSON object, found {type(row).__name__}.", where=f"{path}:{number}")
    return row
