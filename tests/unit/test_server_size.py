"""What a server of this machine takes, as its operating system sees it."""

from __future__ import annotations

import mmap
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from systems.parts.server_size import folder_bytes, listening_bytes

VECTORS = 300_000  # bytes
SERVER = f"""
import mmap, pathlib, socket, sys
folder = pathlib.Path(sys.argv[1])
(folder / "segment").mkdir(parents=True)
(folder / "config.json").write_text("{{}}")
(folder / "segment" / "vectors.dat").write_bytes(b"1" * {VECTORS})
with (folder / "segment" / "vectors.dat").open("rb") as file:
    held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
at = socket.create_server(("127.0.0.1", 0))
print(at.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Of a process that holds `collections/mine` as a vector database does: one file in its memory, one closed."""
    command = [sys.executable, "-c", SERVER, str(tmp_path / "collections" / "mine")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        yield int(server.stdout.readline())
        server.kill()


@pytest.mark.skipif(not Path("/proc/self/root").exists(), reason="the files of a process are read from /proc")
def test_its_memory_and_its_folder_are_seen(port: int) -> None:
    block = mmap.PAGESIZE
    assert VECTORS <= (folder_bytes(port, "mine") or 0) <= VECTORS + 4 * block
    assert (listening_bytes(port) or 0) > 1_000_000
    assert folder_bytes(port, "other") is None, "another collection, or a server on another machine"


def test_where_nobody_listens_nothing_is_told() -> None:
    assert folder_bytes(1, "mine") is None and listening_bytes(1) is None
