"""`python -m tests.perf`: the speed tests, in the environment that a run gives to its cells; peers get their own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bench.execution.environment import for_cells

ARGUMENTS = ("--benchmark-only", "--benchmark-disable-gc", "--timeout", "3600")

if __name__ == "__main__":
    command = [sys.executable, "-m", "pytest", str(Path(__file__).parent), *ARGUMENTS, *sys.argv[1:]]
    os.execve(sys.executable, command, for_cells(os.cpu_count() or 1))
