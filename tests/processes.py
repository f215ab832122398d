"""Runs in processes of their own, to be killed, interrupted and doubled; and what is compared of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml

from bench import parse
from bench.execution.run import run
from tests.conftest import ROOT, raw_spec

ECHO = "tests.kinds.echo"


def records(folder: Path) -> list[dict[str, Any]]:
    """Records less their times."""
    rows = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    return [{k: v for k, v in r.items() if not k.endswith("_s")} for r in rows]


def undisturbed(tmp_path: Path, **changes: Any) -> list[dict[str, Any]]:
    return _complete(tmp_path / "undisturbed", tmp_path / "store-u", **changes)


def resumed(tmp_path: Path, **changes: Any) -> list[dict[str, Any]]:
    """What `start` began, gone on with in this process."""
    return _complete(tmp_path / "r", tmp_path / "s", **changes)


def _complete(out: Path, store: Path, **changes: Any) -> list[dict[str, Any]]:
    outcome = run(parse(raw_spec(**changes)), out=out, store=store)
    assert outcome.status == "complete"
    return records(outcome.folder)


BARE = """
import sys
from pathlib import Path
from bench import load, run
from bench.cli.progress import Lines
try:
    outcome = run(load(Path(sys.argv[1])), out=Path(sys.argv[2]), store=Path(sys.argv[3]), progress=Lines(False))
    sys.exit(outcome.status != "complete")
except Exception as e:
    sys.exit(f"error: {e}" if type(e).__name__ == "UserError" else repr(e))
"""


def start(tmp_path: Path, *, cli: bool = False, options: Sequence[str] = (), **changes: Any) -> subprocess.Popen[str]:
    """A run in its own process group, as a terminal would start it: the whole command, or the run without a page.

    What a shell starts in the background ignores Ctrl-C, and so do its children: not these.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    spec = tmp_path / f"{changes.get('name', 't')}.yaml"
    spec.write_text(yaml.safe_dump(raw_spec(**changes)))
    where = [str(tmp_path / "r"), str(tmp_path / "s")]
    whole = ["-m", "bench.cli", "run", str(spec), "--out", where[0], "--store", where[1], *options]
    command = [sys.executable, *(whole if cli else ["-c", BARE, str(spec), *where])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        command,
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def await_lines(path: Path, count: int, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not path.exists() or len(path.read_text().splitlines()) < count:
        assert time.monotonic() < deadline, f"{path} never had {count} lines"
        time.sleep(0.01)


def left_behind(mark: str) -> list[int]:
    """Processes that still name this test's folder, or that its cells started, once they had time to end."""
    end = time.monotonic() + 10
    while (found := _left_behind(mark)) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def _left_behind(mark: str) -> list[int]:
    found = []
    for p in psutil.process_iter(["pid", "cmdline", "status"]):
        words = " ".join(p.info["cmdline"] or ())
        if (
            p.info["pid"] != os.getpid()
            and p.info["status"] != psutil.STATUS_ZOMBIE
            and (mark in words or words == "sleep 600")
        ):
            found.append(p.info["pid"])
    return found
