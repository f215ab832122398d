"""NVIDIA GPUs as NVML sees them: which there are, and what this process uses of the first visible one."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.core.vocabulary import JSON

FULL_BYTES = 18  # a parameter in full tuning: weight, gradient and two moments in float32, and the copy that computes


def gpus() -> list[dict[str, JSON]]:
    """Name, memory in bytes, driver, clocks in MHz and power limit in watts of each GPU; None for what NVML does not
    tell of one, as in containers, on slices (MIG) and with unified memory. Empty on a machine without an NVIDIA driver.

    NVML is closed again: a process that forks later must not have it open.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        driver = _told(pynvml.nvmlSystemGetDriverVersion)
        return [_described(i, driver) for i in range(_told(pynvml.nvmlDeviceGetCount) or 0)]
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _described(number: int, driver: Any) -> dict[str, JSON]:
    import pynvml

    handle = _told(pynvml.nvmlDeviceGetHandleByIndex, number)
    memory = _told(pynvml.nvmlDeviceGetMemoryInfo, handle)
    watts = _told(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    clocks = {
        "clock_mhz": _told(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM),
        "memory_clock_mhz": _told(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_MEM),
    }
    return {
        "name": str(_told(pynvml.nvmlDeviceGetName, handle) or "an NVIDIA GPU"),
        "memory_bytes": int(memory.total) if memory is not None else None,
        "driver": str(driver) if driver is not None else None,
        **clocks,
        "power_limit_w": watts / 1000 if watts is not None else None,
    }


def _told(ask: Callable[..., Any], *what: Any) -> Any:
    """What NVML says, or None where it does not say."""
    import pynvml

    try:
        return ask(*what)
    except (pynvml.NVMLError, TypeError, AttributeError):  # of no handle, or a library without this question
        return None


@dataclass(frozen=True)
class Gpu:
    """This process on the first visible CUDA device, as NVML sees it. What NVML will not tell is None."""

    handle: Any

    def bytes(self) -> int | None:
        """Of this process; None where NVML does not see it, as from inside a container."""
        import pynvml

        try:
            seen = pynvml.nvmlDeviceGetComputeRunningProcesses(self.handle)
        except pynvml.NVMLError:
            return None
        mine = [p.usedGpuMemory for p in seen if p.pid == os.getpid()]
        return int(mine[0]) if mine and mine[0] is not None else None

    def energy_j(self) -> float | None:
        """Since the driver was loaded; the counter moves about every 100 ms."""
        import pynvml

        try:
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)) / 1000
        except pynvml.NVMLError:
            return None


@functools.cache
def gpu() -> Gpu | None:
    """A GPU meter, or None on a machine without an NVIDIA driver; looked for once."""
    import pynvml

    own = int(os.environ.get("LOCAL_RANK", 0))  # of processes that train together, each has one of those it sees
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", str(own)).split(",")
    visible = seen[min(own, len(seen) - 1)]
    try:
        pynvml.nvmlInit()
        by_index = visible.isdigit()
        return Gpu(
            pynvml.nvmlDeviceGetHandleByIndex(int(visible)) if by_index else pynvml.nvmlDeviceGetHandleByUUID(visible)
        )
    except pynvml.NVMLError:
        return None
