"""ragtune: retrieve, fine-tune, or both? One spec in, one measured comparison out.

from bench import load, run, scores
outcome = run(load("my.yaml"))
scores(outcome.folder)          # a pandas frame
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

# public name -> the module that holds it
_HOMES = {
    "Spec": "spec", "load": "parse", "parse": "parse", "run": "run", "score": "score", "scores": "score",
    "report": "report", "compare": "compare",
}  # fmt: skip
__all__ = ["Spec", "compare", "load", "parse", "report", "run", "score", "scores"]


def __getattr__(name: str) -> Any:
    """Public names, imported when first used: `ragtune --help` does not wait for them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    return getattr(importlib.import_module(f"bench.{_HOMES[name]}"), name)


class _Package(ModuleType):
    """Keeps `bench.run` the function, where importing the module `bench.run` would make it the module."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
