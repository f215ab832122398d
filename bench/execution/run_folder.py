"""A run's folder: what each cell left in it, and the records of all cells as one file.

reports/<run>/cells/<cell>/   job.json, records.jsonl, later.jsonl, result.json, log.txt
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from bench.core.files import read_jsonl, read_state, write_json, write_text
from bench.core.vocabulary import JSON
from bench.spec.cells import Cell


def cell_folder(folder: Path, cell: str) -> Path:
    """The folder of a cell of the run in `folder`."""
    return folder / "cells" / cell


def is_done(folder: Path, identity: str) -> bool:
    """Whether the job in a folder, a cell's or a turn's, has finished with this identity."""
    found = read_state(folder / "result.json") or {}
    return bool(found.get("status") == "done" and found.get("identity") == identity)


def seconds_before(folder: Path, cell: str) -> float | None:
    """Seconds that a cell of this name took in an earlier run, whatever its identity; None where it did not finish."""
    found = read_state(cell_folder(folder, cell) / "result.json") or {}
    return float(found["ended"] - found["started"]) if found.get("status") == "done" else None


def cell_results(folder: Path, cells: Sequence[Cell]) -> dict[str, dict[str, JSON]]:
    """cell -> its result; a cell that never ended says so."""
    results = {}
    for cell in cells:
        found = read_state(cell_folder(folder, cell.id) / "result.json")
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
        found = [row for _, row in read_jsonl(path)] if path.exists() else []
        _check_whole(path.with_name("result.json"), [str(row.get("question")) for row in found], asked(cell))
        later = path.with_name("later.jsonl")
        again = {row["question"]: row["answer"] for _, row in read_jsonl(later)} if found and later.exists() else {}
        rows = [row | {"later": again.get(row["question"])} for row in found]
        rows.sort(key=lambda row: order[row["question"]])
        lines += [json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows]
    write_text(folder / "records.jsonl", "".join(lines))


def _check_whole(result: Path, answered: Collection[str], asked: Collection[str]) -> None:
    """Fail a finished cell that answers questions where other questions were answered than asked."""
    known = read_state(result) or {}
    if known.get("status") == "done" and known.get("facts") is None and sorted(answered) != sorted(asked):
        reason = "its records are not of each question exactly once: the file was changed. Run again."
        write_json(result, {**known, "status": "failed", "reason": reason})
