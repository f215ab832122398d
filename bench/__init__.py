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
_MODULES = {
    "Spec": "bench.spec.model",
    "load": "bench.spec.load",
    "parse": "bench.spec.load",
    "run": "bench.execution.run",
    "score": "bench.verdict.score",
    "scores": "bench.verdict.score",
    "report": "bench.report",
    "compare": "bench.verdict.compare_runs",
}
__all__ = ["Spec", "compare", "load", "parse", "report", "run", "score", "scores"]


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first used: `ragtune --help` does not wait for it."""
    if name not in _MODULES:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


class _Package(ModuleType):
    """Keeps `bench.report` the public function, where importing the package `bench.report` would replace it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "report" and isinstance(value, ModuleType):
            value = value.report
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
