"""Both: the passages of one system, rag or oracle, with the tuned model of another, sharing what they built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from bench.store import Store
from bench.system import Embedder, Place, Raft, Retrieval, System, TunedConfig, Tuning
from bench.types import Material


class Config(TunedConfig):
    references: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "rag": ("embedder", "retrieval", "distractors", "place", "gold"),
        "adapter": ("method", "precision", "tuning", "raft"),
    }
    tuning: Tuning
    retrieval: Retrieval
    embedder: Embedder
    raft: Raft | None = None
    distractors: Annotated[int, Field(ge=0)] | None = (
        None  # set where `rag` names an oracle: the tuned model as a reader
    )
    place: Place = "shuffled"
    gold: bool = True

    @property
    def privileged(self) -> bool:
        return self.distractors is not None


def build(config: Config, material: Material, store: Store) -> System:
    from systems.parts import reader

    source = reader.searched(
        config,
        config.embedder,
        config.retrieval,
        store,
        distractors=config.distractors,
        place=config.place,
        gold=config.gold,
    )
    return reader.reader(config, material, model=reader.adapted(config, config.raft, store), source=source, learns=True)
