"""SQuAD v1.1 and v2.0 JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from bench.core.digest import digest
from bench.core.errors import UserError
from bench.core.files import read_json
from bench.core.vocabulary import JSON, Example, Passage, Question
from bench.data.source import Source, file_fingerprint
from bench.data.task import Task

fingerprint = file_fingerprint


class Squad(Source):
    """SQuAD v1 or v2 JSON. Passages are paragraphs, groups are articles."""

    path_keys: ClassVar[tuple[str, ...]] = ("path", "train_path")

    format: Literal["squad"]
    path: str
    train_path: str | None = None


def read(source: Squad, origin: JSON) -> Task:
    """Paragraphs become passages, articles become groups, `is_impossible` unanswerable. Raises UserError."""
    corpus: dict[str, Passage] = {}
    test = tuple(_examples(Path(source.path), corpus))
    train = tuple(_examples(Path(source.train_path), corpus)) if source.train_path else ()
    return Task(Path(source.path).stem, tuple(corpus.values()), train, (), test)


def _examples(path: Path, corpus: dict[str, Passage]) -> Iterator[Example]:
    """The questions of a file; its paragraphs are added to the corpus."""
    document = read_json(path)
    try:
        for article in document["data"]:
            for paragraph in article["paragraphs"]:
                text, title = paragraph["context"], article.get("title", "")
                passage = Passage("c-" + digest(text)[:12], text, title, title)
                corpus.setdefault(passage.id, passage)
                for qa in paragraph["qas"]:
                    answers = tuple(dict.fromkeys(a["text"] for a in qa["answers"]))
                    impossible = qa.get("is_impossible", False)
                    stratum = "unanswerable" if impossible else "answerable"
                    question = Question(str(qa["id"]), qa["question"], () if impossible else (passage.id,))
                    yield Example(question, () if impossible else answers, stratum, title)
    except (KeyError, TypeError) as e:
        raise UserError(
            f"not SQuAD JSON: {type(e).__name__} at {e}.",
            where=str(path),
            remedy="Expected data[].paragraphs[].{context, qas[].{id, question, answers[].text}}.",
        ) from None
