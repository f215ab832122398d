"""What a server of this machine takes, as its operating system sees it: memory of its processes, and files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil


def processes_bytes(pid: int, name: str) -> int | None:
    """Resident memory of a server's process and its siblings of the same name; None where it is on another machine.
    What they share is counted once for each: an upper bound."""
    try:
        process = psutil.Process(pid)
        if name not in process.name():
            return None  # another machine's number
        above = process.parent()
        family = [process] if above is None else [above, *above.children(recursive=True)]
        return sum(p.memory_info().rss for p in family if name in p.name())
    except psutil.Error:
        return None


def listening_bytes(port: int) -> int | None:
    """Resident memory of the process of this machine that listens at a port; None where there is none to be seen."""
    try:
        return sum(process.memory_info().rss for process in _listening(port)) or None
    except psutil.Error:
        return None


def folder_bytes(port: int, name: str) -> int | None:
    """Bytes on disk in the folder of a name that the process which listens at a port reads from, also in a container;
    None where there is none to be seen."""
    try:
        for process in _listening(port):
            for path in map(Path, _held(process)):
                if name in path.parts:
                    folder = Path(*path.parts[: path.parts.index(name) + 1])
                    seen = Path(f"/proc/{process.pid}/root") / folder.relative_to("/")
                    return sum(512 * p.stat().st_blocks for p in seen.rglob("*") if p.is_file())
    except (psutil.Error, OSError):
        pass
    return None


def _listening(port: int) -> list[psutil.Process]:
    """The processes that listen at a port."""
    found = [c for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr and c.laddr.port == port]
    return [psutil.Process(pid) for pid in sorted({c.pid for c in found if c.pid})]


def _held(process: psutil.Process) -> Iterator[str]:
    """The files that a process has open, or in its memory."""
    yield from (file.path for file in process.open_files())
    with suppress(AttributeError):  # not on every system
        yield from (region.path for region in process.memory_maps())
