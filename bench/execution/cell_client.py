"""The run's side of the server: one cell at a time, watched, timed out, never left behind."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.core.files import read_json, read_state, write_json
from bench.core.place import import_path
from bench.core.redact import redacted
from bench.execution.job import Job
from bench.execution.run_folder import result_in

START_S = 600.0  # imports on a cold disk
LOG = "RAGTUNE_SERVER_LOG"  # the variable that tells the server where to write what it says

Watch = Callable[[str, int, int], None]


class ServerDied(RuntimeError):
    """The preloaded server ended before it was ready, or under a cell."""


@dataclass
class CellServer:
    """A process that cells fork from, started with the first of them. `run` says why a cell failed, or None."""

    environment: Mapping[str, str]
    log: Path
    preload: Sequence[str] = ()  # modules that the cells need and that fork safely
    _process: subprocess.Popen[bytes] | None = None
    _ears: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _buffer: bytes = b""

    def run(self, job: Path, *, timeout_s: float, watch: Watch) -> str | None:
        """Fork the job's cell and see it through. Raises KeyboardInterrupt after killing it."""
        process = self._server(watch)
        assert process.stdin is not None
        process.stdin.write((json.dumps({"job": str(job)}) + "\n").encode())
        process.stdin.flush()
        pid, deadline = 0, time.monotonic() + timeout_s
        try:
            while time.monotonic() < deadline:
                for event in self._events(min(1.0, max(0.0, deadline - time.monotonic()))):
                    if event["event"] == "start":
                        pid = event["pid"]
                    elif event["event"] == "progress" and event["pid"] == pid:
                        watch(event["stage"], event["done"], event["total"])
                    elif event["event"] == "exit" and event["pid"] == pid:
                        pid = 0
                        return _ending(event["code"])
            if not pid:
                raise ServerDied(f"the cell server started nothing in {timeout_s:g} s; see {self.log}")
            return f"timed out after {timeout_s:g} s and was killed. Raise measure.timeout_s, or make the cell smaller."
        finally:
            if pid:  # it did not end by itself
                kill_group(pid)

    def _server(self, watch: Watch) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        watch("start", 0, 0)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:  # until the server can write there itself
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.execution.cell_server", *self.preload],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={
                    **self.environment,
                    "PYTHONPATH": import_path(),
                    LOG: str(self.log.resolve()),
                },
                start_new_session=True,
            )
        assert self._process.stdout is not None
        self._ears = selectors.DefaultSelector()
        self._ears.register(self._process.stdout, selectors.EVENT_READ)
        self._buffer = b""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if any(e["event"] == "ready" for e in self._events(1.0)):
                return self._process
        raise ServerDied(f"the cell server was not ready after {START_S:g} s; see {self.log}")

    def _events(self, wait_s: float) -> list[dict[str, Any]]:
        """What the server told within `wait_s`. Raises ServerDied when it is gone."""
        assert self._process is not None and self._process.stdout is not None
        if not self._ears.select(wait_s):
            if self._process.poll() is not None:
                raise ServerDied(f"the cell server ended with code {self._process.returncode}; see {self.log}")
            return []
        heard = os.read(self._process.stdout.fileno(), 65536)
        if not heard:
            raise ServerDied(f"the cell server ended; see {self.log}")
        *lines, self._buffer = (self._buffer + heard).split(b"\n")
        return [event for line in lines if (event := self._event(line)) is not None]

    def _event(self, line: bytes) -> dict[str, Any] | None:
        """An event; None, and a note in the log, for what is none: some library has written to the pipe."""
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and isinstance(found.get("event"), str):
            return found
        with self.log.open("ab") as log:
            log.write(
                b"not an event, and passed over: " + redacted(line[:200].decode(errors="replace")).encode() + b"\n"
            )
        return None

    def close(self) -> None:
        """Close the pipe, which makes the server kill its cells and end; then make sure."""
        if self._process is None:
            return
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            kill_group(self._process.pid)
            self._process.wait()
        self._process = None


_kept: dict[tuple[object, ...], CellServer] = {}
MOMENT = ("_", "PYTEST_CURRENT_TEST")  # variables that say what is just running


@contextlib.contextmanager
def server(environment: Mapping[str, str], log: Path, preload: Sequence[str]) -> Iterator[CellServer]:
    """A server for one run. It stays for the next run of this process that needs the same one, which then does not pay
    the imports again; it ends with the process, or where a run did not end well."""
    known = tuple(sorted((k, v) for k, v in environment.items() if k not in MOMENT))
    key = (tuple(preload), known)
    for other in [k for k in _kept if k[0] == key[0] and k != key]:
        _kept.pop(other).close()
    found = _kept.pop(key, None) or CellServer(environment, log, preload)
    with contextlib.ExitStack() as unless_well:
        unless_well.callback(found.close)
        yield found
        unless_well.pop_all()
    _kept[key] = found


@atexit.register
def _end() -> None:
    while _kept:
        _kept.popitem()[1].close()


def run_job(server: CellServer, job: Job, folder: Path, *, timeout_s: float, watch: Watch) -> str | None:
    """The reason why it failed, or None. Records of the same identity that a stop cut short are continued."""
    path, result = folder / "job.json", folder / "result.json"
    if folder.exists() and (read_state(path) or {}).get("identity") != job.identity:
        shutil.rmtree(folder)
    elif (result_in(folder) or {}).get("status") == "done":  # and yet not done: its files are not what it wrote
        for name in ("records.jsonl", "later.jsonl"):
            (folder / name).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    result.unlink(missing_ok=True)
    write_json(path, job)
    begin = time.time()
    try:
        reason = server.run(path.resolve(), timeout_s=timeout_s, watch=watch)
    except ServerDied as e:
        reason = str(e)
    if reason is None and result.exists():
        found = read_json(result)
        return None if found["status"] == "done" else str(found["reason"])
    return failed(job, folder, reason or "ended without a result. The cell's log.txt has the last words.", begin=begin)


def failed(job: Job, folder: Path, reason: str, *, begin: float) -> str:
    """Write a result that says why a job failed, in place of one that it could not write itself. Returns the reason."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(
        folder / "result.json",
        {"status": "failed", "identity": job.identity, "reason": reason, "started": begin, "ended": time.time()},
    )
    return reason


def kill_group(group: int) -> None:
    """Kill a process group, if it is still there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _ending(code: int) -> str | None:
    """What an exit code means; None where result.json tells."""
    if code in (0, 1):
        return None
    if code == -signal.SIGKILL:
        return (
            "killed (signal 9), as the system does when memory runs out. Lower the batch size, or use a smaller model."
        )
    if -code in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL):
        return (
            f"crashed: {signal.Signals(-code).name}. Where it was reading an index from the store, the index is "
            "damaged: delete the folder `index` of the store, and run again. The cell's log.txt has the last words."
        )
    if code < 0:
        return f"crashed: {signal.Signals(-code).name}. The cell's log.txt has the last words."
    return f"ended with code {code}. The cell's log.txt has the last words."
