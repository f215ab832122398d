"""Retrieval: the base model with retrieved passages in its prompt."""

from __future__ import annotations

from bench.store import Store
from bench.system import Embedder, Retrieval, System, SystemConfig
from bench.types import Material


class Config(SystemConfig):
    embedder: Embedder = Embedder()
    retrieval: Retrieval = Retrieval()


def build(config: Config, material: Material, store: Store) -> System:
    from systems.parts import reader

    source = reader.searched(config, config.embedder, config.retrieval, store)
    return reader.reader(config, material, model=reader.base(config), source=source)
