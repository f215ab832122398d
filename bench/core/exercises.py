"""Exercises to rehearse while a model is tuned on something else: JSON lines of `prompt` and `answer`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.core.errors import UserError, every, non_empty
from bench.core.files import read_jsonl

Exercise = tuple[str, str]  # prompt, answer


def read_exercises(path: Path) -> list[Exercise]:
    """The exercises of a file, in order. Raises UserError with all that is wrong in it, or where there is none."""
    found = every(lambda line: _exercise(line[1], f"{path}:{line[0]}"), read_jsonl(path))
    if not found:
        raise UserError("there is no exercise in it.", where=str(path), remedy='Write {"prompt": ..., "answer": ...}.')
    return found


def _exercise(row: Mapping[str, Any], where: str) -> Exercise:
    prompt, answer = (non_empty(row.get(key), key, row, where) for key in ("prompt", "answer"))
    return prompt, answer
