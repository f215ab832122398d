"""A pydantic error as one paragraph for the user: where, what, and the nearest right key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from bench.core.errors import UserError
from bench.data.formats import FORMATS
from bench.spec import yaml_lines
from bench.spec.yaml_lines import Loc


def at(where: str, lines: Mapping[Loc, int | str], loc: Loc) -> str:
    """Where something stands: the file and, where it is known, the line; or the option that it was given by."""
    line = yaml_lines.line_of(dict(lines), loc)
    if isinstance(line, str):
        return line
    return f"{where}:{line}" if line else where


def explain(
    error: ValidationError, model: type[BaseModel], prefix: Loc, where: str, lines: dict[Loc, int | str]
) -> UserError:
    """All that is wrong, a paragraph each. A list that is too short because what stands in it is wrong is not told."""
    found: list[dict[str, Any]] = [dict(wrong) for wrong in error.errors()]
    inside = {wrong["loc"][:n] for wrong in found for n in range(len(wrong["loc"]))}
    told = [wrong for wrong in found if wrong["type"] != "too_short" or wrong["loc"] not in inside]
    first, *others = (_explained(wrong, model, prefix, where, lines) for wrong in told)
    first.others = tuple(others)
    return first


def _explained(
    wrong: Mapping[str, Any], model: type[BaseModel], prefix: Loc, where: str, lines: dict[Loc, int | str]
) -> UserError:
    loc: Loc = tuple(wrong["loc"])
    keys = tuple(step for step in loc if step not in FORMATS)  # pydantic names the format as if it were a key
    named = ".".join(map(str, keys)) or "spec"
    remedy = ""
    if wrong["type"] == "extra_forbidden":
        known = sorted(_keys(model, loc[:-1]))
        problem = f"unknown key `{named}`."
        remedy = _nearest(str(loc[-1]), known, "Known here")
    elif wrong["type"] == "missing":
        problem = f"`{named}` is missing."
    elif wrong["type"] == "union_tag_invalid":
        tags = [tag.strip(" '") for tag in wrong["ctx"]["expected_tags"].split(",")]
        problem = f"`{named}`: there is no {wrong['ctx']['discriminator'].strip(chr(39))} {wrong['ctx']['tag']!r}."
        remedy = _nearest(str(wrong["ctx"]["tag"]), tags, "Known are")
    else:
        message = _plain(wrong)
        problem = f"`{named}`: {message[0].lower() + message[1:]}"
        problem += "." if "input" not in wrong or isinstance(wrong["input"], dict) else f", not {wrong['input']!r}."
    return UserError(problem, where=at(where, lines, (*prefix, *keys)), remedy=remedy)


def _nearest(given: str, known: Sequence[str], otherwise: str) -> str:
    """Which of the known ones was meant; all of them where none is near."""
    near = difflib.get_close_matches(given, known, 1)
    return f"Did you mean `{near[0]}`?" if near else f"{otherwise}: {', '.join(known)}."


def _plain(wrong: Mapping[str, Any]) -> str:
    """What pydantic says, without Python's words."""
    if wrong["type"] in ("tuple_type", "list_type"):
        return (
            f"this is a list, such as [{wrong['input']}]" if isinstance(wrong["input"], int | str) else "this is a list"
        )
    if wrong["type"] == "too_short":
        return f"it needs {wrong['ctx']['min_length']} item at least"
    if wrong["type"] == "string_pattern_mismatch":
        return "it begins with a letter from A to Z or a digit, and goes on with these, `_`, `.` and `-`"
    return str(wrong["msg"].removeprefix("Value error, "))


def _keys(model: type[BaseModel], loc: Loc) -> set[str]:
    """The field names that are right at a location."""
    current: list[type[BaseModel]] = [model]
    for step in loc:
        inner = [m for c in current if step in c.model_fields for m in _models(c.model_fields[str(step)].annotation)]
        tagged = [
            m for m in current if "format" in m.model_fields and step in get_args(m.model_fields["format"].annotation)
        ]
        current = inner or tagged or current
    return {name for m in current for name in m.model_fields}


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for inner in get_args(annotation) for m in _models(inner)]
