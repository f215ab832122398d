"""What the GPU can do at most: the other end of every "percent of the limit"."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from bench.core.memory import unmetered

WARM_S = 0.5  # of work before anything is timed


def cuda(number: torch.dtype) -> dict[str, float]:
    """Operations on 16-bit numbers and bytes of memory a second of the current CUDA device: the best of a few rounds.

    Takes 0.4 GB for a moment, before any weights are loaded.
    """
    side = 8192
    with unmetered():
        found = {
            "flops_per_s": 2 * side**3 / _quickest(_product(side, number)),
            "bytes_per_s": 2 * 128e6 / _quickest(_copy(32_000_000)),
        }
        torch.cuda.empty_cache()
    return found


def _product(side: int, number: torch.dtype) -> Callable[[], object]:
    # random numbers: on ones a GPU switches fewer bits, draws less power and clocks higher than on anybody's data
    matrix = torch.randn((side, side), dtype=number, device="cuda")
    return lambda: matrix @ matrix


def _copy(count: int) -> Callable[[], object]:
    source = torch.randn(count, dtype=torch.float32, device="cuda")
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def _quickest(work: Callable[[], object], rounds: int = 8) -> float:
    """Seconds of the fastest round, the clocks being up."""
    seconds = []
    warm = time.perf_counter() + WARM_S
    while time.perf_counter() < warm:
        work()
        torch.cuda.synchronize()
    for _ in range(rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        seconds.append(float(begin.elapsed_time(end)) / 1000)
    return min(seconds)
