"""The device that work is done on, by its name: what a time or a peak of memory is of."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

GPUS = "RAGTUNE_GPUS"  # the variable that tells a cell all devices of its machine, by comma; it sees the first alone


def first_gpus(count: int, key: str) -> str:
    """So many GPUs of those of this machine, by comma. Raises ValueError where `key` asks for more than there are."""
    known = [gpu for gpu in os.environ.get(GPUS, "").split(",") if gpu]
    if len(known) < count:
        raise ValueError(f"`{key}: {count}` needs as many GPUs, and {len(known)} are there")
    return ",".join(known[:count])


def import_path() -> str:
    """Where this process looks for modules, as another's PYTHONPATH."""
    return os.pathsep.join(path or str(Path.cwd()) for path in sys.path)


def place() -> str:
    """The GPU where this process uses one, else the processor."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        return str(torch.cuda.get_device_name())
    return processor()


def processor() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
