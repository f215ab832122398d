"""The process that cells fork from: it has paid the imports once. `python -m bench.execution.cell_server MODULE ...`

Lines of JSON: in, `{"job": path}` forks a cell; out, `ready`, `start`, `exit`, and whatever the cells tell.
A cell is the leader of its own process group. When the pipe from the run closes, however that came about,
every group is killed: a run that is gone leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import psutil

from bench.core.child_process import attempt
from bench.core.files import read_json, write_json
from bench.core.redact import WRITER, log_to, scrubbed
from bench.core.vocabulary import JSON
from bench.execution import cell, turn
from bench.execution.cell_client import LOG
from bench.execution.environment import see_gpus
from bench.execution.job import Job

LAST_WORDS_S = 10.0


def tell(fd: int, **event: Any) -> None:
    """One line, short enough to be written whole beside other writers."""
    os.write(fd, (json.dumps(event) + "\n").encode())


def serve(log: Path, preload: list[str]) -> None:
    """Import the modules, then fork a cell for each job that is read, until the pipe closes.

    What libraries print is no event, and goes to the log.
    """
    out = os.dup(1)
    log_to(log)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run decides what Ctrl-C means
    gc.disable()  # imports leave no garbage, and make many objects to look through
    for name in preload:
        importlib.import_module(name)
    gc.enable()
    gc.collect()
    gc.freeze()  # the collector of a cell leaves the shared pages alone
    _adopt_orphans()
    wake, waker = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker)
    ears = selectors.DefaultSelector()
    ears.register(0, selectors.EVENT_READ)
    ears.register(wake, selectors.EVENT_READ)
    groups: set[int] = set()
    buffer = b""
    tell(out, event="ready", pid=os.getpid())
    while True:
        for key, _ in ears.select():
            if key.fd == wake:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)
                _reap(groups, out)
                continue
            heard = os.read(0, 65536)
            if not heard:
                _end(groups)
                return
            *lines, buffer = (buffer + heard).split(b"\n")
            for line in lines:
                pid = _fork(Path(json.loads(line)["job"]), out)
                groups.add(pid)
                tell(out, event="start", pid=pid)


def _fork(job: Path, out: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    writer = log_to(job.parent / "log.txt")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code = work(job, lambda **event: tell(out, **event))
    sys.stdout.flush()
    sys.stderr.flush()
    os.close(1)
    os.close(2)
    _await(writer)  # the last words are written before the run hears of the end
    os._exit(code)  # not the server's own clean-up


def _await(writer: int) -> None:
    """Wait until the log is written; not for what the cell has left running, which may still speak."""
    end = time.monotonic() + LAST_WORDS_S
    while time.monotonic() < end and not os.waitpid(writer, os.WNOHANG)[0]:
        time.sleep(0.005)


def work(path: Path, tell: cell.Tell) -> int:
    """Run the job. 0: result.json says done; 1: it says failed and why."""
    job = Job(**read_json(path))
    sys.path[:] = job.sys_path
    begin = time.time()

    def run() -> dict[str, JSON]:
        if (job.config.get("model") or {}).get("device") == "cpu":
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # or its libraries would open a GPU, and take memory for it
        elif job.model_gpus > 1:
            see_gpus(job.model_gpus)
        return cell.run(job, path.parent, tell) if job.round is None else turn.run(job, path.parent)

    result = attempt(run)
    write_json(
        path.parent / "result.json",
        scrubbed(
            {"identity": job.identity, "started": begin, "ended": time.time(), "environment": job.environment, **result}
        ),
    )
    return 0 if result["status"] == "done" else 1


def _adopt_orphans() -> None:
    """Become the parent of what a cell leaves running in a session of its own, so that it is found: prctl(2)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def _reap(groups: set[int], out: int) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        if pid in groups:
            groups.discard(pid)
            _kill(pid)  # what it may have left running
            _end_orphans(groups)
            tell(out, event="exit", pid=pid, code=os.waitstatus_to_exitcode(status))


def _end_orphans(groups: Collection[int]) -> None:
    """Kill what a cell that has ended left behind."""
    _kill_each(child for child in psutil.Process().children() if child.pid not in groups)


def _end(groups: set[int]) -> None:
    """Kill every cell and what it started, in whatever session. What a cell that is gone leaves is this process's, and
    found in the second round."""
    for _ in range(2):
        started = psutil.Process().children(recursive=True)
        for pid in sorted(groups):
            _kill(pid)
        _kill_each(started)


def _kill_each(processes: Iterable[psutil.Process]) -> None:
    """Kill all but the writers of logs, which end by themselves when nobody can say more."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if process.name() != WRITER:
                process.kill()


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    serve(Path(os.environ.pop(LOG)), sys.argv[1:])
    os._exit(0)  # nothing is left to clean up, and torch takes seconds over it
