"""A plugin for `make mutants`: a mutant meets the quickest tests first, and none that take over a second.

A test that simulates a thousand runs says that a rate is right; that a rule is changed, a worked example says at once.
What a slow test alone would notice therefore counts as survived, and the share that is killed is a lower bound.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

SLOW_S = 1.0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order by what mutmut saw each test take; leave the slow ones out where there are others."""
    if "__mutmut_" not in os.environ.get("MUTANT_UNDER_TEST", ""):
        return
    took = json.loads(Path("mutmut-stats.json").read_text(encoding="utf-8"))["duration_by_test"]
    items.sort(key=lambda item: took.get(item.nodeid, 0.0))
    quick = [item for item in items if took.get(item.nodeid, 0.0) <= SLOW_S] or items[:1]
    config.hook.pytest_deselected(items=items[len(quick) :])
    items[:] = quick
