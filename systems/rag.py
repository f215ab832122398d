"""Retrieval: the base model with retrieved passages in its prompt."""

from __future__ import annotations

from bench.core.blocks import Embedder, Retrieval
from bench.core.store import Store
from bench.core.system import Family, System, SystemConfig
from bench.core.vocabulary import Material

FAMILY: Family = "retrieval"
SUMMARY = "retrieval"


class Config(SystemConfig):
    """What it retrieves with."""

    embedder: Embedder = Embedder()
    retrieval: Retrieval = Retrieval()


def build(config: Config, material: Material, store: Store) -> System:
    """The base model, asked with retrieved passages."""
    from systems.parts import reader

    source = reader.searched(config, config.embedder, config.retrieval, store)
    return reader.reader(config, material, model=reader.base(config), source=source)
