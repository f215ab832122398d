"""JSON, JSONL, CSV or Parquet records with a field mapping."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from bench.core.errors import UserError
from bench.core.files import read_csv, read_json, read_jsonl
from bench.core.vocabulary import JSON
from bench.data.field_mapping import Fields, PageFields, Row, corpus_of, mapped
from bench.data.row import as_json
from bench.data.source import Source, TrainPath, file_fingerprint
from bench.data.task import Task

fingerprint = file_fingerprint


class Records(Source):
    """JSON, JSONL, CSV or Parquet records with a field mapping."""

    path_keys: ClassVar[tuple[str, ...]] = ("path", "train_path", "corpus_path", "test_ids")

    format: Literal["records"]
    path: str
    train_path: TrainPath = None
    corpus_path: str | None = Field(None, description="Records of passages; `fields.passages` then names their ids.")
    fields: Fields = Fields()
    corpus_fields: PageFields = PageFields()
    choices: tuple[str, ...] = Field((), description="The closed set of answers, if it is one.")
    test_ids: str | None = Field(None, description="JSON list, or object keyed by id, of the test questions.")


def read(source: Records, origin: JSON) -> Task:
    """The records as a task; `test_ids` says which are the test. Raises UserError naming the record."""
    test = list(rows(Path(source.path)))
    # a record without an id is known by its number, which the test records have too
    read = rows(Path(source.train_path)) if source.train_path else ()
    train = [(where, f"train-{ident}", row) for where, ident, row in read]
    known = corpus_of(rows(Path(source.corpus_path)), source.corpus_fields) if source.corpus_path else None
    task = mapped(Path(source.path).stem, test, train, source.fields, source.choices, known)
    return task if source.test_ids is None else _officially_split(task, source.test_ids)


def _officially_split(task: Task, test_ids: str) -> Task:
    """The task whose test split is the questions of a file of ids. Raises UserError for an id of no record."""
    ids = read_json(Path(test_ids))
    if not isinstance(ids, list | dict):
        raise UserError("expected a JSON list or object of ids.", where=test_ids)
    official = {str(i) for i in ids}
    unknown = official - {e.question.id for e in task.test}
    if unknown:
        raise UserError(
            f"{len(unknown)} test ids are of no record, such as {min(unknown)!r}.",
            where=test_ids,
            remedy="Check `fields.id`.",
        )
    rest = tuple(e for e in task.test if e.question.id not in official)
    test = tuple(e for e in task.test if e.question.id in official)
    return Task(task.name, task.corpus, (*task.train, *rest), (), test)


def rows(path: Path) -> Iterator[Row]:
    """The records of a file, by its suffix. Raises UserError for one that cannot be read."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(
            f"unknown kind of records {path.suffix.lower()!r}.",
            where=str(path),
            remedy="Use .json, .jsonl, .csv or .parquet.",
        )
    return reader(path)


def _jsonl(path: Path) -> Iterator[Row]:
    return ((f"{path}:{n}", str(n), row) for n, row in read_jsonl(path))


def _json(path: Path) -> Iterator[Row]:
    data = read_json(path)
    if isinstance(data, dict):
        pairs = list(data.items())
    elif isinstance(data, list):
        pairs = list(enumerate(data))
    else:
        raise UserError("expected a list of records, or an object of them.", where=str(path))
    for key, row in pairs:
        if not isinstance(row, dict):
            raise UserError("a record must be an object.", where=f"{path}, record {key!r}")
        yield f"{path}, record {key!r}", str(key), row


def _csv(path: Path) -> Iterator[Row]:
    names, table = read_csv(path)
    if twice := [name for name in names if list(names).count(name) > 1]:
        raise UserError(
            f"two columns are named {twice[0]!r}.", where=f"{path}:1", remedy="Give each column a name of its own."
        )
    for n, row in table:
        if None in row or None in row.values():
            raise UserError(
                f"{'more' if None in row else 'fewer'} fields than the header has.",
                where=f"{path}:{n}",
                remedy="Quote fields that hold commas or line breaks.",
            )
    return ((f"{path}:{n}", str(number), row) for number, (n, row) in enumerate(table, 1))


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as e:
        raise UserError(f"not readable as Parquet: {e}", where=str(path)) from None
    return ((f"{path}, row {n}", str(n), as_json(row)) for n, row in enumerate(rows))


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
}
