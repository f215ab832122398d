"""The spec: what a run is of. A value; reading one from YAML is `bench.parse`, its cells are `bench.cells`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from bench.dataset import AnyDataset
from bench.digest import digest
from bench.system import Block, Embedder, Generation, Model, PositiveInt, Prompt, Retrieval, Tuning


class Measure(Block):
    latency_questions: int = Field(
        64, ge=0, description="Answered one at a time, after warm-up; the others in batches."
    )
    warmup: int = Field(4, ge=0, description="Questions answered before any is timed.")
    timeout_s: float = Field(3600.0, gt=0, description="Of one cell; past it the cell's processes are killed.")
    threads: PositiveInt | None = Field(None, description="Of every numeric library; unset: one for each core.")


class Prices(Block):
    """What things cost you. Unset: the report says that it was not priced."""

    cpu_hour_usd: float | None = Field(None, ge=0)
    gpu_hour_usd: float | None = Field(None, ge=0)
    prompt_tokens_usd_per_million: float | None = Field(None, ge=0, description="Of an endpoint.")
    completion_tokens_usd_per_million: float | None = Field(None, ge=0)


class Entry(BaseModel):
    """One system: its name, its kind, and what differs from the spec's blocks."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")
    kind: str
    matrix: dict[str, tuple[Any, ...]] = Field(
        {}, description="Dotted keys and their values: one system for each combination."
    )


class Spec(Block):
    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="Of the run's folder.")
    description: str = ""
    dataset: AnyDataset
    model: Model
    embedder: Embedder = Embedder()
    prompt: Prompt = Prompt()
    generation: Generation = Generation()
    retrieval: Retrieval = Retrieval()
    tuning: Tuning = Tuning()
    systems: tuple[Entry, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((1,), min_length=1)
    measure: Measure = Measure()
    prices: Prices = Prices()
    matrix: dict[str, tuple[Any, ...]] = Field({}, description="As a system's, over all systems that it changes.")

    @model_validator(mode="before")
    @classmethod
    def _native(cls, data: Any) -> Any:
        """`format: native` may be left out."""
        if isinstance(data, dict) and isinstance(data.get("dataset"), dict) and "format" not in data["dataset"]:
            data = data | {"dataset": {"format": "native"} | data["dataset"]}
        return data

    _folder: Path = PrivateAttr(default_factory=Path.cwd)  # where its relative paths start

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def digest(self) -> str:
        return digest(self.model_dump(mode="json"))
