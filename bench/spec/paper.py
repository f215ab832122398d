"""Figures that a paper published, for a run of the same comparison to be set beside."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from bench.core.blocks import Block
from bench.metrics.registry import MEASURES


class Published(Block):
    """One figure of one system."""

    system: str
    value: float = Field(ge=0, le=1, description="The published figure, as a share.")
    tolerance: float = Field(
        0.03, gt=0, lt=1, description="By how much a figure may differ and still count as the published one."
    )
    metric: str = Field("em", description="The measure of this project that comes nearest to the published one.")
    order_only: bool = Field(
        False,
        description="The figure is of a measure that ragtune does not have: only the order of systems is compared.",
    )
    note: str = ""

    @field_validator("metric")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in MEASURES:
            raise ValueError(f"no such measure; measures: {', '.join(MEASURES)}")
        return value


class Cost(Block):
    """What one system took. Machines differ, so that a run is held against the ratio of two of them."""

    system: str
    measure: Literal["train_s", "train_peak_gpu_bytes"] = "train_s"
    value: float = Field(gt=0, description="The published figure, in seconds or bytes.")
    tolerance: float = Field(
        0.3, gt=0, lt=1, description="By what share a ratio may differ and still count as the published one."
    )


class Paper(Block):
    """What was published, and where."""

    title: str
    source: str = Field(description="Where the figures stand, such as arXiv 2312.05934, table 2.")
    data: str = Field("", description="Where the data are to be had, and how to bring them into form.")
    figures: tuple[Published, ...] = Field(min_length=1)
    costs: tuple[Cost, ...] = Field((), description="What training took, each against the least of its measure.")
