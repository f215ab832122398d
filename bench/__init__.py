"""ragtune: retrieve, fine-tune, or both? One spec in, one measured comparison out.

    from bench import Spec, run, scores
    outcome = run(load("my.yaml"))
    scores(outcome.folder)          # a pandas frame
"""

from __future__ import annotations

from typing import Any

_HOMES = {"Spec": "spec", "load": "spec", "run": "run", "score": "score", "scores": "score", "report": "report", "compare": "compare"}
__all__ = ["Spec", "compare", "load", "report", "run", "score", "scores"]  # noqa: F822


def __getattr__(name: str) -> Any:
    """Public names, imported when first used: `ragtune --help` does not wait for them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"bench.{_HOMES[name]}"), name)
