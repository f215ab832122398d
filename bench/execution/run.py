"""Cells to records: run what is not yet there, resume what was cut short, write one folder.

reports/<run>/run.json        spec, digests, environment, and what became of every cell
reports/<run>/records.jsonl   one line for each cell and question
reports/<run>/cells/<cell>/   job.json, records.jsonl, result.json, log.txt while and after it runs
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout

from bench.core.digest import digest, file_digest, plain, sealed
from bench.core.errors import UserError
from bench.core.files import read_state, sweep, write_json
from bench.core.gpu import gpus
from bench.core.place import processor
from bench.core.store import Store
from bench.core.vocabulary import JSON
from bench.data.leakage import asked_again, leaks
from bench.execution import environment
from bench.execution.arithmetic import needed
from bench.execution.cell import sampled
from bench.execution.executors import Assignment, Opening, Terms, local
from bench.execution.experience import remember
from bench.execution.job import Job
from bench.execution.pinning import Prepared, prepare
from bench.execution.progress import Progress, Silent
from bench.execution.rounds import take_rounds, timed_cells, turn_folder, turns
from bench.execution.run_folder import cell_folder, cell_results, gather, is_done, result_in
from bench.execution.windows import windows
from bench.spec import kinds
from bench.spec.cells import Cell
from bench.spec.model import Spec

_LOG = logging.getLogger("ragtune")


@dataclass(frozen=True)
class Outcome:
    """What became of a run."""

    folder: Path
    status: str  # complete or failed
    computed: int  # cells that ran now
    failed: dict[str, str]  # cell -> reason


def run(
    spec: Spec,
    *,
    out: Path = Path("reports"),
    store: Path | None = None,
    progress: Progress | None = None,
    executor: Opening = local,
    again: bool = False,
) -> Outcome:
    """Run what the spec asks for and is not yet there; all of it where `again` is asked for, but for what the store
    holds. Raises UserError before anything of the run is written.

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
    _refuse_links(folder)
    lock = FileLock(folder / ".lock")
    try:
        with lock.acquire(timeout=0), _sigterm_as_interrupt():
            if again:
                shutil.rmtree(folder / "cells", ignore_errors=True)
            return _run(prepared, folder, Store(store or default_store()), tell, executor)
    except Timeout:
        raise UserError(
            "another process is running this run.",
            where=str(folder),
            remedy="Wait for it, or give the spec another name.",
        ) from None


def _refuse_links(folder: Path) -> None:
    """Raises UserError for a link inside a run's folder: what it leads to would be written over, or emptied."""
    inside = [folder / "cells", folder / "run.json", folder / "server.log"]
    for above, folders, files in os.walk(folder / "cells"):  # links are not followed
        inside += [Path(above, name) for name in (*folders, *files)]
    for path in inside:
        if path.is_symlink():
            raise UserError(
                "this is a link, and a run writes inside its own folder alone.", where=str(path), remedy="Remove it."
            )


def default_store() -> Path:
    """RAGTUNE_STORE, or `.ragtune/store` in the current folder."""
    return Path(os.environ.get("RAGTUNE_STORE", ".ragtune/store"))


def _run(prepared: Prepared, folder: Path, store: Store, tell: Progress, opening: Opening) -> Outcome:
    for written in (folder, *(cell_folder(folder, c.id) for c in prepared.cells)):
        sweep(written)
    todo = [c for c in prepared.cells if not is_done(cell_folder(folder, c.id), prepared.identities[c.id])]
    about = _about(prepared)
    tell.begin(len(prepared.cells))
    previous = read_state(folder / "run.json") or {}
    ended, same = previous.get("status") == "complete", previous.get("identity") == about["identity"]
    if ended and same and not todo and _is_as_written(folder, previous.get("files") or {}):
        for cell in prepared.cells:
            tell.end(cell.id, None, True)
        return Outcome(folder, "complete", 0, {})
    if ended and not same:
        _LOG.warning(
            "%s held a complete run of this name with another spec; it is replaced. Another `name:` keeps both.", folder
        )
    header = about | _start(prepared, _threads(prepared, folder))
    write_json(folder / "run.json", {**header, "status": "incomplete"})
    try:
        _run_cells(prepared, todo, folder, store, tell, opening, machine=environment.machine(header["environment"]))
    except KeyboardInterrupt:
        results = cell_results(folder, prepared.cells)
        write_json(folder / "run.json", {**header, "status": "incomplete", "cells": results})
        raise
    return _finish(prepared, folder, header, computed=len(todo))


def _is_as_written(folder: Path, files: Mapping[str, str]) -> bool:
    """Whether the files of a run are those that it wrote; of older runs that is not known, and believed."""
    return all((folder / name).is_file() and file_digest(folder / name) == known for name, known in files.items())


def _threads(prepared: Prepared, folder: Path) -> int:
    """As many as the spec says, or as the cells had that are there already; else what is quickest here and now."""
    asked = prepared.spec.measure.threads
    if asked is not None:
        return asked
    for cell in prepared.cells:
        result = result_in(cell_folder(folder, cell.id)) or {}
        if result.get("identity") == prepared.identities[cell.id] and result.get("environment"):
            return int(result["environment"]["threads"])
    return environment.calibrated_threads()


def _start(prepared: Prepared, threads: int) -> dict[str, JSON]:
    """What is known when a run begins: when and where it is, and which questions training has seen."""
    described = environment.describe(threads)
    asks = any(
        c.config["model"].get("device") != "cpu" and not c.config["model"].get("base_url") for c in prepared.cells
    )
    if asks and described["gpus"] and not (described["cuda"] or {}).get("available"):
        _LOG.warning(
            "This machine has a GPU, and torch cannot use it: everything runs on the CPU. %s", environment.UNUSED_GPU
        )
    return {
        "leaks": leaks(prepared.task.train, prepared.task.test, prepared.task.language),
        "asked_again": asked_again(prepared.task.train, prepared.task.test, prepared.task.language),
        "windows": windows(prepared),
        "started": time.time(),
        "load_start": environment.load(),
        "environment": described,
        "peaks": environment.peaks(threads),
    }


def _run_cells(
    prepared: Prepared,
    todo: Collection[Cell],
    folder: Path,
    store: Store,
    tell: Progress,
    opening: Opening,
    *,
    machine: dict[str, JSON],
) -> None:
    """Run the cells that are not done, and time all systems in rounds."""
    measure = prepared.spec.measure
    numbers = {cell.id: number for number, cell in enumerate(prepared.cells, 1)}
    assigned = [
        Assignment(numbers[c.id], _job(c, prepared, store, machine), cell_folder(folder, c.id).resolve()) for c in todo
    ]
    cells = {cell.id: cell for cell in todo}
    forked = prepared.cells if measure.rounds else todo  # turns are of cells that were done before, too
    terms = Terms(
        threads=machine["threads"],
        builtin=any("." not in cell.kind for cell in forked),
        log=(folder / "server.log").resolve(),
        timeout_s=measure.timeout_s,
    )
    for cell in prepared.cells:
        if cell.id not in cells:
            tell.cell(cell.id, numbers[cell.id])
            tell.end(cell.id, None, True)
    with opening(terms) as executor:
        for ended in executor.cells(assigned, tell):
            _remember(cells[ended.job.cell], prepared, folder, store)

        def take(cell: Cell, number: int) -> None:
            tell.turn(cell.id, number, measure.rounds)
            job = replace(_job(cell, prepared, store, machine), round=number)
            executor.turn(Assignment(numbers[cell.id], job, turn_folder(folder, cell, number).resolve()))

        take_rounds(folder, timed_cells(folder, prepared.cells), rounds=measure.rounds, take=take)


def _finish(prepared: Prepared, folder: Path, header: Mapping[str, JSON], *, computed: int) -> Outcome:
    """Join the records of all cells, and write run.json for the last time."""
    gather(folder, prepared.cells, [e.question.id for e in prepared.task.test], partial(_asked, prepared))
    results = cell_results(folder, prepared.cells)
    failed = {cell: str(result["reason"]) for cell, result in results.items() if result["status"] != "done"}
    for cell in timed_cells(folder, prepared.cells):
        results[cell.id]["turns"] = turns(folder, cell, prepared.spec.measure.rounds)
    status = "failed" if failed else "complete"
    end = {
        "leaks": _leaks(header["leaks"], results),
        "status": status,
        "ended": time.time(),
        "load_end": environment.load(),
        "cells": results,
        "files": {"records.jsonl": file_digest(folder / "records.jsonl")},
    }
    whole = plain({**header, **end})
    write_json(folder / "run.json", {**whole, "seal": sealed(whole)})
    return Outcome(folder, status, computed, failed)


def _asked(prepared: Prepared, cell: Cell) -> list[str]:
    """The questions that a cell is asked."""
    sample = kinds.load(cell.kind).Config.model_validate(cell.config).sample
    return [example.question.id for example in sampled(prepared.task, sample).test]


def _leaks(found: Mapping[str, list[str]], results: Mapping[str, JSON]) -> dict[str, list[str]]:
    """The leaks that the texts show, with what the cells' embedders add."""
    near = sorted({q for result in results.values() for q in result.get("near") or ()})
    return {**found, **{q: [*found.get(q, ()), "near in meaning"] for q in near}}


def _about(prepared: Prepared) -> dict[str, JSON]:
    """What a run is of, apart from when and where."""
    spec, task = prepared.spec, prepared.task
    dataset = {
        **prepared.origin,
        "name": task.name,
        "passages": len(task.corpus),
        "train": len(task.train),
        "dev": len(task.dev),
        "test": len(task.test),
        "strata": dict(task.strata),
        "notes": list(task.notes),
    }
    return {
        "schema_version": 1,
        "name": spec.name,
        "spec": spec.model_dump(mode="json"),
        "spec_digest": spec.digest,
        "dataset": dataset,
        "models": prepared.models,
        "systems": {c.system: _entry(c) for c in prepared.cells},
        "identity": digest([spec.digest, prepared.identities]),
    }


def _entry(cell: Cell) -> dict[str, JSON]:
    """What run.json says of a system: its configuration, and how a report shows it."""
    kind = kinds.load(cell.kind)
    return {
        "kind": cell.kind,
        "config": cell.config,
        "privileged": kind.Config.model_validate(cell.config).privileged,
        "scenario": cell.scenario.model_dump() if cell.scenario else None,
        "family": kind.family,
        "summary": kind.summary,
        "answers": kind.Config.answers,
    }


def _remember(cell: Cell, prepared: Prepared, folder: Path, store: Store) -> None:
    """What a cell of a built-in kind took, for the plans of later runs."""
    result = result_in(cell_folder(folder, cell.id)) or {}
    found = needed(cell, prepared.task, on_gpu=bool(gpus())) if cell.kind in kinds.builtin() else None
    if found and result.get("status") == "done":
        on_gpu = (result.get("notes") or {}).get("device") == "cuda"
        at = str(gpus()[0]["name"]) if on_gpu else processor()
        remember(store.root, at, cell.kind, found, result)


def _job(cell: Cell, prepared: Prepared, store: Store, machine: dict[str, JSON]) -> Job:
    """What a cell's process is told."""
    measure = prepared.spec.measure
    return Job(
        cell=cell.id,
        system=cell.system,
        kind=cell.kind,
        seed=cell.seed,
        identity=prepared.identities[cell.id],
        config=cell.config,
        task=str(prepared.task_folder.resolve()),
        store=str(store.root.resolve()),
        latency_questions=measure.latency_questions if not cell.scenario or cell.scenario.is_timed else 0,
        warmup=measure.warmup,
        sys_path=[path or str(Path.cwd()) for path in sys.path],
        environment=machine,
        determinism=measure.determinism,
        alone=measure.alone,
        load=measure.load.model_dump() if measure.load and cell.on_endpoint else None,
    )


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
