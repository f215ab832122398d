"""Answers that were given elsewhere: an existing product, or another harness, judged beside the systems built here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from bench.core.blocks import Block
from bench.core.errors import UserError, every, first_error
from bench.core.files import read_json, read_jsonl
from bench.core.store import Store
from bench.core.system import Family, System, SystemConfig
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
    known = read(Path(config.answered.path))
    wanted = {h.passage_id for a in known.values() for h in a.hits or () if h.start is None and h.text}
    texts = {p.id: p.text for p in material.corpus if p.id in wanted}
    return Given({ident: _located(answer, texts) for ident, answer in known.items()})


def _located(answer: Answer, texts: Mapping[str, str]) -> Answer:
    """The answer with where each of its hits begins, if the hit's text stands once in its passage."""
    if answer.hits is None:
        return answer

    def placed(hit: Hit) -> Hit:
        text = texts.get(hit.passage_id, "")
        unique = hit.start is None and hit.text and text.count(hit.text) == 1
        return replace(hit, start=text.find(hit.text)) if unique else hit

    return replace(answer, hits=tuple(map(placed, answer.hits)))


def examine(config: Config, questions: Sequence[str]) -> None:
    """Raises UserError where the file cannot be read, or answers none of the test questions."""
    known = read(Path(config.answered.path))
    if not any(question in known for question in questions):
        raise UserError(
            f"it answers none of the {len(questions):,} test questions: its ids are such as "
            f"{next(iter(known), 'none')!r}, theirs such as {questions[0]!r}.",
            where=config.answered.path,
            remedy="Give the ids that the dataset gives; `ragtune validate` shows where its questions are read from.",
        )


class _Found(BaseModel):
    """A hit as a line has it."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    passage_id: str
    chunk_id: str | None = None
    text: str = ""
    title: str = ""
    score: FiniteFloat | None = None
    start: Annotated[int, Field(strict=True, ge=0)] | None = None


class _Line(BaseModel):
    """A line of a file of answers; keys beyond these are passed over."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: str
    answer: Annotated[str, Field(strict=True)]
    hits: tuple[_Found, ...] | None = None
    latency_s: Annotated[FiniteFloat, Field(ge=0)] | None = None


def read(path: Path) -> dict[str, Answer]:
    """question id -> answer. Raises UserError naming the line, or the key."""
    if path.suffix == ".json":
        found = read_json(path)
        if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
            raise UserError("expected an object of question id -> answer.", where=str(path), remedy="Or give JSONL.")
        return {str(ident): Answer(text) for ident, text in found.items()}
    known: dict[str, Answer] = {}
    every(lambda line: _note(known, line[1], f"{path}:{line[0]}"), read_jsonl(path))
    return known


def _note(known: dict[str, Answer], row: Mapping[str, Any], where: str) -> None:
    """Note the answer of a line. Raises UserError for what is none, and for an id that stood before."""
    try:
        line = _Line.model_validate(row)
    except ValidationError as e:
        raise UserError(
            f"{first_error(e)}.",
            where=where,
            remedy=f"It has: {', '.join(map(str, row))}. "
            'Write {"id": "q1", "answer": "14 rpm", "hits": [{"passage_id": "p1", "text": "..."}]}, `hits` and '
            "`latency_s` in seconds only where they are known.",
        ) from None
    if line.id in known:
        raise UserError(f"question {line.id!r} is answered twice.", where=where, remedy="Keep one of the lines.")
    hits = None if line.hits is None else tuple(_hit(found, rank) for rank, found in enumerate(line.hits))
    known[line.id] = Answer(line.answer, hits, latency_s=line.latency_s)


def _hit(found: _Found, rank: int) -> Hit:
    score = -float(rank) if found.score is None else found.score
    return Hit(found.chunk_id or found.passage_id, found.passage_id, found.text, score, found.title, found.start)
