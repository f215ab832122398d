"""A run's folder: what each cell left in it, and the records of all cells as one file.

reports/<run>/cells/<cell>/   job.json, records.jsonl, later.jsonl, result.json, log.txt
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from bench.core.files import read_json, read_jsonl, write_text
from bench.core.vocabulary import JSON
from bench.spec.cells import Cell


def cell_folder(folder: Path, cell: str) -> Path:
    """The folder of a cell of the run in `folder`."""
    return folder / "cells" / cell


def is_done(folder: Path, identity: str) -> bool:
    """Whether the job in a folder, a cell's or a turn's, has finished with this identity."""
    result = folder / "result.json"
    if not result.exists():
        return False
    found = read_json(result)
    return bool(found["status"] == "done" and found["identity"] == identity)


def seconds_before(folder: Path, cell: str) -> float | None:
    """Seconds that a cell of this name took in an earlier run, whatever its identity; None where it did not finish."""
    result = cell_folder(folder, cell) / "result.json"
    if not result.exists():
        return None
    found = read_json(result)
    return float(found["ended"] - found["started"]) if found["status"] == "done" else None


def cell_results(folder: Path, cells: Sequence[Cell]) -> dict[str, dict[str, JSON]]:
    """cell -> its result; a cell that never ended says so."""
    results = {}
    for cell in cells:
        path = cell_folder(folder, cell.id) / "result.json"
        found = read_json(path) if path.exists() else {"status": "incomplete", "reason": "not finished"}
        results[cell.id] = {"system": cell.system, "kind": cell.kind, "seed": cell.seed, **found}
    return results


def gather(folder: Path, cells: Sequence[Cell], questions: Sequence[str]) -> None:
    """Write the records of all cells as one file, in the order of the spec and of the test split."""
    order = {question: number for number, question in enumerate(questions)}
    lines: list[str] = []
    for cell in cells:
        path = cell_folder(folder, cell.id) / "records.jsonl"
        if path.exists():
            later = path.with_name("later.jsonl")
            again = {row["question"]: row["answer"] for _, row in read_jsonl(later)} if later.exists() else {}
            rows = [row | {"later": again.get(row["question"])} for _, row in read_jsonl(path)]
            rows.sort(key=lambda row: order[row["question"]])
            lines += [json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows]
    write_text(folder / "records.jsonl", "".join(lines))
