"""Control: the base model alone, without passages and without tuning."""

from __future__ import annotations

from bench.core.store import Store
from bench.core.system import Family, System, SystemConfig
from bench.core.vocabulary import Material

FAMILY: Family = "control"
SUMMARY = "the base model alone"


class Config(SystemConfig):
    pass


def build(config: Config, material: Material, store: Store) -> System:
    from systems.parts import reader

    return reader.reader(config, material, model=reader.base(config))
