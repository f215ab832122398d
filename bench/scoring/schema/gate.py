"""gate.json: what a gate said of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.core import display
from bench.execution.cell_result import Part
from bench.metrics.registry import MEASURES

State = Literal["pass", "fail", "inconclusive", "missing", "not comparable", "errored", "warn", "improved"]
ORDER: tuple[State, ...] = (  # what is bad first
    "fail",
    "missing",
    "errored",
    "inconclusive",
    "warn",
    "improved",
    "not comparable",
    "pass",
)
BAD = ("fail", "missing", "errored")


@dataclass(frozen=True)
class Result:
    """What one rule says of one system. `change` is new minus old, or new over old minus one; of
    times that were taken beside the reference work, of both over it."""

    rule: str
    system: str
    state: State
    old: float | None
    new: float | None
    change: float | None
    low: float | None
    high: float | None
    why: str

    @property
    def shown(self) -> str:
        """The change with its interval: points of a share, per cent of anything else."""
        is_share = self.rule.split(" ")[0] in MEASURES
        return display.change(self.change, self.low, self.high, is_share=is_share)


class GateFile(Part):
    """The whole of gate.json."""

    scores: str  # seal of the scores that were held to the baseline
    baseline: str  # its name
    verdict: Literal["pass", "fail", "inconclusive"]
    results: tuple[Result, ...]
