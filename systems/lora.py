"""Tuning: a LoRA adapter on the base model (Hu et al. 2106.09685), answering without passages."""

from __future__ import annotations

from typing import Literal

from bench.core.store import Store
from bench.core.system import Family, System, TunedConfig
from bench.core.vocabulary import Material

FAMILY: Family = "tuning"
SUMMARY = "tuned, LoRA"


class Config(TunedConfig):
    """A tuned kind with a LoRA adapter."""

    method: Literal["lora"] = "lora"
    precision: Literal["native"] = "native"


def build(config: Config, material: Material, store: Store) -> System:
    """The tuned model, its adapter trained where the store does not have it."""
    from systems.parts import reader

    return reader.reader(config, material, model=reader.adapted(config, None, store), learns=True)
