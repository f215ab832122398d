"""Values of one row of a dataset file, checked, with errors that name the line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bench.core.errors import UserError


def text_of(row: Mapping[str, Any], key: str, where: str) -> str:
    """A non-empty string; a whole number is taken as one. Raises UserError."""
    value = row.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise UserError(
            f"`{key}` must be a non-empty string.",
            where=where,
            remedy=f"The line has: {', '.join(map(str, row)) or 'nothing'}.",
        )
    return value


def pattern(row: Mapping[str, Any], key: str, where: str) -> str:
    """A regular expression, or the empty string. Raises UserError."""
    value = row.get(key) or ""
    try:
        re.compile(value)
    except (re.error, TypeError, OverflowError, RecursionError) as e:
        raise UserError(f"`{key}` is no regular expression: {e}.", where=where) from None
    return str(value)


def strings(row: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    """A string or a list of strings, as a tuple; empty where the key is missing. Raises UserError."""
    value = row.get(key)
    if value is None:
        values: Any = []
    elif isinstance(value, str | int | float):
        values = [value]
    else:
        values = value
    if not isinstance(values, list | tuple) or any(not isinstance(v, str | int | float) for v in values):
        raise UserError(f"`{key}` must be a string or a list of strings.", where=where)
    return tuple(str(v) for v in values)
