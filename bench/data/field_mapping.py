"""Records of any shape as examples: which field of a record means what."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import Field

from bench.core.blocks import Block
from bench.core.digest import digest
from bench.core.errors import UserError, every
from bench.core.vocabulary import Example, Passage, Question
from bench.data.row import check_choices, name_of, strings, text_of
from bench.data.task import Task

Row = tuple[str, str, Mapping[str, Any]]  # (where it stands, default id, record)


class Fields(Block):
    """Which field of a record means what. Dots reach into nested objects, and `[]` into each of a list of them, as in
    `evidence[].text`."""

    id: str | None = Field(None, description="Unset: the key of an object of records, or the record's number.")
    question: str = "question"
    answers: str = Field("answers", description="A string or a list; missing or empty: unanswerable.")
    passages: str | None = Field(
        None,
        description="A string or a list of strings: the gold passages, or their ids where `corpus_path` is given.",
    )
    group: str | None = Field(None, description="Unset: records that share a passage are one group.")
    stratum: str | None = None


class PageFields(Block):
    """Which field of a record of the corpus means what."""

    id: str = "id"
    text: str = "text"
    title: str | None = None
    group: str | None = Field(None, description="Unset: each passage is a group of its own.")


def corpus_of(rows: Iterable[Row], fields: PageFields) -> dict[str, Passage]:
    """id -> passage. Raises UserError naming each record that has no text or the id of another."""
    named = {n: path for n, path in fields.model_dump().items() if path}
    seen: dict[str, str] = {}

    def passage(row: Row) -> Passage:
        where, _, record = row
        flat = {n: _at(record, path, where, optional=n in ("title", "group")) for n, path in named.items()}
        ident = text_of(flat, "id", where)
        if ident in seen:
            raise UserError(f"a second passage has the id {ident!r}.", where=where, remedy=f"The first: {seen[ident]}.")
        seen[ident] = where
        title, group = (name_of(flat.get(n)) for n in ("title", "group"))
        return Passage(ident, text_of(flat, "text", where), title, group or ident)

    return {p.id: p for p in every(passage, rows)}


def mapped(
    name: str,
    test: Iterable[Row],
    train: Iterable[Row],
    fields: Fields,
    choices: tuple[str, ...],
    known: Mapping[str, Passage] | None = None,
) -> Task:
    """The records as a task, equal passages merged, or with the passages `known` by id. Raises UserError naming the
    record."""
    corpus = dict(known or {})
    test, train = list(test), list(train)
    _check_answers([*test, *train], fields.answers)
    passages = _named if known is not None else _merged
    examples = every(lambda row: _example(row, fields, choices, partial(passages, corpus)), [*test, *train])
    tests, trains = tuple(examples[: len(test)]), tuple(examples[len(test) :])
    if not corpus and not fields.passages:
        raise UserError(
            "no field gives passages.", where=name, remedy="Set `dataset.fields.passages` to the field that holds them."
        )
    return Task(name, tuple(corpus.values()), trains, (), tests)


def _check_answers(rows: Sequence[Row], path: str) -> None:
    """Raises UserError where no record has the field that the answers are in: then it is misnamed."""
    records = [record for _, _, record in rows]
    if records and not any(_has(record, path) for record in records):
        have = list(dict.fromkeys(str(key) for record in records for key in record))
        near = difflib.get_close_matches(path, have, 1, 0.5)
        raise UserError(
            f"no record has the field {path!r}, in which the answers are.",
            where=rows[0][0],
            remedy=f"Set `dataset.fields.answers`{f' to {near[0]!r}' if near else ''}. There are: {', '.join(have)}.",
        )


def _check_objects(found: object, path: str, where: str) -> None:
    """Raises UserError where the answers of a record are objects: which field of them is meant must be said."""
    value = found[0] if isinstance(found, list) and found else found
    if isinstance(value, Mapping):
        listed = isinstance(found, list) and not path.endswith("[]")
        have = ", ".join(map(str, value))
        example = f"{path}{'[]' if listed else ''}.{'text' if 'text' in value else next(iter(value), 'text')}"
        raise UserError(
            f"the answers in {path!r} are objects with: {have}.",
            where=where,
            remedy=f"Set `dataset.fields.answers` to the field that is meant, such as {example!r}.",
        )


def _has(record: Mapping[str, Any], path: str) -> bool:
    """Whether a record has the field; one whose list holds something, and in none of it the field, lacks it."""
    found = _at(record, path, "", optional=True)
    if found is None or found or "[]" not in path:
        return found is not None
    return not _at(record, path.partition("[]")[0], "", optional=True)


def _merged(corpus: dict[str, Passage], texts: Sequence[str], group: str, where: str) -> list[Passage]:
    """The passages of these texts, added to the corpus where they are new."""
    made = [Passage("c-" + digest(text)[:12], text, "", group) for text in texts]
    return [corpus.setdefault(p.id, p) for p in made]


def _named(corpus: Mapping[str, Passage], ids: Sequence[str], group: str, where: str) -> list[Passage]:
    """The passages of these ids. Raises UserError for an id that the corpus lacks."""
    if unknown := [i for i in ids if i not in corpus]:
        near = difflib.get_close_matches(unknown[0], corpus, 1, 0.6)
        raise UserError(
            f"no passage of the corpus has the id {unknown[0]!r}.",
            where=where,
            remedy=f"The nearest is {near[0]!r}." if near else "Check `fields.passages` and `corpus_fields.id`.",
        )
    return [corpus[i] for i in ids]


def _example(
    row: Row,
    fields: Fields,
    choices: tuple[str, ...],
    passages: Callable[[Sequence[str], str, str], list[Passage]],
) -> Example:
    """One record as an example."""
    where, default_id, record = row
    named = {n: path for n, path in fields.model_dump().items() if path}
    flat = {n: _at(record, path, where, optional=n == "answers") for n, path in named.items()}
    ident = text_of(flat, "id", where) if fields.id else default_id
    _check_objects(flat["answers"], fields.answers, where)
    given = strings(flat, "answers", where)
    answers = tuple(a for a in given if a.strip())
    if given and not answers and isinstance(flat["answers"], list):
        raise UserError(
            "every answer is blank.",
            where=where,
            remedy="Leave the list empty where the right answer is to abstain, and write `null` where none is known.",
        )
    check_choices(answers, choices, where)
    group = name_of(flat["group"]) if fields.group else ""
    found = passages(strings(flat, "passages", where), group or ident, where)
    gold = [p.id for p in found]
    group = group or (found[0].group if found else ident)
    default_stratum = "answerable" if answers else "unanswerable"
    stratum = (name_of(flat["stratum"]) if fields.stratum else "") or default_stratum
    question = Question(ident, text_of(flat, "question", where), tuple(dict.fromkeys(gold)), choices)
    return Example(question, None if _is_null(record, named["answers"]) else answers, stratum, group)


def _is_null(record: Mapping[str, Any], path: str) -> bool:
    """Whether a field, or what it stands in, is there and says that nothing is known."""
    value: Any = record
    for step in path.split("."):
        if value is None:
            return True
        if not isinstance(value, Mapping) or step not in value:
            return False
        value = value[step]
    return value is None


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
