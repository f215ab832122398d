"""Both: the passages of one system, rag or oracle, with the tuned model of another, sharing what they built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from bench.core.blocks import Embedder, Position, Raft, Retrieval, Tuning
from bench.core.store import Store
from bench.core.system import Family, System, TunedConfig
from bench.core.vocabulary import Material

FAMILY: Family = "both"
SUMMARY = "retrieval with a tuned adapter"


class Config(TunedConfig):
    """The retrieval of one system, and the tuning of another."""

    references: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "rag": ("embedder", "retrieval", "distractors", "place", "gold"),
        "adapter": ("model", "method", "precision", "tuning", "serving", "adapter", "raft"),
    }
    tuning: Tuning
    retrieval: Retrieval
    embedder: Embedder
    raft: Raft | None = None
    distractors: Annotated[int, Field(ge=0)] | None = (
        None  # set where `rag` names an oracle: the tuned model as a reader
    )
    place: Position = "shuffled"
    gold: bool = True

    @property
    def privileged(self) -> bool:
        """Where its passages come from an oracle."""
        return self.distractors is not None


def build(config: Config, material: Material, store: Store) -> System:
    """The passages of the one with the tuned model of the other."""
    from systems.parts import reader

    source = reader.searched(
        config,
        config.embedder,
        config.retrieval,
        store,
        distractors=config.distractors,
        position=config.place,
        gold=config.gold,
    )
    return reader.reader(config, material, model=reader.adapted(config, config.raft, store), source=source, learns=True)
