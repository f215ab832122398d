"""Memory and energy of one process, metered by phase: resident, and on a GPU by torch's allocator and by NVML.

Work whose memory is metered says with `phase(name)` where its next phase begins. Meters may be nested.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.core import meters
from bench.core.energy import Meter
from bench.core.gpu import Gpu, gpu
from bench.core.vocabulary import JSON

TRACED = 200  # points of a memory trace, whatever its length
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_metering: list[Memory] = []  # those that are at work, the innermost last


def phase(name: str) -> None:
    """What follows is another phase of the work whose memory is metered: its peak is told apart."""
    if _metering:
        _metering[-1].phase(name)


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
    cuda = meters.cuda_in_use()
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


def _on_all(cuda: Any, bytes_on: Callable[[int], int]) -> int:
    """The sum over the devices that this process sees: one, unless a model is spread over several."""
    return sum(int(bytes_on(device)) for device in range(cuda.device_count()))


@contextlib.contextmanager
def unmetered() -> Iterator[None]:
    """Work on the GPU that is no part of what is metered: the peaks are those from before it."""
    if (cuda := meters.cuda_in_use()) is not None:
        _keep_peaks(cuda)
    try:
        yield
    finally:
        if (cuda := meters.cuda_in_use()) is not None:
            _forget_peaks(cuda)


def _keep_peaks(cuda: Any) -> None:
    for meter in _metering:
        meter.keep(cuda)


def _forget_peaks(cuda: Any) -> None:
    for device in range(cuda.device_count()):
        cuda.reset_peak_memory_stats(device)


def _reset_peaks(cuda: Any) -> None:
    """Let the peaks begin anew; whoever is metering keeps those that were."""
    _keep_peaks(cuda)
    _forget_peaks(cuda)


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
        if (cuda := meters.cuda_in_use()) is not None:
            _reset_peaks(cuda)
        self._energy = Meter(self._gpu)
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        _metering.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        if (cuda := meters.cuda_in_use()) is not None:
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
        if (cuda := meters.cuda_in_use()) is not None:
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
            "trace": [[round(s, 3), rss, gpu if on_gpu else None, phase] for s, rss, gpu, phase in self.trace],
            "peak_gpu_allocated_bytes": max(on_gpu.values()) if on_gpu else None,
            "peak_gpu_allocated_by_phase_bytes": dict(on_gpu),
            "peak_gpu_reserved_bytes": self.peak_reserved if on_gpu else None,
            "peak_gpu_process_bytes": self.peak_gpu if on_gpu else None,
            "energy_j": {k: dict(v) for k, v in energy.items() if k != "gpu" or on_gpu},
        }
