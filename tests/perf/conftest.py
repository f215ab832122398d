"""Each speed test in units of one fixed piece of work, timed before and after it, against the stored ones.

`make bench` fails where a test takes over twice its stored units; `RAGTUNE_BENCH=store make bench` stores them anew.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.perf import peers

STORED = Path(__file__).parent / "stored.json"
TOLERANCE = 2.0  # machines are noisy; what this finds is work that was not there before


def unit_s() -> float:
    """Seconds of the fixed work: half of it Python, half of it arrays."""
    begin = time.perf_counter()
    total = 0
    for i in range(200_000):
        total += i * i % 7
    np.sort(np.random.default_rng(total).normal(size=400_000)).cumsum()
    return time.perf_counter() - begin


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table of what was measured against others, also as files."""
    if peers.ROWS:
        peers.write(peers.ROWS)
        terminalreporter.section(f"against others ({peers.OUT}/bench.json, bench.md)")
        terminalreporter.write_line(peers.table(peers.ROWS))


@pytest.fixture(autouse=True)
def units(request: pytest.FixtureRequest, benchmark: Any) -> Iterator[None]:
    before = [unit_s() for _ in range(3)]
    yield
    if benchmark.disabled or benchmark.stats is None or "ratio" in benchmark.extra_info:
        return  # a ratio to a peer in the same run needs no unit
    unit = statistics.median([*before, *(unit_s() for _ in range(3))])
    found = benchmark.stats.stats.median / unit
    benchmark.extra_info["units"] = found
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    name = request.node.name
    if os.environ.get("RAGTUNE_BENCH") == "store":
        STORED.write_text(json.dumps({**stored, name: round(found, 4)}, indent=1, sort_keys=True) + "\n")
    elif name not in stored:
        pytest.fail(f"{name} has no stored units: RAGTUNE_BENCH=store make bench")
    elif found > TOLERANCE * stored[name]:
        pytest.fail(f"{name} took {found:.3g} units, and {stored[name]:.3g} are stored")
