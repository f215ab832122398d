"""P8, P10, P12: the whole quickstart from an empty store, and once more unchanged."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.core.files import read_json
from tests.perf.peers import here, told

SPEC = Path(__file__).parent.parent.parent / "bench" / "specs" / "quickstart.yaml"


def test_the_quickstart(benchmark: Any, tmp_path: Path) -> None:
    def run() -> float:
        begin = time.perf_counter()
        command = [sys.executable, "-m", "bench.cli", "run", str(SPEC), "--out", str(tmp_path / "run")]
        subprocess.run(command, check=True, env=here({"RAGTUNE_STORE": str(tmp_path / "store")}), capture_output=True)
        return time.perf_counter() - begin

    first, second = run(), run()
    scores = read_json(tmp_path / "run" / "scores.json")
    timed = [s for s in scores["systems"].values() if s["status"] == "done" and s["outside_s"] is not None]
    share = sum(s["outside_s"] for s in timed) / sum(s["cell_s"] for s in timed)
    told(benchmark, "P12", "the quickstart, set up", "-", [first / 60], lambda: None, target=5.0, unit=" min")
    told(benchmark, "P10", "the quickstart once more", "its first run", [second / first], lambda: None, target=0.01)
    told(
        benchmark, "P8", "what ragtune itself takes of the time of the cells", "-", [share], lambda: None, target=0.03,
        note="all that neither builds, loads, answers nor updates",
    )  # fmt: skip
