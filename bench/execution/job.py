"""What a run hands to a process that it forks: a cell, or a turn of one in a round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Job:
    """A cell or a turn, as `job.json` in its folder."""

    cell: str
    system: str
    kind: str
    seed: int
    identity: str
    config: dict[str, Any]
    task: str  # folder of the task in the store
    store: str
    latency_questions: int
    warmup: int
    sys_path: list[str]
    environment: dict[str, Any]
    determinism: int = 0
    load: dict[str, Any] | None = None  # of `measure`, where the system is on an endpoint
    alone: bool = False  # on a cluster: on a node of its own
    round: int | None = None  # where set, the job is a turn of that round, not the cell

    @property
    def model_gpus(self) -> int:
        """GPUs that its model is spread over."""
        return int((self.config.get("model") or {}).get("gpus", 1))

    @property
    def gpus(self) -> int:
        """GPUs that it takes: of its model, or one a process that trains."""
        processes = int((self.config.get("tuning") or {}).get("processes", 1)) if self.round is None else 1
        return max(self.model_gpus, processes)
