"""Both: retrieval, with an adapter trained on prompts that hold distractors (RAFT, Zhang et al. 2403.10131)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from bench.core.blocks import Embedder, Raft, Retrieval
from bench.core.store import Store
from bench.core.system import Family, System, TunedConfig
from bench.core.vocabulary import Material

FAMILY: Family = "both"
SUMMARY = "retrieval, tuned with distractors in its prompts"


class Config(TunedConfig):
    """What it retrieves, and what its training prompts hold."""

    method: Literal["lora"] = "lora"
    embedder: Embedder = Embedder()
    retrieval: Retrieval = Retrieval()
    raft: Raft = Raft()

    @model_validator(mode="before")
    @classmethod
    def _trains_as_it_retrieves(cls, data: Any) -> Any:
        """The adapter remembers the retrieval that it was trained with, also inside a hybrid."""
        if not isinstance(data, dict):
            return data
        own = {k: data.get(k, {}) for k in ("embedder", "retrieval")}
        return data | {"raft": own | dict(data.get("raft") or {})}


def build(config: Config, material: Material, store: Store) -> System:
    """Retrieval with the adapter, trained where the store does not have it."""
    from systems.parts import reader

    source = reader.searched(config, config.embedder, config.retrieval, store)
    return reader.reader(config, material, model=reader.adapted(config, config.raft, store), source=source, learns=True)
