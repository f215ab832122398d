"""The System protocol, and what the configuration of every kind has.

A kind is a module with `Config` (a SystemConfig) and `build(config, material, store) -> System`.
A field of `Config` that is named like a block of the spec is filled from that block, then overridden by
the system's own entry. Nothing here touches a disk, a device or the environment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Protocol, Self, runtime_checkable

from pydantic import Field, model_validator

from bench.core.blocks import Block, Generation, Model, PositiveInt, Precision, Prompt, Serving, Tuning
from bench.core.vocabulary import Answer, Material, Question

Family = Literal["control", "retrieval", "tuning", "both", "experiment"]  # how a report groups kinds of system


class Sample(Block):
    """Some of the test questions: what a scenario asks where the whole would take too long."""

    questions: PositiveInt = 100
    strata: tuple[str, ...] = Field((), description="Question types to sample from; empty: all.")
    renewed: bool = Field(False, description="Instead of a sample: build after the update, and ask what it changes.")


class SystemConfig(Block):
    """What every kind has. `seed` is set by the cell."""

    references: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # entry key -> fields taken from the system it names
    needs_weights: ClassVar[bool] = False  # cannot run on an endpoint
    tuned: ClassVar[bool] = False  # the seed changes what is built
    answers: ClassVar[bool] = True  # False: it only retrieves, and what it says is not scored
    elsewhere: ClassVar[bool] = False  # True: it was answered elsewhere, so that no time is taken here

    model: Model
    prompt: Prompt = Prompt()
    generation: Generation = Generation()
    precision: Precision = "native"
    sample: Sample | None = Field(None, description="The test questions to ask; unset: all of them.")
    seed: int = 0

    @property
    def privileged(self) -> bool:
        """Whether it is shown which passages are gold."""
        return False

    @property
    def trains(self) -> bool:
        """Whether something is trained here, which the seed changes."""
        return self.tuned


class TunedConfig(SystemConfig):
    """What every kind that trains has. `method` and `precision` are fixed by the kind, or taken from a reference."""

    needs_weights: ClassVar[bool] = True
    tuned: ClassVar[bool] = True

    method: Literal["lora", "full"]
    tuning: Tuning = Tuning()
    serving: Serving = Field(
        "adapter",
        description="What answers: the adapter beside the base model, or the base with the adapter merged into its "
        "unquantised weights (merged), also held in 4 bits (merged_nf4).",
    )
    adapter: str | None = Field(
        None, description="Name under which `model.base_url` serves the model tuned elsewhere; nothing is trained here."
    )

    @property
    def trains(self) -> bool:
        """Not where an endpoint serves what was tuned before."""
        return self.adapter is None

    @model_validator(mode="after")
    def _serves_what_it_names(self) -> Self:
        """A served adapter is on an endpoint, and of no weights here."""
        if self.adapter is not None and not self.model.base_url:
            raise ValueError("`adapter` names a model that an endpoint serves: give `model.base_url` too")
        return self

    @model_validator(mode="after")
    def _starts_from_its_weights(self) -> Self:
        """PiSSA takes its adapter from unquantised weights, LoftQ from what 4 bits lose of them."""
        needed = {"pissa": "native", "loftq": "nf4"}.get(self.tuning.variant, self.precision)
        if self.method == "lora" and self.precision != needed:
            other = "lora" if needed == "native" else "qlora"
            raise ValueError(f"`tuning.variant: {self.tuning.variant}` is for {needed} weights: give it to {other}")
        return self


@runtime_checkable
class System(Protocol):
    """What is compared: it answers questions, and absorbs a changed corpus."""

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """One answer a question, in order. Raises only what should cost the whole cell.

        It is given up to sixteen times `generation.batch_size` questions, to put those of like lengths together.
        """
        ...

    def refresh(self, material: Material) -> None:
        """The world changed: absorb it as cheaply as this kind can."""
        ...

    def index_recall(self, questions: Sequence[Question]) -> list[float] | None:
        """Share of the exact top-k that the index found, a question each, untimed; None without an index."""
        ...
