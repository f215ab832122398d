"""Control: the base model alone, without passages and without tuning."""

from __future__ import annotations

from bench.store import Store
from bench.system import System, SystemConfig
from bench.types import Material


class Config(SystemConfig):
    pass


def build(config: Config, material: Material, store: Store) -> System:
    from systems.parts import reader

    return reader.reader(config, material, model=reader.base(config))
