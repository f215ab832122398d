"""YAML with the line of every key, so that an error can name it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bench.core.errors import UserError
from bench.core.files import read_text
from bench.core.yaml_text import composed

Loc = tuple[str | int, ...]


def read(
    path: Path, what: str = "spec", *, such: str = "name: my-run", remedy: str = "or run `ragtune init`"
) -> tuple[dict[str, Any], dict[Loc, int | str]]:
    """(document, line of each key). Raises UserError for a missing file, malformed YAML or a repeated key.

    `what` the file is, `such` as it begins, and what else to do where it is missing are for the errors.
    """
    if not path.is_file():
        raise UserError(f"no such {what}.", where=str(path), remedy=f"Give the path of a YAML file, {remedy}.")
    lines: dict[Loc, int | str] = {}
    document = composed(read_text(path), str(path), lambda node: _walk(node, (), lines, path))
    if not isinstance(document, dict):
        raise UserError(f"a {what} is a mapping, such as `{such}`.", where=f"{path}:1")
    return document, lines


def _walk(node: yaml.Node | None, loc: Loc, lines: dict[Loc, int | str], path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*loc, str(key.value))
            if here in lines:
                raise UserError(
                    f"`{key.value}` stands twice, first on line {lines[here]}.",
                    where=f"{path}:{key.start_mark.line + 1}",
                )
            lines[here] = key.start_mark.line + 1
            _walk(value, here, lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            lines[(*loc, number)] = value.start_mark.line + 1
            _walk(value, (*loc, number), lines, path)


def line_of(lines: dict[Loc, int | str], loc: Loc) -> int | str | None:
    """The line of a location, or of the nearest thing around it; a text where it was not given in the file."""
    for cut in range(len(loc), 0, -1):
        if loc[:cut] in lines:
            return lines[loc[:cut]]
    return None
