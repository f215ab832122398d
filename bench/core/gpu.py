"""NVIDIA GPUs as NVML sees them: which there are, and what this process uses of the first visible one."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import Any

from bench.core.vocabulary import JSON


def gpus() -> list[dict[str, JSON]]:
    """Name, memory in bytes and driver of each GPU; empty on a machine without an NVIDIA driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    driver = str(pynvml.nvmlSystemGetDriverVersion())
    handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    return [
        {
            "name": str(pynvml.nvmlDeviceGetName(h)),
            "memory_bytes": int(pynvml.nvmlDeviceGetMemoryInfo(h).total),
            "driver": driver,
        }
        for h in handles
    ]


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

    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    try:
        pynvml.nvmlInit()
        by_index = visible.isdigit()
        return Gpu(
            pynvml.nvmlDeviceGetHandleByIndex(int(visible)) if by_index else pynvml.nvmlDeviceGetHandleByUUID(visible)
        )
    except pynvml.NVMLError:
        return None
