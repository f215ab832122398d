"""YAML with the line of every key, so that an error can name it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bench.core.errors import UserError
from bench.core.files import read_text
from bench.core.yaml_text import composed

Loc = tuple[str | int, ...]


def read(path: Path) -> tuple[dict[str, Any], dict[Loc, int]]:
    """(document, line of each key). Raises UserError for a missing file, malformed YAML or a repeated key."""
    if not path.is_file():
        raise UserError("no such spec.", where=str(path), remedy="Give the path of a YAML file, or run `ragtune init`.")
    lines: dict[Loc, int] = {}
    document = composed(read_text(path), str(path), lambda node: _walk(node, (), lines, path))
    if not isinstance(document, dict):
        raise UserError("a spec is a mapping, such as `name: my-run`.", where=f"{path}:1")
    return document, lines


def _walk(node: yaml.Node | None, loc: Loc, lines: dict[Loc, int], path: Path) -> None:
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


def line_of(lines: dict[Loc, int], loc: Loc) -> int | None:
    """The line of a location, or of the nearest thing around it."""
    for cut in range(len(loc), 0, -1):
        if loc[:cut] in lines:
            return lines[loc[:cut]]
    return None
