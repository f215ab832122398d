"""YAML with the line of every key, so that an error can name it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from bench.core.errors import UserError

Loc = tuple[str | int, ...]


class Loader(yaml.SafeLoader):
    """YAML 1.2's booleans: `true` and `false` alone. A label `no` stays a word, and so does Norway."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:bool"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def value(text: str) -> Any:
    """A YAML text as a value. Raises yaml.YAMLError."""
    return yaml.load(text, Loader)


def read(path: Path) -> tuple[dict[str, Any], dict[Loc, int]]:
    """(document, line of each key). Raises UserError for a missing file, malformed YAML or a repeated key."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(
            "no such spec.", where=str(path), remedy="Give the path of a YAML file, or run `ragtune init`."
        ) from None
    except UnicodeDecodeError as e:
        raise UserError(f"cannot be read as UTF-8: {e.reason}.", where=str(path)) from None
    try:
        node = yaml.compose(text, Loader)
        document = value(text)
    except yaml.MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark else 1
        raise UserError(f"malformed YAML: {e.problem}.", where=f"{path}:{line}") from None
    except (yaml.YAMLError, ValueError) as e:
        raise UserError(f"malformed YAML: {e}.", where=str(path)) from None
    if not isinstance(document, dict):
        raise UserError("a spec is a mapping, such as `name: my-run`.", where=f"{path}:1")
    lines: dict[Loc, int] = {}
    _walk(node, (), lines, path)
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
