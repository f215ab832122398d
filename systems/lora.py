"""Tuning: a LoRA adapter on the base model (Hu et al. 2106.09685), answering without passages."""

from __future__ import annotations

from typing import Literal

from bench.store import Store
from bench.system import System, TunedConfig
from bench.types import Material


class Config(TunedConfig):
    method: Literal["lora"] = "lora"
    precision: Literal["native"] = "native"


def build(config: Config, material: Material, store: Store) -> System:
    from systems.parts import reader

    return reader.reader(config, material, model=reader.adapted(config, None, store), learns=True)
