"""Retrieval with answered training questions before each question: what a prompt can teach of a form, beside tuning."""

from __future__ import annotations

from bench.core.blocks import Retrieval
from bench.core.store import Store
from bench.core.system import Family, System
from bench.core.vocabulary import Material
from systems import few_shot

FAMILY: Family = "retrieval"
SUMMARY = "retrieval, shown answered training questions"


class Config(few_shot.Config):
    """What it is shown, and what it retrieves with."""

    retrieval: Retrieval = Retrieval()


def build(config: Config, material: Material, store: Store) -> System:
    """The base model, asked with retrieved passages after its shots, which have none. Raises ValueError without a
    training question that has an answer."""
    from systems.parts import reader, shots

    source = reader.searched(config, config.embedder, config.retrieval, store)
    chosen = shots.chooser(config, store)
    return reader.reader(config, material, model=reader.base(config), source=source, shots=chosen)
