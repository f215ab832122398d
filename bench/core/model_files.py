"""Reading the files beside a model's weights, with errors that say what to copy again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.core.errors import UserError
from bench.core.files import read_json

_POINTER = b"version https://git-lfs"


def read_object(path: Path) -> Mapping[str, Any]:
    """The object of a JSON file. Raises UserError for what is none."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise UserError("expected a JSON object.", where=str(path), remedy="Copy the file of the model again.")
    return found


def check_pointer(file: Path, what: str) -> None:
    """Raises UserError for a file that Git LFS left to be fetched."""
    with file.open("rb") as opened:
        if opened.read(len(_POINTER)) == _POINTER:
            raise UserError(
                f"this is a pointer of Git LFS, not the {what}.", where=str(file), remedy="Run `git lfs pull` there."
            )
