"""The peak of memory in use, which repeats: resident memory without what an allocator happens to keep.

Cells run with an allocator that keeps what was freed, because that is fast; their peaks differ by a tenth and more from
run to run with where freed blocks happen to lie. Here glibc is told to give every block of 128 KiB or more back at
once, which is 2 to 3 times slower and repeats within a few per cent. Elsewhere than on Linux with glibc nothing is
measured.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.core.memory import high_water_bytes

_M_MMAP_THRESHOLD = -3  # malloc.h
_AT_ONCE, _KEPT = 128 * 1024, 2**31 - 1  # bytes from which on a block is mapped, and given back when it is freed
_REFERENCES = Path("/proc/self/clear_refs")


@contextlib.contextmanager
def returning_at_once() -> Iterator[bool]:
    """An allocator that gives memory back at once, for a while. Tells whether there is one."""
    libc: Any = ctypes.CDLL(None)
    able = hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim")
    if able:
        libc.mallopt(_M_MMAP_THRESHOLD, _AT_ONCE)
    try:
        yield able
    finally:
        if able:
            libc.mallopt(_M_MMAP_THRESHOLD, _KEPT)


def live_peak_bytes(call: Callable[[], object]) -> int | None:
    """Peak resident bytes of this process during a call; None where that cannot be measured."""
    gc.collect()
    with returning_at_once() as able:
        if not able:
            return None
        ctypes.CDLL(None).malloc_trim(0)
        try:
            _REFERENCES.write_text("5")  # the peak starts anew: proc(5)
        except OSError:
            return None
        call()
        return high_water_bytes()
