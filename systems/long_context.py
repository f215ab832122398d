"""Retrieval's plain rival: the whole corpus in the prompt, or as much of it as the window holds, read once and kept
(cache-augmented generation, Chan et al. 2412.15605)."""

from __future__ import annotations

from typing import ClassVar

from bench.core.store import Store
from bench.core.system import Family, System, SystemConfig
from bench.core.vocabulary import Material

FAMILY: Family = "retrieval"
SUMMARY = "the corpus in the prompt, its cache kept"


class Config(SystemConfig):
    """Passages stand in the order of the corpus, from its start."""

    reserve: ClassVar[float] = 1.25  # of the longest question known, in tokens: room for longer ones


def build(config: Config, material: Material, store: Store) -> System:
    """The base model, with what of the corpus fits read before any question is asked."""
    from systems.parts import context

    return context.whole(config, material, store, reserve=config.reserve)
