"""What the GPU can do at most: the other end of every "percent of the limit"."""

from __future__ import annotations

from collections.abc import Callable

import torch


def cuda() -> dict[str, float]:
    """bfloat16 operations and bytes of memory a second of the current CUDA device: the best of a few rounds.

    Takes 0.4 GB for a moment, before any weights are loaded.
    """
    side = 8192
    found = {
        "flops_per_s": 2 * side**3 / _quickest(_product(side)),
        "bytes_per_s": 2 * 128e6 / _quickest(_copy(32_000_000)),
    }
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return found


def _product(side: int) -> Callable[[], object]:
    matrix = torch.ones((side, side), dtype=torch.bfloat16, device="cuda")
    return lambda: matrix @ matrix


def _copy(count: int) -> Callable[[], object]:
    source = torch.ones(count, dtype=torch.float32, device="cuda")
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def _quickest(work: Callable[[], object], rounds: int = 8) -> float:
    """Seconds of the fastest round."""
    seconds = []
    for _ in range(rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        seconds.append(float(begin.elapsed_time(end)) / 1000)
    return min(seconds)
