"""A system with a clock: how long a cell spent inside it, so that what the harness itself takes can be told."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.core.system import System
from bench.core.vocabulary import Answer, Material, Question


@dataclass
class Clock:
    """Seconds spent in what was timed."""

    seconds: float = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Counts what the block takes."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - begin


@dataclass(frozen=True)
class Inside:
    """A System whose work runs a clock."""

    system: System
    clock: Clock

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """What the system answers."""
        with self.clock.running():
            return self.system.answer(questions)

    def refresh(self, material: Material) -> None:
        """Lets the system absorb the changed world."""
        with self.clock.running():
            self.system.refresh(material)

    def index_recall(self, questions: Sequence[Question]) -> list[float] | None:
        """What the system's index found of the exact best."""
        with self.clock.running():
            return self.system.index_recall(questions)
