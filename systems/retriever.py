"""Retrieval alone: what a retriever finds, scored without generating answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from bench.core import meters
from bench.core.store import Store
from bench.core.system import Embedder, Family, Retrieval, System, SystemConfig
from bench.core.vocabulary import Answer, Material, Question

FAMILY: Family = "retrieval"
SUMMARY = "retrieval alone"


class Config(SystemConfig):
    """What it retrieves with. The base model is not loaded."""

    answers: ClassVar[bool] = False

    embedder: Embedder = Embedder()
    retrieval: Retrieval = Retrieval()


@dataclass
class Finder:
    """A System that says nothing: its answers are empty, and hold what was found."""

    make_retriever: Callable[[Material], object]
    retriever: object

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """What was found for each question."""
        from systems.parts.retrieve import Retriever

        assert isinstance(self.retriever, Retriever)
        return [Answer("", tuple(hits)) for hits in self.retriever.search([q.text for q in questions])]

    def refresh(self, material: Material) -> None:
        """Index the corpus anew."""
        self.retriever = self.make_retriever(material)

    def index_recall(self, questions: Sequence[Question]) -> list[float] | None:
        """Share of the exact top-k that the index found, a question each; None without an index."""
        from systems.parts.retrieve import Retriever

        assert isinstance(self.retriever, Retriever)
        return self.retriever.recall([q.text for q in questions])


def build(config: Config, material: Material, store: Store) -> System:
    """The retriever over the corpus."""
    from systems.parts import lm, retrieve

    device = lm.device_of(config.model.device)
    meters.note("device", device)

    def make(material: Material) -> retrieve.Retriever:
        return retrieve.retriever(material.corpus, config.embedder, config.retrieval, store, device=device)

    return Finder(make, make(material))
