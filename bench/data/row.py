"""Values of one row of a dataset file, checked, with errors that name the line."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

import regex

from bench.core.errors import UserError, non_empty
from bench.core.vocabulary import Place, read_spans


@dataclass
class Keys:
    """The keys of a file's rows, as they come: none may be nearly one of ragtune's that its row lacks, some row must
    have `answers`, and none may have another key in its place. Other keys are the user's own."""

    known: frozenset[str]
    told: set[str] = field(default_factory=set)  # a key is told of once a file
    rows: int = 0
    answered: int = 0
    beside: set[str] = field(default_factory=set)  # keys of rows that have `answers`
    instead: dict[str, str] = field(default_factory=dict)  # key of rows that have none -> the first of them

    def check(self, row: Mapping[str, Any], where: str) -> None:
        """Raises UserError for a key that is nearly another."""
        self.rows += 1
        if "answers" in row:
            self.answered += 1
            self.beside.update(row)
        else:
            self.instead |= {key: where for key in row.keys() - self.known if key not in self.instead}
        for key in row.keys() - self.known - self.told:
            near = _nearest(key, self.known.difference(row))
            if near:
                self.told.add(key)
                raise UserError(f"unknown key `{key}`.", where=where, remedy=f"Did you mean `{near}`?")

    def end(self, where: str) -> None:
        """Raises UserError where no row had `answers`, or some have a key in its place that no other has: then they
        stand under another name."""
        if self.rows and not self.answered:
            raise UserError(
                "no line has `answers`.",
                where=where,
                remedy="Rename the field that holds them; write `[]` where the right answer is to abstain, and `null` "
                "where no reference is known.",
            )
        if misnamed := sorted(self.instead.keys() - self.beside):
            raise UserError(
                f"there is no `answers`, and a `{misnamed[0]}` that no line with `answers` has.",
                where=self.instead[misnamed[0]],
                remedy="Rename it; write `[]` where the right answer is to abstain, and `null` where no reference is "
                "known.",
            )


@lru_cache(4096)  # the rows of a file have the same keys
def _nearest(key: str, known: frozenset[str]) -> str | None:
    return next(iter(difflib.get_close_matches(key, sorted(known), 1, cutoff=0.8)), None)


def check_choices(answers: Sequence[str] | None, choices: Sequence[str], where: str) -> None:
    """Raises UserError for an answer that is none of the choices: no answer could be right."""
    outside = [answer for answer in answers or () if choices and answer not in choices]
    if outside:
        near = next((choice for choice in choices if choice.lower() == outside[0].lower()), None)
        raise UserError(
            f"answer {outside[0]!r} is not one of the choices {list(choices)}.",
            where=where,
            remedy=f"Write {near!r}." if near else "",
        )


def text_of(row: Mapping[str, Any], key: str, where: str) -> str:
    """A non-empty string; a whole number is taken as one. Raises UserError."""
    value = row.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return non_empty(value, key, row, where)


def pattern(row: Mapping[str, Any], key: str, where: str) -> str:
    """A regular expression, or the empty string. Raises UserError, also for one that takes for ever on a text that it
    nearly matches, as `(a|aa)+$` does."""
    value = row.get(key) or ""
    if value == "":
        return ""
    try:
        known = regex.compile(value)
        for letter in sorted({c for c in value if c.isalnum()})[:8]:
            known.fullmatch(letter * 40 + "\0", timeout=0.5)
    except TimeoutError:
        raise UserError(
            f"`{key}` takes too long to match: {value!r}.",
            where=where,
            remedy="Do not repeat what matches the same text in several ways, as in `(a|aa)+`.",
        ) from None
    except (regex.error, TypeError, OverflowError, RecursionError) as e:
        raise UserError(f"`{key}` is no regular expression: {e}.", where=where) from None
    return str(value)


def strings(row: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    """A string or a list of strings, as a tuple; empty where the key is missing. Raises UserError."""
    value = row.get(key)
    if value is None:
        return ()
    values = [value] if isinstance(value, str | int | float) else value
    if not isinstance(values, list | tuple) or any(not isinstance(v, str | int | float) for v in values):
        raise UserError(f"`{key}` must be a string or a list of strings.", where=where)
    return tuple(_written(v, key, where) for v in values)


def _written(value: str | float, key: str, where: str) -> str:
    """A value as one writes it, a number without an exponent. Raises UserError for what is no number."""
    if not isinstance(value, float):
        return str(value)
    if not math.isfinite(value):
        raise UserError(f"`{key}` holds {value}.", where=where, remedy="Write `null` where nothing is known.")
    return f"{Decimal(str(value)):f}"


def as_json(value: Any) -> Any:
    """A value of a typed table as JSON would write it: what is no number is nothing, and an exact number is a text."""
    if isinstance(value, dict):
        return {key: as_json(v) for key, v in value.items()}
    if isinstance(value, list):
        return [as_json(v) for v in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return str(value) if isinstance(value, Decimal | date) else value


def name_of(value: object) -> str:
    """A name, a title or an id as a text; empty where there is none: null, or an empty list."""
    return "" if value is None or value == [] else str(value)


def spans(row: Mapping[str, Any], key: str, where: str) -> tuple[tuple[Place, ...], ...]:
    """Evidence: a list of spans, each a list of places in gold passages. Raises UserError."""
    if not row.get(key):
        return ()
    try:
        found = read_spans(row[key])
        if any(type(n) is not int for span in found for p in span for n in (p.start, p.end, p.at)):
            raise TypeError("a place is counted in whole characters")
    except TypeError:
        found = ((Place("", -1, -1),),)
    gold = strings(row, "gold", where)
    for place in (place for span in found for place in span or (Place("", -1, -1),)):
        if place.passage not in gold or not 0 <= place.start < place.end or place.at < 0:
            raise UserError(
                f"`{key}` must be lists of places in gold passages.",
                where=where,
                remedy='Write it as [[{"passage": "p1", "start": 10, "end": 24}]], in characters.',
            )
    return found


def grades(row: Mapping[str, Any], key: str, where: str) -> tuple[int, ...]:
    """The relevance of each gold passage, whole numbers from 1 on; empty where the key is missing. Raises UserError."""
    found = row.get(key)
    if not found:
        return ()
    gold = strings(row, "gold", where)
    whole = isinstance(found, list) and all(type(grade) is int and grade > 0 for grade in found)
    if not whole or len(found) != len(gold):
        raise UserError(
            f"`{key}` must be a whole number from 1 on for each of the {len(gold)} gold passages.", where=where
        )
    return tuple(found)
