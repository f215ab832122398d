"""A run's folder: what each cell left in it, and the records of all cells as one file.

reports/<run>/cells/<cell>/   job.json, records.jsonl, later.jsonl, result.json, log.txt
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.core.digest import file_digest
from bench.core.errors import UserError
from bench.core.files import read_jsonl, read_state, set_aside, write_json, write_text
from bench.core.vocabulary import JSON
from bench.execution.run_file import CellResult, Turn
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
        found = found or {"status": "incomplete", "reason": "not finished"}
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
    lines: list[str] = []
    for cell in cells:
        path = cell_folder(folder, cell.id) / "records.jsonl"
        found = rows_of(path)
        _check_whole(path.with_name("result.json"), [str(row.get("question")) for row in found], asked(cell))
        later = path.with_name("later.jsonl")
        again = {row["question"]: row["answer"] for row in rows_of(later)} if found else {}
        rows = [row | {"later": again.get(row["question"])} for row in found]
        rows.sort(key=lambda row: order[row["question"]])
        lines += [json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows]
    write_text(folder / "records.jsonl", "".join(lines))


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The lines that a cell wrote of its questions; none where the file is not there. One that cannot be read is set
    aside, and told: the questions are asked again."""
    try:
        found = [row for _, row in read_jsonl(path)] if path.exists() else []
        if all(isinstance(row.get("question"), str) and isinstance(row.get("answer"), dict) for row in found):
            return found
        wrong = f"{path}: a line is of no question."
    except UserError as e:
        wrong = str(e)
    set_aside(path, wrong)
    return []


def _check_whole(result: Path, answered: Collection[str], asked: Collection[str]) -> None:
    """Fail a finished cell that answers questions where other questions were answered than asked."""
    known = result_in(result.parent) or {}
    if known.get("status") == "done" and known.get("facts") is None and sorted(answered) != sorted(asked):
        reason = "its records are not of each question exactly once: the file was changed. Run again."
        write_json(result, {**known, "status": "failed", "reason": reason})
