"""Control: the base model with answered training questions before each question (few-shot, Brown et al. 2005.14165)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from bench.core.blocks import Embedder, PositiveInt
from bench.core.store import Store
from bench.core.system import Family, System, SystemConfig
from bench.core.vocabulary import Material

FAMILY: Family = "control"
SUMMARY = "shown answered training questions"


class Config(SystemConfig):
    """What it is shown."""

    shots: PositiveInt = Field(4, description="Number of training questions shown with their answers.")
    choose: Literal["random", "nearest"] = Field(
        "random", description="The same ones for every question, drawn by the seed; or the nearest by the embedder."
    )
    embedder: Embedder = Embedder()

    @field_validator("embedder")
    @classmethod
    def _untuned(cls, value: Embedder) -> Embedder:
        if value.tuned is not None:
            raise ValueError("an embedder is tuned for passages, and this one compares questions: leave out `tuned`")
        return value


def build(config: Config, material: Material, store: Store) -> System:
    """The base model, asked after its shots. Raises ValueError without a training question that has an answer."""
    from systems.parts import reader, shots

    chosen = shots.chooser(config, store)
    return reader.reader(config, material, model=reader.base(config), shots=chosen)
