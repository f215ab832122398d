"""Cells to records: run what is not yet there, resume what was cut short, write one folder.

reports/<run>/run.json        spec, digests, environment, and what became of every cell
reports/<run>/records.jsonl   one line for each cell and question
reports/<run>/cells/<cell>/   job.json, records.jsonl, result.json, log.txt while and after it runs
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from filelock import FileLock, Timeout

from bench.core.digest import digest
from bench.core.errors import UserError
from bench.core.files import read_json, read_jsonl, write_json, write_text
from bench.core.gpu import gpus
from bench.core.redact import clean
from bench.core.store import Store
from bench.core.vocabulary import JSON
from bench.data.leakage import leaks
from bench.execution import environment
from bench.execution.cell import Job
from bench.execution.cell_client import Executor, ServerDied, executor
from bench.execution.pinning import Prepared, prepare
from bench.spec import kinds
from bench.spec.cells import Cell
from bench.spec.model import Spec

PRELOAD = ("systems.parts.reader",)  # what every built-in kind imports when it is built


class Progress(Protocol):
    """Who is told how a run goes."""

    def begin(self, cells: int) -> None: ...
    def cell(self, name: str, number: int) -> None: ...
    def stage(self, name: str, done: int, total: int) -> None: ...
    def end(self, name: str, reason: str | None, cached: bool) -> None: ...


class Silent:
    """Tells nobody."""

    def begin(self, cells: int) -> None:
        return None

    def cell(self, name: str, number: int) -> None:
        return None

    def stage(self, name: str, done: int, total: int) -> None:
        return None

    def end(self, name: str, reason: str | None, cached: bool) -> None:
        return None


@dataclass(frozen=True)
class Outcome:
    folder: Path
    status: str  # complete or failed
    computed: int  # cells that ran now
    failed: dict[str, str]  # cell -> reason


def run(
    spec: Spec, *, out: Path = Path("reports"), store: Path | None = None, progress: Progress | None = None
) -> Outcome:
    """Run what the spec asks for and is not yet there. Raises UserError before anything of the run is written.

    On Ctrl-C or SIGTERM no process is left, run.json says incomplete, and the same call goes on later.
    """
    tell = progress or Silent()
    prepared = prepare(spec, Store(store or default_store()))
    folder = out / spec.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, PermissionError) as e:
        raise UserError(
            f"cannot be made: {e.strerror}.", where=str(folder), remedy="Give another folder with --out."
        ) from None
    lock = FileLock(folder / ".lock")
    try:
        with lock.acquire(timeout=0), _sigterm_as_interrupt():
            return _run(prepared, folder, Store(store or default_store()), tell)
    except Timeout:
        raise UserError(
            "another process is running this run.",
            where=str(folder),
            remedy="Wait for it, or give the spec another name.",
        ) from None


def default_store() -> Path:
    """RAGTUNE_STORE, or `.ragtune/store` in the current folder."""
    return Path(os.environ.get("RAGTUNE_STORE", ".ragtune/store"))


def _run(prepared: Prepared, folder: Path, store: Store, tell: Progress) -> Outcome:
    spec = prepared.spec
    todo = [c for c in prepared.cells if not is_done(folder, c, prepared.identities[c.id])]
    previous = read_json(folder / "run.json") if (folder / "run.json").exists() else None
    about = _about(prepared)
    if not todo and previous and previous["status"] == "complete" and previous["identity"] == about["identity"]:
        tell.begin(len(prepared.cells))
        for c in prepared.cells:
            tell.end(c.id, None, True)
        return Outcome(folder, "complete", 0, {})
    header = {
        **about,
        "leaks": leaks(prepared.task.train, prepared.task.test),
        "started": time.time(),
        "load_start": environment.load(),
        "environment": (here := environment.describe(spec.measure.threads)),
        "peaks": environment.peaks(here["threads"]),
    }
    write_json(folder / "run.json", {**header, "status": "incomplete"})
    place = _place(here)
    tell.begin(len(prepared.cells))
    try:
        with executor(environment.for_cells(spec.measure.threads), folder / "server.log", _preload(todo)) as server:
            for number, cell in enumerate(prepared.cells, 1):
                cached = cell not in todo
                tell.cell(cell.id, number)
                reason = None if cached else _run_cell(cell, prepared, folder, store, server, tell, place)
                tell.end(cell.id, reason, cached)
    except KeyboardInterrupt:
        clean(folder / "server.log")
        write_json(folder / "run.json", {**header, "status": "incomplete", "cells": _told(prepared, folder)})
        raise
    clean(folder / "server.log")
    told = _told(prepared, folder)
    header["leaks"] = _leaks(header["leaks"], told)
    failed = {c: str(r["reason"]) for c, r in told.items() if r["status"] != "done"}
    _gather(prepared, folder)
    status = "failed" if failed else "complete"
    write_json(
        folder / "run.json",
        {**header, "status": status, "ended": time.time(), "load_end": environment.load(), "cells": told},
    )
    return Outcome(folder, status, len(todo), failed)


def _leaks(found: dict[str, list[str]], told: dict[str, JSON]) -> dict[str, list[str]]:
    """What the texts told of leaks, with what the cells' embedders add."""
    near = sorted({q for cell in told.values() for q in cell.get("near") or ()})
    return {**found, **{q: [*found.get(q, ()), "near in meaning"] for q in near}}


def _about(prepared: Prepared) -> dict[str, JSON]:
    """What a run is of, apart from when and where."""
    spec = prepared.spec
    systems = {c.system: _entry(c) for c in prepared.cells}
    task = prepared.task
    about: dict[str, JSON] = {
        "schema_version": 1, "name": spec.name, "spec": spec.model_dump(mode="json"), "spec_digest": spec.digest,
        "dataset": {**prepared.origin, "name": task.name, "passages": len(task.corpus), "train": len(task.train), "dev": len(task.dev), "test": len(task.test), "strata": dict(task.strata)},
        "models": prepared.models, "systems": systems,
    }  # fmt: skip
    return about | {"identity": digest([about["spec_digest"], prepared.identities])}


def _entry(cell: Cell) -> dict[str, JSON]:
    privileged = kinds.load(cell.kind).Config.model_validate(cell.config).privileged
    scenario = cell.scenario.model_dump() if cell.scenario else None
    return {"kind": cell.kind, "config": cell.config, "privileged": privileged, "scenario": scenario}


def _preload(todo: list[Cell]) -> tuple[str, ...]:
    """Nothing where all kinds are the user's own: the harness does not know what they import.

    Nothing on a GPU machine either: bitsandbytes opens the device when it is imported, and CUDA does not survive a fork.
    """
    return PRELOAD if any("." not in c.kind for c in todo) and not gpus() else ()


def is_done(folder: Path, cell: Cell, identity: str) -> bool:
    result = folder / "cells" / cell.id / "result.json"
    if not result.exists():
        return False
    found = read_json(result)
    return bool(found["status"] == "done" and found["identity"] == identity)


def _run_cell(
    cell: Cell,
    prepared: Prepared,
    folder: Path,
    store: Store,
    server: Executor,
    tell: Progress,
    here: dict[str, JSON],
) -> str | None:
    """The reason why it failed, or None. Records of the same identity that a stop cut short are continued."""
    place, identity = folder / "cells" / cell.id, prepared.identities[cell.id]
    before = place / "job.json"
    if before.exists() and read_json(before)["identity"] != identity:
        shutil.rmtree(place)
    place.mkdir(parents=True, exist_ok=True)
    (place / "result.json").unlink(missing_ok=True)
    measure = prepared.spec.measure
    job = Job(cell.id, cell.system, cell.kind, cell.seed, identity, cell.config, str(prepared.task_folder.resolve()), str(store.root.resolve()),
              measure.latency_questions, measure.warmup, [p or str(Path.cwd()) for p in sys.path], here, measure.determinism)  # fmt: skip
    write_json(before, job)
    begin = time.time()
    try:
        reason = server.run(before.resolve(), timeout_s=measure.timeout_s, watch=tell.stage)
    except ServerDied as e:
        reason = str(e)
    finally:
        clean(place / "log.txt")
    result = place / "result.json"
    if reason is None and result.exists():
        found = read_json(result)
        return None if found["status"] == "done" else str(found["reason"])
    reason = reason or "ended without a result. The cell's log.txt has the last words."
    write_json(
        result, {"status": "failed", "identity": identity, "reason": reason, "started": begin, "ended": time.time()}
    )
    return reason


def _place(described: dict[str, JSON]) -> dict[str, JSON]:
    """What two cells must share for their times and memory to be compared."""
    return {k: described[k] for k in ("cpu", "cores", "threads", "gpus", "versions", "commit")}


def _told(prepared: Prepared, folder: Path) -> dict[str, Any]:
    """What every cell's result says; a cell that never ended says so."""
    told = {}
    for cell in prepared.cells:
        path = folder / "cells" / cell.id / "result.json"
        found = read_json(path) if path.exists() else {"status": "incomplete", "reason": "not finished"}
        told[cell.id] = {"system": cell.system, "kind": cell.kind, "seed": cell.seed, **found}
    return told


def _gather(prepared: Prepared, folder: Path) -> None:
    """All cells' records as one file, in the order of the spec and of the test split."""
    order = {e.question.id: i for i, e in enumerate(prepared.task.test)}
    lines: list[str] = []
    for cell in prepared.cells:
        path = folder / "cells" / cell.id / "records.jsonl"
        if path.exists():
            later = path.with_name("later.jsonl")
            again = {row["question"]: row["answer"] for _, row in read_jsonl(later)} if later.exists() else {}
            rows = [row for _, row in read_jsonl(path)]
            rows = [row | {"later": again.get(row["question"])} for row in rows]
            rows.sort(key=lambda row: order[row["question"]])
            lines += [json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows]
    write_text(folder / "records.jsonl", "".join(lines))


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does. Outside the main thread signals are left as they are."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before: Callable[[int, FrameType | None], Any] | int | None = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
