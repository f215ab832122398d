"""Control: the base model with the gold passages in its prompt, the ceiling of any retrieval."""

from __future__ import annotations

from typing import ClassVar

from bench.store import Store
from bench.system import System, SystemConfig
from bench.types import Material


class Config(SystemConfig):
    privileged: ClassVar[bool] = True


def build(config: Config, material: Material, store: Store) -> System:
    from systems.parts import reader

    return reader.reader(config, material, model=reader.base(config), source=reader.gold)
