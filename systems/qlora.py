"""Tuning: a LoRA adapter on the base model in NF4 with double quantisation (QLoRA, Dettmers et al. 2305.14314)."""

from __future__ import annotations

from typing import Literal

from bench.core.store import Store
from bench.core.system import Family, System, TunedConfig
from bench.core.vocabulary import Material

FAMILY: Family = "tuning"
SUMMARY = "tuned, LoRA on 4-bit weights"


class Config(TunedConfig):
    """A tuned kind with a LoRA adapter on 4-bit weights."""

    method: Literal["lora"] = "lora"
    precision: Literal["nf4"] = "nf4"


def build(config: Config, material: Material, store: Store) -> System:
    """The tuned model, its adapter trained where the store does not have it."""
    from systems.parts import reader

    return reader.reader(config, material, model=reader.adapted(config, None, store), learns=True)
