"""Calls each function of a processor's mathematics library once, before several threads do.

oneMKL 2024.2, which torch's wheels for processors hold, looks a function's code up when it is first called. Where two
threads call it first at the same time, one may take code of low accuracy for its share of that one call
(https://github.com/pytorch/pytorch/issues/188792): cosines of a model's first batch were wrong by 1.5e-4, so that one
training in four ended at other weights than the rest.
"""

from __future__ import annotations

from functools import lru_cache

# those that torch takes from the library (ATen/cpu/vml.h)
FUNCTIONS: tuple[str, ...] = ("acos", "asin", "atan", "cos", "erf", "erfc", "erfinv", "exp", "log", "log10", "log2")
FUNCTIONS += ("sin", "sqrt", "tan", "tanh", "trunc")


@lru_cache
def resolve() -> None:
    """Whoever loads a model calls this first. A number is one thread's work; in a process that was forked from one that
    did it nothing is left to look up."""
    import torch

    for number in (torch.float32, torch.float64):
        for name in FUNCTIONS:
            getattr(torch, name)(torch.full((1,), 0.5, dtype=number))
