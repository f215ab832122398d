"""Records of any shape as examples: which field of a record means what."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field

from bench.core.digest import digest
from bench.core.errors import UserError, every
from bench.core.system import Block
from bench.core.vocabulary import Example, Passage, Question
from bench.data.row import strings, text_of
from bench.data.task import Task

Row = tuple[str, str, Mapping[str, Any]]  # (where it stands, default id, record)


class Fields(Block):
    """Which field of a record means what. Dots reach into nested objects, and `[]` into each of a list of them, as in
    `evidence[].text`."""

    id: str | None = Field(None, description="Unset: the key of an object of records, or the record's number.")
    question: str = "question"
    answers: str = Field("answers", description="A string or a list; missing or empty: unanswerable.")
    passages: str | None = Field(None, description="A string or a list of strings: the gold passages.")
    group: str | None = Field(None, description="Unset: records that share a passage are one group.")
    stratum: str | None = None


def mapped(name: str, test: Iterable[Row], train: Iterable[Row], fields: Fields, choices: tuple[str, ...]) -> Task:
    """The records as a task, equal passages merged. Raises UserError naming the record."""
    corpus: dict[str, Passage] = {}
    test, train = list(test), list(train)
    _check_answers([*test, *train], fields.answers)
    examples = every(lambda row: _example(row, fields, choices, corpus), [*test, *train])
    tests, trains = tuple(examples[: len(test)]), tuple(examples[len(test) :])
    if not corpus and not fields.passages:
        raise UserError(
            "no field gives passages.", where=name, remedy="Set `dataset.fields.passages` to the field that holds them."
        )
    return Task(name, tuple(corpus.values()), trains, (), tests)


def _check_answers(rows: Sequence[Row], path: str) -> None:
    """Raises UserError where no record has the field that the answers are in: then it is misnamed."""
    records = [record for _, _, record in rows]
    if records and all(_at(record, path, "", optional=True) is None for record in records):
        have = list(dict.fromkeys(str(key) for record in records for key in record))
        near = difflib.get_close_matches(path, have, 1, 0.5)
        raise UserError(
            f"no record has the field {path!r}, in which the answers are.",
            where=rows[0][0],
            remedy=f"Set `dataset.fields.answers`{f' to {near[0]!r}' if near else ''}. There are: {', '.join(have)}.",
        )


def _example(row: Row, fields: Fields, choices: tuple[str, ...], corpus: dict[str, Passage]) -> Example:
    """One record as an example; its passages are added to the corpus."""
    where, default_id, record = row
    named = {n: path for n, path in fields.model_dump().items() if path}
    flat = {n: _at(record, path, where, optional=n == "answers") for n, path in named.items()}
    ident = text_of(flat, "id", where) if fields.id else default_id
    answers = tuple(a for a in strings(flat, "answers", where) if a.strip())
    outside = [a for a in answers if choices and a not in choices]
    if outside:
        raise UserError(f"answer {outside[0]!r} is not one of the choices {list(choices)}.", where=where)
    gold = []
    group = str(flat["group"]) if fields.group else ""
    for text in strings(flat, "passages", where):
        passage = Passage("c-" + digest(text)[:12], text, "", group or ident)
        gold.append(corpus.setdefault(passage.id, passage).id)
    group = group or (corpus[gold[0]].group if gold else ident)
    default_stratum = "answerable" if answers else "unanswerable"
    stratum = str(flat["stratum"]) if fields.stratum else default_stratum
    question = Question(ident, text_of(flat, "question", where), tuple(dict.fromkeys(gold)), choices)
    return Example(question, answers, stratum, group)


def _at(record: Mapping[str, Any], path: str, where: str, *, optional: bool) -> Any:
    """The field of a record; None for an optional one that it lacks. Raises UserError naming the fields there are."""
    value: Any = record
    steps = path.split(".")
    for number, step in enumerate(steps, 1):
        name = step.removesuffix("[]")
        if optional and (not isinstance(value, Mapping) or name not in value):
            return None
        if not isinstance(value, Mapping) or name not in value:
            have = ", ".join(map(str, value)) if isinstance(value, Mapping) else type(value).__name__
            raise UserError(f"no field {path!r}.", where=where, remedy=f"There are: {have}.")
        value = value[name]
        if step != name:
            if not isinstance(value, list):
                raise UserError(f"{name!r} of {path!r} is no list.", where=where, remedy="Leave out its `[]`.")
            rest = ".".join(steps[number:])
            found = [_at(item, rest, f"{where}, {name}", optional=optional) if rest else item for item in value]
            return [text for item in found for text in (item if isinstance(item, list) else [item]) if text is not None]
    return value
