"""Control: the base model alone, without passages and without tuning."""

from __future__ import annotations

from bench.core.store import Store
from bench.core.system import Family, System, SystemConfig
from bench.core.vocabulary import Material

FAMILY: Family = "control"
SUMMARY = "the base model alone"


class Config(SystemConfig):
    """Nothing beyond what every kind has."""


def build(config: Config, material: Material, store: Store) -> System:
    """The base model, asked without passages."""
    from systems.parts import reader

    return reader.reader(config, material, model=reader.base(config))
