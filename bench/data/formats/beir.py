"""BEIR folders (Thakur et al. 2104.08663): a corpus, queries and relevance judgements, without reference answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from bench.core.errors import UserError
from bench.core.files import read_jsonl, read_text
from bench.core.vocabulary import JSON, Example, Passage, Question
from bench.data.row import name_of, text_of
from bench.data.source import Source, file_fingerprint
from bench.data.task import Task

fingerprint = file_fingerprint
_SCORE = re.compile(r"\s*-?[0-9]{1,9}\s*")


class Beir(Source):
    """A BEIR folder: corpus.jsonl, queries.jsonl, qrels/*.tsv. It has no reference answers."""

    is_a_test: ClassVar[bool] = True  # without train.tsv the judgements stand in test.tsv

    format: Literal["beir"]
    path: str


def read(source: Beir, origin: JSON) -> Task:
    """Graded relevance above zero is gold; questions have no reference answer. Raises UserError naming the line."""
    folder = Path(source.path)
    queries_path = folder / "queries.jsonl"
    queries: dict[str, str] = {}
    for number, row in read_jsonl(queries_path):
        where = f"{queries_path}:{number}"
        ident = text_of(row, "_id", where)
        if ident in queries:
            raise UserError(f"duplicate query id {ident!r}.", where=where, remedy="Ids must be unique.")
        queries[ident] = text_of(row, "text", where)
    splits = {name: _examples(folder / "qrels" / f"{name}.tsv", queries) for name in ("train", "dev", "test")}
    if not splits["test"]:
        raise UserError(
            "no query has a relevant passage here.",
            where=str(folder / "qrels" / "test.tsv"),
            remedy="Write query-id, corpus-id and a score above 0, separated by tabs, after a line with these names.",
        )
    return Task(folder.name, _corpus(folder / "corpus.jsonl"), splits["train"], splits["dev"], splits["test"])


def _corpus(path: Path) -> tuple[Passage, ...]:
    passages = []
    for number, row in read_jsonl(path):
        ident = text_of(row, "_id", f"{path}:{number}")
        text = text_of({"text": str(row.get("text") or row.get("title") or "")}, "text", f"{path}:{number}")
        passages.append(Passage(ident, text, name_of(row.get("title")), ident))
    return tuple(passages)


def _examples(path: Path, queries: Mapping[str, str]) -> tuple[Example, ...]:
    """The queries of one file of judgements; none where it does not exist."""
    if not path.exists() and not path.is_symlink():
        return ()
    gold: dict[str, dict[str, int]] = {}
    rows = read_text(path).splitlines()
    if rows and _SCORE.fullmatch(rows[0].split("\t")[-1]):
        raise UserError(
            "the first line is a judgement.",
            where=f"{path}:1",
            remedy="Begin with the line query-id, corpus-id, score.",
        )
    for number, row in enumerate(rows[1:], 2):
        parts = row.split("\t")
        if len(parts) != 3 or not _SCORE.fullmatch(parts[2]):
            raise UserError(
                "expected query-id, corpus-id and a whole score, separated by tabs.", where=f"{path}:{number}"
            )
        if parts[0] not in queries:
            raise UserError(f"query {parts[0]!r} is not in queries.jsonl.", where=f"{path}:{number}")
        if int(parts[2]) != gold.get(parts[0], {}).get(parts[1], int(parts[2])):
            raise UserError(
                f"query {parts[0]!r} and document {parts[1]!r} were judged before, with another score.",
                where=f"{path}:{number}",
                remedy="Keep one of the lines.",
            )
        if int(parts[2]) > 0:
            gold.setdefault(parts[0], {})[parts[1]] = int(parts[2])
    return tuple(
        Example(
            Question(query, queries[query], tuple(passages)),
            None,
            "all",
            next(iter(passages)),
            grades=tuple(passages.values()) if set(passages.values()) != {1} else (),
        )
        for query, passages in gold.items()
    )
