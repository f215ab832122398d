"""A dataset, from whatever source, as one Task: corpus, splits and updates, checked and identified by sha256."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from bench.digest import digest, plain
from bench.errors import UserError
from bench.files import read_jsonl, write_json, write_jsonl
from bench.store import Store
from bench.system import Block, Chunking, PositiveInt, Share
from bench.types import JSON, Example, Material, Passage, Question

VERSION = 1


@dataclass(frozen=True)
class Task:
    """What a run is about. `digest` is of the content, whatever format it came from."""

    name: str
    corpus: tuple[Passage, ...]
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]
    updates: tuple[Passage, ...] = ()

    @property
    def material(self) -> Material:
        return Material(self.corpus, self.train, self.dev)

    @property
    def digest(self) -> str:
        return digest([self.corpus, self.train, self.dev, self.test, self.updates])


class Dataset(Block):
    """What every source has. A source without a training split is split by group, never by question."""

    seed: int = Field(0, description="Of the split, and of the choice under max_test.")
    test_share: Share = 0.5
    dev_share: Share = Field(0.0, description="Of the training groups, where the source has no dev split.")
    max_test: PositiveInt | None = None
    max_train: PositiveInt | None = None


class Native(Dataset):
    """A folder of corpus.jsonl, train.jsonl, test.jsonl and optional dev.jsonl and updates.jsonl."""

    format: Literal["native"] = "native"
    path: str = Field(description="The folder, or the name of an embedded dataset.")


class Squad(Dataset):
    """SQuAD v1 or v2 JSON. Passages are paragraphs, groups are articles."""

    format: Literal["squad"]
    path: str
    train_path: str | None = None


class Fields(Block):
    """Which field of a record means what. Dots reach into nested objects."""

    id: str | None = Field(None, description="Unset: the key of an object of records, or the record's number.")
    question: str = "question"
    answers: str = Field("answers", description="A string or a list; missing or empty: unanswerable.")
    passages: str | None = Field(None, description="A string or a list of strings: the gold passages.")
    group: str | None = Field(None, description="Unset: records that share a passage are one group.")
    stratum: str | None = None


class Records(Dataset):
    """JSON, JSONL, CSV or Parquet records with a field mapping."""

    format: Literal["records"]
    path: str
    train_path: str | None = None
    fields: Fields = Fields()
    choices: tuple[str, ...] = Field((), description="The closed set of answers, if it is one.")
    test_ids: str | None = Field(None, description="JSON list, or object keyed by id, of the test questions.")


class Hub(Dataset):
    """A Hugging Face dataset, by hub id or local folder, read by the `datasets` library."""

    format: Literal["hub"]
    id: str
    config: str | None = None
    revision: str | None = None
    test_split: str = "test"
    train_split: str | None = None
    fields: Fields = Fields()
    choices: tuple[str, ...] = ()


class Beir(Dataset):
    """A BEIR folder: corpus.jsonl, queries.jsonl, qrels/*.tsv. It has no reference answers."""

    format: Literal["beir"]
    path: str


class Documents(Dataset):
    """A folder of txt, md, html and pdf files, and a JSONL of questions with `document` and `start`, `end` or `quote`."""

    format: Literal["documents"]
    path: str
    questions: str
    chunking: Chunking = Chunking()


AnyDataset = Annotated[Native | Squad | Records | Hub | Beir | Documents, Field(discriminator="format")]


def load(block: AnyDataset, store: Store) -> tuple[Task, dict[str, JSON]]:
    """The task of a dataset block, and where it came from. Parsed once, then read from the store.

    Raises UserError naming file and line for anything that is wrong with the source.
    """
    from bench import sources

    origin = sources.fingerprint(block)

    def make(folder: Path) -> Mapping[str, JSON]:
        task = check(limit(split(sources.read(block), block), block))
        write(folder, task)
        return {"digest": task.digest}

    folder, artefact = store.get(recipe(block, origin), make)
    task = read(folder)
    return task, {"source": origin, "digest": artefact.facts["digest"], "split_seed": block.seed}


def recipe(block: AnyDataset, origin: JSON) -> dict[str, JSON]:
    """Of the stored task. A moved file is the same source."""
    asked = block.model_dump(mode="json", exclude={"path", "train_path", "test_ids", "questions", "id"})
    return {"kind": "task", "version": VERSION, "block": asked, "source": origin}


def split(task: Task, block: Dataset) -> Task:
    """Give a source without a training or dev split one, by whole groups."""
    train, dev, test = task.train, task.dev, task.test
    if not train:
        test, train = _part(test, block.test_share, f"{block.seed}/test")
    if not dev and block.dev_share:
        dev, train = _part(train, block.dev_share, f"{block.seed}/dev")
    mark = lambda rows, name: tuple(replace(e, split=name) for e in rows)  # noqa: E731
    return replace(task, train=mark(train, "train"), dev=mark(dev, "dev"), test=mark(test, "test"))


def _part(rows: Sequence[Example], share: float, seed: str) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """(about `share` of the rows, the rest), no group on both sides."""
    groups = sorted({e.group for e in rows})
    random.Random(seed).shuffle(groups)
    taken: set[str] = set()
    count, sizes = 0, {g: 0 for g in groups}
    for e in rows:
        sizes[e.group] += 1
    for group in groups:
        if count >= share * len(rows):
            break
        taken.add(group)
        count += sizes[group]
    return tuple(e for e in rows if e.group in taken), tuple(e for e in rows if e.group not in taken)


def limit(task: Task, block: Dataset) -> Task:
    def some(rows: tuple[Example, ...], most: int | None, name: str) -> tuple[Example, ...]:
        if most is None or len(rows) <= most:
            return rows
        kept = set(random.Random(f"{block.seed}/{name}").sample(range(len(rows)), most))
        return tuple(e for i, e in enumerate(rows) if i in kept)

    return replace(task, test=some(task.test, block.max_test, "max_test"), train=some(task.train, block.max_train, "max_train"))


def check(task: Task) -> Task:
    """What no source may get wrong. Raises UserError."""
    if not task.corpus:
        raise UserError("the corpus is empty.", where=task.name, remedy="A dataset needs at least one passage.")
    if not task.test:
        raise UserError("there is no test question.", where=task.name, remedy="Raise test_share or give a test split.")
    _unique((p.id for p in task.corpus), "passage", task.name)
    _unique((e.question.id for e in (*task.train, *task.dev, *task.test)), "question", task.name)
    known = {p.id for p in task.corpus}
    for e in (*task.train, *task.dev, *task.test):
        missing = [g for g in e.question.gold if g not in known]
        if missing:
            raise UserError(f"question {e.question.id!r} names gold passage {missing[0]!r}, which the corpus does not have.",
                            where=task.name, remedy="Give the id of a line of the corpus.")  # fmt: skip
    stray = [p.id for p in task.updates if p.id not in known]
    if stray:
        raise UserError(f"update {stray[0]!r} is of no passage of the corpus.", where=task.name)
    return task


def _unique(ids: Iterable[str], what: str, where: str) -> None:
    seen: set[str] = set()
    for i in ids:
        if i in seen:
            raise UserError(f"duplicate {what} id {i!r}.", where=where, remedy="Ids must be unique over the whole dataset.")
        seen.add(i)


SPLITS = ("train", "dev", "test")


def write(folder: Path, task: Task, **about: JSON) -> None:
    """Write a task as a native folder."""
    write_jsonl(folder / "corpus.jsonl", task.corpus)
    for name in SPLITS:
        rows: tuple[Example, ...] = getattr(task, name)
        if rows:
            write_jsonl(folder / f"{name}.jsonl", [line(e) for e in rows])
    if task.updates:
        write_jsonl(folder / "updates.jsonl", task.updates)
    write_json(folder / "dataset.yaml", {"name": task.name, **about})  # JSON is YAML


def line(e: Example) -> dict[str, JSON]:
    """An example as a line of a native split file."""
    row: dict[str, JSON] = {"id": e.question.id, "question": e.question.text, "answers": plain(e.answers),
                            "gold": list(e.question.gold), "stratum": e.stratum, "group": e.group}  # fmt: skip
    return row | ({"choices": list(e.question.choices)} if e.question.choices else {})


def read(folder: Path) -> Task:
    """A native folder as it stands. Raises UserError naming file and line."""
    import yaml

    about_path = folder / "dataset.yaml"
    try:
        about = yaml.safe_load(about_path.read_text(encoding="utf-8")) if about_path.exists() else {}
    except yaml.YAMLError as e:
        raise UserError(f"malformed YAML: {e}", where=str(about_path)) from None
    if not isinstance(about, dict):
        raise UserError("expected a mapping such as `name: my-data`.", where=str(about_path))
    corpus = _passages(folder / "corpus.jsonl")
    if not corpus:
        raise UserError("the corpus is empty.", where=str(folder / "corpus.jsonl"), remedy="Write one passage a line.")
    seen: dict[str, str] = {}
    known = {p.id for p in corpus}
    splits = {name: _examples(folder / f"{name}.jsonl", name, seen, known) for name in SPLITS}
    if not splits["test"]:
        raise UserError("no such file, or no question in it.", where=str(folder / "test.jsonl"))
    updates = folder / "updates.jsonl"
    return Task(str(about.get("name", folder.name)), corpus, splits["train"], splits["dev"], splits["test"],
                _passages(updates) if updates.exists() else ())  # fmt: skip


def _passages(path: Path) -> tuple[Passage, ...]:
    rows: list[Passage] = []
    seen: dict[str, int] = {}
    for number, row in read_jsonl(path):
        where = f"{path}:{number}"
        p = Passage(text_of(row, "id", where), text_of(row, "text", where), str(row.get("title", "")), str(row.get("group", "")))
        if p.id in seen:
            raise UserError(f"duplicate passage id {p.id!r}, first on line {seen[p.id]}.", where=where, remedy="Ids must be unique.")
        seen[p.id] = number
        rows.append(p if p.group else replace(p, group=p.id))
    return tuple(rows)


def _examples(path: Path, name: str, seen: dict[str, str], known: set[str]) -> tuple[Example, ...]:
    if not path.exists():
        return ()
    rows: list[Example] = []
    for number, row in read_jsonl(path):
        where = f"{path}:{number}"
        e = Example(
            Question(text_of(row, "id", where), text_of(row, "question", where), strings(row, "gold", where), strings(row, "choices", where)),
            None if row.get("answers", ()) is None else strings(row, "answers", where),
            str(row.get("stratum") or "all"),
            str(row.get("group") or next(iter(strings(row, "gold", where)), row["id"])),
            name,
        )
        if e.question.id in seen:
            raise UserError(f"duplicate question id {e.question.id!r}, first at {seen[e.question.id]}.", where=where, remedy="Ids must be unique.")
        seen[e.question.id] = where
        missing = [g for g in e.question.gold if g not in known]
        if missing:
            raise UserError(f"gold passage {missing[0]!r} is not in corpus.jsonl.", where=where, remedy="Give the id of a line of the corpus.")
        rows.append(e)
    return tuple(rows)


def text_of(row: Mapping[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"`{key}` must be a non-empty string.", where=where, remedy=f"The line has: {', '.join(map(str, row)) or 'nothing'}.")
    return value


def strings(row: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = row.get(key)
    values = [] if value is None else [value] if isinstance(value, str | int | float) else value
    if not isinstance(values, list | tuple) or any(not isinstance(v, str | int | float) for v in values):
        raise UserError(f"`{key}` must be a string or a list of strings.", where=where)
    return tuple(str(v) for v in values)


