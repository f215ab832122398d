"""The device that work is done on, by its name: what a time or a peak of memory is of."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

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


def cuda() -> Any:
    """torch.cuda where this process has opened a GPU, else None. Only then is it asked whether there is one: to ask
    keeps a fork of this process from using it."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() and torch.cuda.is_available() else None


def place(device: str | None = None) -> str:
    """The GPU where this process uses one, else the processor. `device`: that of its model, where it is known."""
    opened = cuda() if device != "cpu" else None
    return str(opened.get_device_name()) if opened else processor()


def processor() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
