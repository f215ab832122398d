"""Control: the base model with the gold passages in its prompt, alone or among hard distractors.

It is the ceiling of retrieval.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bench.core.blocks import Embedder, Position, Retrieval
from bench.core.store import Store
from bench.core.system import Family, System, SystemConfig
from bench.core.vocabulary import Material

FAMILY: Family = "control"
SUMMARY = "given the gold passages"


class Config(SystemConfig):
    """What it is shown beside the gold passages."""

    distractors: Annotated[
        int, Field(ge=0, description="Number of retrieved passages shown beside one gold passage.")
    ] = 0
    place: Annotated[Position, Field(description="Position of the gold passages among the others.")] = "shuffled"
    gold: Annotated[
        bool, Field(description="If false, the gold passages are left out and only distractors are shown.")
    ] = True
    embedder: Embedder = Embedder()
    retrieval: Retrieval = Retrieval()

    @property
    def privileged(self) -> bool:
        """Always: it is told which passages are gold."""
        return True


def build(config: Config, material: Material, store: Store) -> System:
    """The base model, asked with the gold passages."""
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
    return reader.reader(config, material, model=reader.base(config), source=source)
