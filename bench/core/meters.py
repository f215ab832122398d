"""Time, memory and energy of one process, measured from outside the system under test.

Systems call `mark()`, `note(key, value)`, `phase(name)` and `progress(stage, done, total)`; what these cost and mean is
decided here. Without a meter listening they do nothing.
"""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.core.energy import Meter
from bench.core.gpu import Gpu, gpu
from bench.core.place import cuda
from bench.core.vocabulary import JSON

TRACED = 200  # points of a memory trace, whatever its length
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_marks: ContextVar[list[float] | None] = ContextVar("marks", default=None)  # of the call that is timed, in its threads
_notes: dict[str, JSON] = {}
_listener: list[Callable[[str, int, int], None]] = []
_metering: list[Memory] = []  # those that are at work, the innermost last


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


def phase(name: str) -> None:
    """What follows is another phase of the work whose memory is metered: its peak is told apart."""
    if _metering:
        _metering[-1].phase(name)


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
    """Median seconds of a fixed piece of work, matrix products with the threads that systems use, or on their GPU."""
    cuda = _cuda()
    work = _gpu_work() if cuda else _cpu_work
    return statistics.median(timed(work)[1].seconds for _ in range(repeats))


def _cpu_work() -> None:
    matrix = np.full((384, 384), 0.5, dtype=np.float32)
    for _ in range(32):
        matrix @ matrix


def _gpu_work() -> Callable[[], None]:
    torch = sys.modules["torch"]
    matrix = torch.full((2048, 2048), 0.5, device="cuda")

    def work() -> None:
        for _ in range(16):
            matrix @ matrix
        torch.cuda.synchronize()

    return work


def rss_bytes() -> int:
    """Resident memory now. Linux tells it in microseconds; elsewhere psutil asks."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return int(psutil.Process().memory_info().rss)


def high_water_bytes() -> int | None:
    """Linux keeps the true peak of resident memory; elsewhere the samples must do."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM:")), None)


def exhausted() -> dict[str, JSON]:
    """Where memory stood when it ran out: the peaks of this process, and of torch's allocator where a GPU was used."""
    cuda = _cuda()
    found: dict[str, JSON] = {"start_rss_bytes": None, "peak_rss_growth_bytes": high_water_bytes() or rss_bytes()}
    if cuda is not None:
        state = cuda.memory_stats()
        found |= {
            "peak_gpu_allocated_bytes": _on_all(cuda, cuda.max_memory_allocated),
            "peak_gpu_reserved_bytes": _on_all(cuda, cuda.max_memory_reserved),
            "allocator": {key: state.get(f"{key}.all.current") for key in ("allocated_bytes", "reserved_bytes")}
            | {"retries": state.get("num_alloc_retries"), "out_of_memory": state.get("num_ooms")},
        }
    return found


def _cuda() -> Any:
    """torch.cuda where a system of this process uses it, else None. The harness itself never imports torch."""
    return cuda() if _notes.get("device") != "cpu" else None  # a library may have opened it all the same


def _on_all(cuda: Any, bytes_on: Callable[[int], int]) -> int:
    """The sum over the devices that this process sees: one, unless a model is spread over several."""
    return sum(int(bytes_on(device)) for device in range(cuda.device_count()))


def _reset_peaks(cuda: Any) -> None:
    """Let the peaks begin anew; whoever is metering keeps those that were."""
    for meter in _metering:
        meter.keep(cuda)
    for device in range(cuda.device_count()):
        cuda.reset_peak_memory_stats(device)


@dataclass
class Memory:
    """Samples resident and GPU memory in a thread, by phase; used as a context manager.

    The thread sleeps `every_s` between samples of a fraction of a millisecond (a few milliseconds of NVML every
    tenth sample), well under 1% of a core.
    """

    every_s: float = 0.05
    whole_process: bool = True  # the peak since the process began, not only while metering
    start_rss: int = 0
    peak_rss: int = 0
    peak_gpu: int | None = None
    by_phase: dict[str, int] = field(default_factory=dict)
    gpu_by_phase: dict[str, int] = field(default_factory=dict)  # of torch's allocator
    peak_reserved: int = 0  # by it, in all phases
    trace: list[tuple[float, int, int | None, str]] = field(default_factory=list)  # (s, resident, GPU, phase)
    _begin: float = 0.0
    _phase: str = "build"
    _gpu: Gpu | None = None
    _energy: Meter | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Memory:
        self.start_rss = self.peak_rss = rss_bytes()
        self._begin = time.perf_counter()
        self._gpu = gpu()
        if (cuda := _cuda()) is not None:
            _reset_peaks(cuda)
        self._energy = Meter(self._gpu)
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        _metering.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        if (cuda := _cuda()) is not None:
            self.keep(cuda)
        if self._energy:
            self._energy.end(self._phase)
        _metering.pop()
        self._stop.set()
        if self._thread:
            self._thread.join()
        self.peak_rss = max(self.peak_rss, rss_bytes(), (high_water_bytes() or 0) if self.whole_process else 0)

    def phase(self, name: str) -> None:
        """From here on samples belong to this phase, and so does the peak of a GPU; of earlier phases it is kept."""
        if (cuda := _cuda()) is not None:
            _reset_peaks(cuda)
        if self._energy:
            self._energy.end(self._phase)
        self._phase = name

    def keep(self, cuda: Any) -> None:
        """The peaks of torch's allocator since they last began, as those of this phase."""
        allocated, reserved = (_on_all(cuda, of) for of in (cuda.max_memory_allocated, cuda.max_memory_reserved))
        self.gpu_by_phase[self._phase] = max(self.gpu_by_phase.get(self._phase, 0), allocated)
        self.peak_reserved = max(self.peak_reserved, reserved)

    def _sample(self) -> None:
        count, stride, used = 0, 1, None
        while not self._stop.wait(self.every_s):
            rss = rss_bytes()
            self.peak_rss = max(self.peak_rss, rss)
            self.by_phase[self._phase] = max(self.by_phase.get(self._phase, 0), rss - self.start_rss)
            if self._gpu and count % 10 == 0 and (used := self._gpu.bytes()) is not None:
                self.peak_gpu = max(self.peak_gpu or 0, used)
            if count % stride == 0:
                self.trace.append((time.perf_counter() - self._begin, rss - self.start_rss, used, self._phase))
            if len(self.trace) > TRACED:  # half as often from here on, and as if it had always been
                del self.trace[1::2]
                stride *= 2
            count += 1

    def facts(self) -> dict[str, JSON]:
        """Peaks in bytes, when it has ended. GPU figures are None where no GPU was used, never zero."""
        on_gpu, energy = self.gpu_by_phase, self._energy.by_phase if self._energy else {}
        return {
            "start_rss_bytes": self.start_rss,
            "peak_rss_growth_bytes": self.peak_rss - self.start_rss,
            "peak_rss_growth_by_phase_bytes": dict(self.by_phase),
            "trace": [[round(s, 3), rss, gpu, phase] for s, rss, gpu, phase in self.trace],
            "peak_gpu_allocated_bytes": max(on_gpu.values()) if on_gpu else None,
            "peak_gpu_allocated_by_phase_bytes": dict(on_gpu),
            "peak_gpu_reserved_bytes": self.peak_reserved if on_gpu else None,
            "peak_gpu_process_bytes": self.peak_gpu if on_gpu else None,
            "energy_j": {k: dict(v) for k, v in energy.items() if k != "gpu" or on_gpu},
        }
