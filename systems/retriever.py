"""Retrieval alone: what a retriever finds, scored without generating answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import model_validator

from bench.core import meters
from bench.core.blocks import Embedder, Retrieval
from bench.core.store import Store
from bench.core.system import Family, System, SystemConfig
from bench.core.vocabulary import Answer, Material, Question

if TYPE_CHECKING:
    from systems.parts.reader import Source

FAMILY: Family = "retrieval"
SUMMARY = "retrieval alone"


class Config(SystemConfig):
    """What it retrieves with. The base model is not loaded."""

    answers: ClassVar[bool] = False

    embedder: Embedder = Embedder()
    retrieval: Retrieval = Retrieval()

    @model_validator(mode="after")
    def _writes_nothing(self) -> Config:
        if self.retrieval.rewrite != "none":
            raise ValueError("`retrieval.rewrite` needs a model that writes queries, and a retriever loads none")
        return self


@dataclass
class Finder:
    """A System that says nothing: its answers are empty, and hold what was found."""

    make_source: Callable[[Material], Source]
    source: Source

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """What was found for each question."""
        return [Answer("", tuple(hits)) for hits in self.source.passages(questions)]

    def refresh(self, material: Material) -> None:
        """Index the corpus anew."""
        self.source = self.make_source(material)

    def index_recall(self, questions: Sequence[Question]) -> list[float] | None:
        """Share of the exact top-k that the index found, a question each; None without an index."""
        return self.source.recall(questions)


def build(config: Config, material: Material, store: Store) -> System:
    """The retriever over the corpus."""
    from systems.parts import lm, reader

    meters.note("device", lm.device_of(config.model.device))
    make = reader.searched(config, config.embedder, config.retrieval, store)
    return Finder(make, make(material))
