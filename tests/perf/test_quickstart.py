"""P8, P10, P12: the whole quickstart from an empty store, and once more unchanged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.core.files import read_json
from bench.core.meters import timed
from tests.perf.peers import here, record, told

SPEC = Path(__file__).parent.parent.parent / "bench" / "specs" / "quickstart.yaml"


def test_the_quickstart(benchmark: Any, tmp_path: Path) -> None:
    def run() -> None:
        command = [sys.executable, "-m", "bench.cli", "run", str(SPEC), "--out", str(tmp_path / "run")]
        subprocess.run(command, check=True, env=here({"RAGTUNE_STORE": str(tmp_path / "store")}), capture_output=True)

    first, second = (timed(run)[1].seconds for _ in range(2))
    scores = read_json(tmp_path / "run" / "quickstart" / "scores.json")
    done = [s for s in scores["systems"].values() if s["status"] == "done" and s["outside_s"] is not None]
    share = sum(s["outside_s"] for s in done) / sum(s["cell_s"] for s in done)
    note = "all that neither builds, loads, answers nor updates"
    record("P8", "what ragtune itself takes of the time of the cells", "-", [share], target=0.03, note=note)
    record("P12", "the quickstart, set up", "-", [first / 60], target=5.0, unit=" min")
    what = "the quickstart once more"
    again = told(benchmark, "P10", what, "its first run", [second / first], lambda: None, target=0.01)
    assert again < 0.1 and share < 0.1
