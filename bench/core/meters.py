"""Time of one process, measured from outside the system under test.

Systems call `mark()`, `note(key, value)` and `progress(stage, done, total)`; what these cost and mean is decided
here. Without a meter listening they do nothing.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.core.place import cuda
from bench.core.vocabulary import JSON

_marks: ContextVar[list[float] | None] = ContextVar("marks", default=None)  # of the call that is timed, in its threads
_notes: dict[str, JSON] = {}
_listener: list[Callable[[str, int, int], None]] = []


def mark() -> None:
    """A token left the model."""
    marks = _marks.get()
    if marks is not None:
        marks.append(time.perf_counter())


def forget_marks() -> None:
    """The tokens that left the model so far were of something else than the answer."""
    marks = _marks.get()
    if marks is not None:
        marks.clear()


def note(key: str, value: JSON) -> None:
    """A fact of the running system that only it knows, such as the bytes of its weights."""
    _notes[key] = value


def notes() -> dict[str, JSON]:
    """The facts noted so far."""
    return dict(_notes)


def progress(stage: str, done: int, total: int) -> None:
    """Where the work stands, for whoever shows it. A total of 0 is an unknown one."""
    for listen in _listener:
        listen(stage, done, total)


def listen(callback: Callable[[str, int, int], None]) -> None:
    """Tell this callback of all progress from here on."""
    _listener[:] = [callback]


@dataclass(frozen=True)
class Stopwatch:
    """Wall seconds of one call, and when its tokens came. Per-token time is of the tokens after the first."""

    seconds: float
    first_token_s: float | None
    per_token_s: float | None


def timed(call: Callable[[], Any]) -> tuple[Any, Stopwatch]:
    """What a call returns, and how long it took. Raises what the call raises.

    Threads that the call starts must run in a copy of its context (`contextvars`) for their marks to count.
    """
    marks: list[float] = []
    outer = _marks.set(marks)
    begin = time.perf_counter()
    try:
        result = call()
    finally:
        end = time.perf_counter()
        _marks.reset(outer)
    first = marks[0] - begin if marks else None
    rest = (marks[-1] - marks[0]) / (len(marks) - 1) if len(marks) > 1 else None
    return result, Stopwatch(end - begin, first, rest)


def yardstick(repeats: int = 5) -> float:
    """Median seconds of a fixed piece of work: matrix products on the processor, with the threads that systems use. On
    a GPU machine too, where the processor launches what the GPU does: a system on the one is set beside a system on the
    other, and a training beside the process that waits for it."""
    return statistics.median(timed(_cpu_work)[1].seconds for _ in range(repeats))


def _cpu_work() -> None:
    matrix = np.full((384, 384), 0.5, dtype=np.float32)
    for _ in range(32):
        matrix @ matrix


def cuda_in_use() -> Any:
    """torch.cuda where a system of this process uses it, else None. The harness itself never imports torch."""
    return cuda() if _notes.get("device") != "cpu" else None  # a library may have opened it all the same
