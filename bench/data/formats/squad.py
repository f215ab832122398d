"""SQuAD v1.1 and v2.0 JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel

from bench.core.digest import digest
from bench.core.errors import fitted
from bench.core.files import read_json
from bench.core.vocabulary import JSON, Example, Passage, Place, Question
from bench.data.source import Source, TrainPath, file_fingerprint
from bench.data.task import Task

fingerprint = file_fingerprint


class Squad(Source):
    """SQuAD v1 or v2 JSON. Passages are paragraphs; groups are articles, or paragraphs where there is one article."""

    path_keys: ClassVar[tuple[str, ...]] = ("path", "train_path")

    format: Literal["squad"]
    path: str
    train_path: TrainPath = None


@dataclass
class _Reading:
    """What reading adds up: the paragraphs by their ids, and answers that did not stand where the file said."""

    by_title: bool
    corpus: dict[str, Passage] = field(default_factory=dict)
    moved: int = 0
    lost: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What was repaired, for the reader of a report."""
        moved = (
            f"{self.moved} answers did not stand at their `answer_start`; the nearest place in the paragraph was used."
        )
        lost = f"{self.lost} answers do not stand in their paragraph: for them, recall is of whole paragraphs."
        return tuple(note for note, count in ((moved, self.moved), (lost, self.lost)) if count)


class _Answer(BaseModel):
    text: str
    answer_start: int | None = None


class _Asked(BaseModel):
    id: str | int
    question: str
    answers: list[_Answer]
    is_impossible: bool | None = None  # v1.1 does not say


class _Paragraph(BaseModel):
    context: str
    qas: list[_Asked]


class _Article(BaseModel):
    title: str | int | None = None
    paragraphs: list[_Paragraph]


class _File(BaseModel):
    data: list[_Article]


def read(source: Squad, origin: JSON) -> Task:
    """Paragraphs become passages, articles become groups. A question without an answer is unanswerable in a file of
    v2.0, which says `is_impossible`; in one of v1.1 its answer is not known. Raises UserError."""
    paths = [Path(path) for path in (source.path, source.train_path) if path]
    files = [_file(path) for path in paths]
    reading = _Reading(by_title=len({article.title for file in files for article in file.data}) > 1)
    splits = [tuple(_examples(file, reading)) for file in files]
    test, train = (*splits, ())[:2]
    return Task(paths[0].stem, tuple(reading.corpus.values()), train, (), test, notes=reading.notes)


def _file(path: Path) -> _File:
    """A file of SQuAD's form. Raises UserError naming the first place that is not."""
    return fitted(
        _File,
        path,
        read_json(path),
        wrong="not SQuAD JSON",
        remedy="Expected data[].paragraphs[].{context, qas[].{id, question, answers[].text}}.",
    )


def _examples(file: _File, reading: _Reading) -> Iterator[Example]:
    """The questions of a file; its paragraphs are added to what was read."""
    for article in file.data:
        for paragraph in article.paragraphs:
            text, title = paragraph.context, str(article.title or "")
            ident = "c-" + digest(text)[:12]
            group = title if title and reading.by_title else ident
            passage = reading.corpus.setdefault(ident, Passage(ident, text, title, group))
            for asked in paragraph.qas:
                yield _example(asked, passage, reading)


def _example(asked: _Asked, passage: Passage, reading: _Reading) -> Example:
    answers = tuple(dict.fromkeys(a.text for a in asked.answers))
    if asked.is_impossible or (not answers and asked.is_impossible is not None):  # as the official script of v2.0 does
        return Example(Question(str(asked.id), asked.question), (), "unanswerable", passage.group)
    question = Question(str(asked.id), asked.question, (passage.id,))
    return Example(
        question, answers or None, "answerable", passage.group, spans=_spans(asked.answers, passage, reading)
    )


def _spans(answers: Sequence[_Answer], passage: Passage, reading: _Reading) -> tuple[tuple[Place, ...], ...]:
    """Where the first answer stands. An offset that is wrong is repaired by search, and counted."""
    first = next(iter(answers), None)
    if first is None or first.answer_start is None or not first.text.strip():
        return ()
    text, start = first.text, first.answer_start
    if passage.text[start : start + len(text)] != text:
        found = _nearest(passage.text, text, start)
        if found is None:
            reading.lost += 1
            return ()
        reading.moved += 1
        start = found
    return ((Place(passage.id, start, start + len(text)),),)


def _nearest(whole: str, text: str, start: int) -> int | None:
    """Where a text stands, nearest to a position; None where it does not."""
    found = [i for i in range(len(whole)) if whole.startswith(text, i)]
    return min(found, key=lambda i: abs(i - start), default=None)
