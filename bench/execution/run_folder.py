"""A run's folder: what each cell left in it, and the records of all cells as one file.

reports/<run>/cells/<cell>/   job.json, records.jsonl, later.jsonl, result.json, log.txt
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.core.digest import file_digest
from bench.core.errors import UserError
from bench.core.files import read_jsonl, read_state, set_aside, write_json, write_jsonl
from bench.core.lazy import Lines
from bench.core.vocabulary import JSON
from bench.execution.cell_result import UNFINISHED, CellResult, Turn
from bench.spec.cells import Cell


def cell_folder(folder: Path, cell: str) -> Path:
    """The folder of a cell of the run in `folder`."""
    return folder / "cells" / cell


def is_done(folder: Path, identity: str) -> bool:
    """Whether the job in a folder, a cell's or a turn's, has finished with this identity."""
    found = result_in(folder) or {}
    if found.get("status") != "done" or found.get("identity") != identity:
        return False
    return all((folder / name).is_file() and file_digest(folder / name) == known for name, known in _files(found))


def result_in(folder: Path) -> dict[str, Any] | None:
    """What became of the job in a folder, a cell's or a turn's; None where that is not known, or cannot be read."""
    of = Turn if folder.parent.name == "turns" else CellResult

    def check(found: dict[str, Any]) -> None:
        if found.get("status") == "done":
            of.model_validate({"system": "", "kind": "", "seed": 0, **found})
            if of is CellResult and "load_s" not in found:
                raise ValueError("it says nothing of what was built")

    return read_state(folder / "result.json", check)


def _files(result: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """(name, sha256) of what a cell wrote, as it was when it ended; older cells do not say."""
    files = result.get("files")
    return files.items() if isinstance(files, dict) else ()


def seconds_before(folder: Path, cell: str) -> float | None:
    """Seconds that a cell of this name took in an earlier run, whatever its identity; None where it did not finish."""
    found = result_in(cell_folder(folder, cell)) or {}
    return float(found["ended"] - found["started"]) if found.get("status") == "done" else None


def cell_results(folder: Path, cells: Sequence[Cell]) -> dict[str, dict[str, JSON]]:
    """cell -> its result; a cell that never ended says so."""
    results = {}
    for cell in cells:
        found = result_in(cell_folder(folder, cell.id))
        found = found or {"status": "incomplete", "reason": UNFINISHED}
        results[cell.id] = {"system": cell.system, "kind": cell.kind, "seed": cell.seed, **found}
    return results


def gather(
    folder: Path, cells: Sequence[Cell], questions: Sequence[str], asked: Callable[[Cell], Collection[str]]
) -> None:
    """Write the records of all cells as one file, in the order of the spec and of the test split.

    A finished cell whose records are not of each question that it was asked exactly once, whatever became of its file,
    has failed: the next run answers what is missing.
    """
    order = {question: number for number, question in enumerate(questions)}
    paths = [(cell, cell_folder(folder, cell.id) / "records.jsonl") for cell in cells]
    write_jsonl(folder / "records.jsonl", (row for cell, path in paths for row in _in_order(path, order, asked(cell))))


def _in_order(path: Path, order: Mapping[str, int], asked: Collection[str]) -> Iterator[dict[str, JSON]]:
    """The records of a cell, those that were answered again with the later answer."""
    found = rows_of(path)
    answered = [row["question"] for row in found]
    _check_whole(path.with_name("result.json"), answered, asked)
    later = {row["question"]: row["answer"] for row in rows_of(path.with_name("later.jsonl"))} if found else {}
    for number in sorted(range(len(found)), key=lambda n: order[answered[n]]):
        yield found[number] | {"later": later.get(answered[number])}


def rows_of(path: Path) -> Sequence[dict[str, Any]]:
    """The lines that a cell wrote of its questions, each read when it is asked for; none where the file is not there.
    One that cannot be read is set aside, and told: the questions are asked again."""
    if not path.exists():
        return ()
    try:
        rows = (row for _, row in read_jsonl(path))
        if all(isinstance(row.get("question"), str) and isinstance(row.get("answer"), dict) for row in rows):
            return Lines(path)
        wrong = f"{path}: a line is of no question."
    except UserError as e:
        wrong = str(e)
    set_aside(path, wrong)
    return ()


def _check_whole(result: Path, answered: Collection[str], asked: Collection[str]) -> None:
    """Fail a finished cell that answers questions where other questions were answered than asked."""
    known = result_in(result.parent) or {}
    if known.get("status") == "done" and known.get("facts") is None and sorted(answered) != sorted(asked):
        reason = "its records are not of each question exactly once: the file was changed. Run again."
        write_json(result, {**known, "status": "failed", "reason": reason})
