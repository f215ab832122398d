"""A dataset, from whatever source, as one Task: checked, split by group, limited, stored by its sha256."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.core.errors import UserError
from bench.core.linked import linked, of_first, same_question
from bench.core.store import Store
from bench.core.vocabulary import JSON, Example
from bench.data import formats
from bench.data.formats import native
from bench.data.source import Source
from bench.data.task import Task

VERSION = 4


def load(source: Source, store: Store) -> tuple[Task, dict[str, JSON]]:
    """The task of a source, and where it came from. Parsed once, then read from the store.

    Raises UserError naming file and line for anything that is wrong with the source.
    """
    origin = formats.fingerprint(source)
    known = recipe(source, origin)
    artefact = store.find(known)
    if artefact is None:  # parsed before the store is touched: a broken source leaves nothing behind
        _, artefact = store.get(known, partial(_write, _parsed(source, origin)))
    task = native.stored(store.path(known))  # what was parsed is no longer held
    return task, {"source": origin, "digest": artefact.facts["digest"], "split_seed": source.seed}


def _parsed(source: Source, origin: JSON) -> Task:
    """The task of a source, checked, split and limited."""
    task = formats.read(source, origin)
    if "language" in source.model_fields_set:
        task = replace(task, language=source.language)
    given = [str(value) for key in source.path_keys if (value := getattr(source, key))]
    return check(limit(split(task, source), source), given[0] if given else None)


def _write(task: Task, folder: Path) -> Mapping[str, JSON]:
    native.write_folder(folder, task)
    return {"digest": task.digest}


def recipe(source: Source, origin: JSON) -> dict[str, JSON]:
    """Of the stored task. A moved file is the same source."""
    asked = source.model_dump(mode="json", exclude={*source.path_keys, *source.folder_or_id_keys})
    return {"kind": "task", "version": VERSION, "block": asked, "split": source.may_train_on_test, "source": origin}


def split(task: Task, source: Source) -> Task:
    """Give a source without a training or dev split one, by whole groups."""
    train, dev, test = task.train, task.dev, task.test
    if not train and source.may_train_on_test:
        test = joined(test)
        test, train = _part(test, source.test_share, f"{source.seed}/test")
    if not dev and source.dev_share:
        dev, train = _part(train, source.dev_share, f"{source.seed}/dev")
    return replace(task, train=_marked(train, "train"), dev=_marked(dev, "dev"), test=_marked(test, "test"))


def joined(rows: Sequence[Example]) -> tuple[Example, ...]:
    """The rows with groups that share a gold passage made one, and a question that is asked again of no other passages
    in the group of the first: otherwise either could be on both sides."""
    one = linked([("group", e.group), *(("passage", passage) for passage in e.question.gold)] for e in rows)
    kept = of_first(
        (same_question(e.question.text, e.answers, e.question.gold), rows[i].group)
        for e, i in zip(rows, one, strict=True)
    )
    return tuple(replace(e, group=group) for e, group in zip(rows, kept, strict=True))


def _marked(rows: Sequence[Example], name: str) -> tuple[Example, ...]:
    return tuple(e if e.split == name else replace(e, split=name) for e in rows)


def _part(rows: Sequence[Example], share: float, seed: str) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """(about `share` of the rows, the rest), no group on both sides."""
    groups = sorted({e.group for e in rows})
    random.Random(seed).shuffle(groups)
    taken: set[str] = set()
    count, sizes = 0, dict.fromkeys(groups, 0)
    for example in rows:
        sizes[example.group] += 1
    for group in groups:
        if count >= share * len(rows):
            break
        taken.add(group)
        count += sizes[group]
    return tuple(e for e in rows if e.group in taken), tuple(e for e in rows if e.group not in taken)


def limit(task: Task, source: Source) -> Task:
    """At most `max_test` test and `max_train` training questions, drawn by the seed."""

    def some(rows: tuple[Example, ...], most: int | None, name: str) -> tuple[Example, ...]:
        if most is None or len(rows) <= most:
            return rows
        kept = set(random.Random(f"{source.seed}/{name}").sample(range(len(rows)), most))
        return tuple(e for i, e in enumerate(rows) if i in kept)

    return replace(
        task, test=some(task.test, source.max_test, "max_test"), train=some(task.train, source.max_train, "max_train")
    )


def check(task: Task, where: str | None = None) -> Task:
    """What no source may get wrong. `where` the task is from, for its errors. Raises UserError."""
    where = where or task.name
    if not task.corpus:
        raise UserError("the corpus is empty.", where=where, remedy="A dataset needs at least one passage.")
    if not task.test:
        remedy = "Raise test_share or give a test split." if task.train else "Give questions: the file has none."
        raise UserError("there is no test question.", where=where, remedy=remedy)
    blank = next((p.id for p in task.corpus if not p.text.strip()), None)
    if blank is not None:
        raise UserError(f"passage {blank!r} is blank.", where=where, remedy="Leave it out, or give its text.")
    for example in (*task.train, *task.dev, *task.test):
        if not example.question.text.strip():
            raise UserError(f"question {example.question.id!r} is blank.", where=where, remedy="Leave it out.")
        if example.answers and not any(answer.strip() for answer in example.answers):
            raise UserError(
                f"every answer of question {example.question.id!r} is blank.",
                where=where,
                remedy="Give no answer where the right answer is to abstain, and `null` where no reference is known.",
            )
    _unique((p.id for p in task.corpus), "passage", where)
    _unique((e.question.id for e in (*task.train, *task.dev, *task.test)), "question", where)
    known = {p.id: len(p.text) for p in task.corpus}
    for example in (*task.train, *task.dev, *task.test):
        missing = [g for g in example.question.gold if g not in known]
        if missing:
            raise UserError(
                f"question {example.question.id!r} names gold passage {missing[0]!r}, which the corpus does not have.",
                where=where,
                remedy="Give the id of a line of the corpus.",
            )
        for place in (place for span in example.spans for place in span):
            if place.end > known[place.passage]:
                raise UserError(
                    f"evidence of question {example.question.id!r} ends at {place.end}, and the passage has "
                    f"{known[place.passage]} characters.",
                    where=where,
                    remedy="Count `start` and `end` in characters of the passage.",
                )
    moved = {p.id for p in task.updates}
    for example in task.test:
        if example.changes and moved and not moved & {*example.question.gold, example.group}:
            raise UserError(
                f"question {example.question.id!r} has `updated` answers, "
                "and no passage in updates.jsonl is of its gold ones.",
                where=where,
                remedy="Add the passage as it will be, or drop `updated`.",
            )
    for what, ids in (("update", [p.id for p in task.updates]), ("paraphrase", [p.group for p in task.paraphrases])):
        stray = [i for i in ids if i not in known]
        if stray:
            raise UserError(f"{what} {stray[0]!r} is of no passage of the corpus.", where=where)
    return task


def _unique(ids: Iterable[str], what: str, where: str) -> None:
    seen: set[str] = set()
    for ident in ids:
        if ident in seen:
            raise UserError(
                f"duplicate {what} id {ident!r}.", where=where, remedy="Ids must be unique over the whole dataset."
            )
        seen.add(ident)
