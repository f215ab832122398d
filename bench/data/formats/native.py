"""The native format: a folder of corpus.jsonl, train.jsonl, test.jsonl and optional dev, updates and paraphrases."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from bench.core.digest import file_digest, plain
from bench.core.errors import Mistakes, UserError, every
from bench.core.files import read_jsonl, read_text, write_json, write_jsonl
from bench.core.lazy import Lines, Mapped
from bench.core.vocabulary import JSON, Example, Passage, Question
from bench.core.yaml_text import composed
from bench.data.row import Keys, check_choices, grades, name_of, pattern, spans, strings, text_of
from bench.data.source import Source, file_fingerprint
from bench.data.task import SPLITS, Task

fingerprint = file_fingerprint


class Native(Source):
    """A folder of corpus.jsonl, train.jsonl, test.jsonl and optional dev.jsonl and updates.jsonl."""

    may_be_embedded: ClassVar[bool] = True

    format: Literal["native"] = "native"
    path: str = Field(description="The folder, or the name of an embedded dataset.")

    is_a_test: ClassVar[bool] = True  # without train.jsonl the questions stand in test.jsonl


def read(source: Native, origin: JSON) -> Task:
    """The folder that the source names."""
    return read_folder(Path(source.path))


def write_folder(folder: Path, task: Task, **about: JSON) -> None:
    """Write a task as a native folder."""
    splits = {n: getattr(task, n) for n in SPLITS}
    write_parts(folder, task.corpus, splits, updates=task.updates, paraphrases=task.paraphrases)
    told = {"strata": dict(task.strata), "notes": list(task.notes), "language": task.language}
    known = {key: value for key, value in told.items() if value}
    write_json(folder / "dataset.yaml", {"name": task.name, **known, **about})  # JSON is YAML


def write_parts(
    folder: Path, corpus: Iterable[Passage], splits: Mapping[str, Sequence[Example]], **others: Iterable[Passage]
) -> dict[str, str]:
    """Write what a native folder holds, passages one at a time as they come. Returns the sha256 of each file."""
    parts: dict[str, Iterator[JSON]] = {
        "corpus.jsonl": iter(corpus),
        **{f"{name}.jsonl": (line(e) for e in rows) for name, rows in splits.items()},
        **{f"{name}.jsonl": iter(rows) for name, rows in others.items()},
    }
    written = {}
    for name, rows in parts.items():
        first = next(rows, None)
        if first is None:  # an empty part has no file, nor keeps one of before
            (folder / name).unlink(missing_ok=True)
        else:
            write_jsonl(folder / name, itertools.chain([first], rows))
            written[name] = file_digest(folder / name)
    return written


def line(example: Example) -> dict[str, JSON]:
    """An example as a line of a native split file."""
    row: dict[str, JSON] = {
        "id": example.question.id,
        "question": example.question.text,
        "answers": plain(example.answers),
        "gold": list(example.question.gold),
        "stratum": example.stratum,
        "group": example.group,
    }
    more = {
        "choices": example.question.choices,
        "updated": example.updated,
        "facts": example.facts,
        "grades": example.grades,
        "spans": example.spans,
    }
    if example.withdrawn:
        row["updated"] = []
    return row | {k: plain(v) for k, v in more.items() if v} | ({"form": example.form} if example.form else {})


def read_folder(folder: Path) -> Task:
    """A native folder as it stands. Raises UserError naming file and line."""
    corpus = read_passages(folder / "corpus.jsonl")
    if not corpus:
        raise UserError("the corpus is empty.", where=str(folder / "corpus.jsonl"), remedy="Write one passage a line.")
    return _with_questions(folder, corpus, {p.id for p in corpus})


def stored(folder: Path) -> Task:
    """The task that `write_folder` wrote. Passages, checked then, are read from its file when they are asked for."""
    return _with_questions(folder, Mapped(Lines(folder / "corpus.jsonl"), _as_written), None)


def _as_written(row: Mapping[str, Any]) -> Passage:
    return Passage(row["id"], row["text"], row["title"], row["group"])


def _with_questions(folder: Path, corpus: Sequence[Passage], known: Collection[str] | None) -> Task:
    """The rest of a native folder. `known`: the ids that a question may name, where that is still to be checked."""
    about_path = folder / "dataset.yaml"
    about = composed(read_text(about_path), str(about_path)) or {} if about_path.exists() else {}
    if not isinstance(about, dict):
        raise UserError("expected a mapping such as `name: my-data`.", where=str(about_path))
    strata = about.get("strata") or {}
    if not isinstance(strata, dict):
        raise UserError("`strata` must be a mapping from a stratum to what it asks.", where=str(about_path))
    seen: dict[str, str] = {}
    splits, mistakes = dict[str, tuple[Example, ...]](), Mistakes()
    for name in SPLITS:
        with mistakes.noted():
            splits[name] = _examples(folder / f"{name}.jsonl", name, seen, known)
    mistakes.tell()
    if not splits["test"]:
        raise UserError("no such file, or no question in it.", where=str(folder / "test.jsonl"))
    others = [read_passages(p) if _stands(p) else () for p in (folder / "updates.jsonl", folder / "paraphrases.jsonl")]
    described = {str(k): str(v) for k, v in strata.items()}
    name = str(about.get("name", folder.name))
    notes = strings(about, "notes", str(about_path))
    language = str(about.get("language") or "en")
    kept = (splits["train"], splits["dev"], splits["test"], others[0], others[1])
    return Task(name, corpus, *kept, described, language, notes)


def _stands(path: Path) -> bool:
    """Whether there is such a file; a link to nothing is one, and reading it says so."""
    return path.exists() or path.is_symlink()


def read_passages(path: Path) -> tuple[Passage, ...]:
    """The passages of a JSONL, each in a group. Raises UserError."""
    seen: dict[str, str] = {}

    def read(line: tuple[int, Mapping[str, JSON]]) -> Passage:
        where, row = f"{path}:{line[0]}", line[1]
        passage = Passage(
            text_of(row, "id", where), text_of(row, "text", where), name_of(row.get("title")), name_of(row.get("group"))
        )
        _once("passage", passage.id, where, seen)
        return passage if passage.group else replace(passage, group=passage.id)

    return tuple(every(read, read_jsonl(path)))


def _once(what: str, ident: str, where: str, seen: dict[str, str]) -> None:
    """Note where an id stands. Raises UserError for one that stood before."""
    if ident in seen:
        raise UserError(
            f"duplicate {what} id {ident!r}, first at {seen[ident]}.", where=where, remedy="Ids must be unique."
        )
    seen[ident] = where


def _answers(row: Mapping[str, JSON], where: str, key: str = "answers") -> tuple[str, ...]:
    """The reference answers. Raises UserError where there are some and all are blank: is nothing right, or unknown?"""
    found = strings(row, key, where)
    kept = tuple(answer for answer in found if answer.strip())
    if found and not kept:
        raise UserError(
            "every answer is blank." if key == "answers" else f"every one of `{key}` is blank.",
            where=where,
            remedy="Write `[]` where the right answer is to abstain, and `null` where no reference is known.",
        )
    return kept


def _examples(path: Path, name: str, seen: dict[str, str], known: Collection[str] | None) -> tuple[Example, ...]:
    keys = Keys(KEYS)

    def read(line: tuple[int, Mapping[str, JSON]]) -> Example:
        where, row = f"{path}:{line[0]}", line[1]
        keys.check(row, where)
        example = _example(row, name, where)
        _once("question", example.question.id, where, seen)
        missing = [g for g in example.question.gold if known is not None and g not in known]
        if missing:
            raise UserError(
                f"gold passage {missing[0]!r} is not in corpus.jsonl.",
                where=where,
                remedy="Give the id of a line of the corpus.",
            )
        return example

    found = tuple(every(read, read_jsonl(path))) if _stands(path) else ()
    keys.end(str(path))
    return found


KEYS = frozenset(
    ["id", "question", "answers", "gold", "stratum", "group", "choices", "updated", "form", "facts", "grades", "spans"]
)


def _example(row: Mapping[str, JSON], split: str, where: str) -> Example:
    question = Question(
        text_of(row, "id", where),
        text_of(row, "question", where),
        strings(row, "gold", where),
        strings(row, "choices", where),
    )
    answers = None if row.get("answers", ()) is None else _answers(row, where)
    check_choices(answers, question.choices, where)
    return Example(
        question,
        answers,
        sys.intern(name_of(row.get("stratum")) or "all"),  # one text for all questions of a kind
        name_of(row.get("group")) or next(iter(question.gold), question.id),
        split,
        _answers(row, where, "updated"),
        pattern(row, "form", where),
        strings(row, "facts", where),
        spans(row, "spans", where),
        grades(row, "grades", where),
        row.get("updated") == [],
    )
