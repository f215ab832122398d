"""Answers that were given elsewhere: an existing product, or another harness, judged beside the systems built here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from bench.core.errors import UserError
from bench.core.files import read_json, read_jsonl
from bench.core.store import Store
from bench.core.system import Block, Family, System, SystemConfig
from bench.core.vocabulary import Answer, Hit, Material, Question

FAMILY: Family = "both"
SUMMARY = "answers given elsewhere"


class Answered(Block):
    """A file of answers.

    JSONL: a line `{"id": ..., "answer": ..., "hits": [{"passage_id": ..., "text": ...}], "latency_s": ...}` for each
    question, `hits` and `latency_s` where they are known. JSON: SQuAD's predictions, an object of id -> answer.
    """

    path: str
    digest: str | None = Field(None, description="Filled in: sha256 of the file.")


class Config(SystemConfig):
    """Where the answers are. Nothing is built, and the base model is not asked."""

    elsewhere: ClassVar[bool] = True

    answered: Answered


@dataclass(frozen=True)
class Given:
    """A System whose answers are known. A question that the file does not have has failed."""

    answers: Mapping[str, Answer]

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """What the file says of each question."""
        return [self.answers.get(q.id) or Answer("", error="the file has no answer") for q in questions]

    def refresh(self, material: Material) -> None:
        """Nothing: what was answered stays."""
        return

    def index_recall(self, questions: Sequence[Question]) -> list[float] | None:
        """None: nothing is searched here."""
        return None


def build(config: Config, material: Material, store: Store) -> System:
    """The answers of the file. Raises UserError naming the line."""
    return Given(read(Path(config.answered.path)))


def read(path: Path) -> dict[str, Answer]:
    """question id -> answer. Raises UserError naming the line, or the key."""
    if path.suffix != ".json":
        return {str(row.get("id", "")): _answer(row, f"{path}:{number}") for number, row in read_jsonl(path)}
    found = read_json(path)
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise UserError("expected an object of question id -> answer.", where=str(path), remedy="Or give JSONL.")
    return {str(ident): Answer(text) for ident, text in found.items()}


def _answer(row: Mapping[str, Any], where: str) -> Answer:
    text, hits, seconds = row.get("answer"), row.get("hits"), row.get("latency_s")
    if "id" not in row or not isinstance(text, str):
        raise UserError("`id` and `answer`, a string, are needed.", where=where, remedy=f"It has: {', '.join(row)}.")
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0):
        raise UserError(f"`latency_s` is {seconds!r}.", where=where, remedy="Give seconds, or leave it out.")
    return Answer(text, None if hits is None else _hits(hits, where), latency_s=seconds)


def _hits(rows: Any, where: str) -> tuple[Hit, ...]:
    try:
        return tuple(
            Hit(
                str(row.get("chunk_id", row["passage_id"])),
                str(row["passage_id"]),
                str(row.get("text", "")),
                float(row.get("score", -rank)),
                str(row.get("title", "")),
                row.get("start"),
            )
            for rank, row in enumerate(rows)
        )
    except (TypeError, KeyError, ValueError, AttributeError):
        raise UserError(
            "`hits` must be a list of objects with a `passage_id`, best first.",
            where=where,
            remedy='Such as "hits": [{"passage_id": "p1", "text": "..."}].',
        ) from None
