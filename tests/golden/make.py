"""Makes the stored run of the golden page, and the page: `python -m tests.golden.make`.

`--page` draws the page alone.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

from bench import parse
from bench.core.digest import sealed
from bench.core.files import write_json
from bench.execution.run import run
from bench.report import report
from bench.verdict.score import score
from tests.conftest import raw_spec
from tests.contract.test_verdict import ALL, dataset

STORED = Path(__file__).resolve().parent / "run"


def make() -> None:
    """A run of 80 questions on systems whose truth is known, and on one that fails."""
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        sys.path.append(str(STORED.parents[2]))
        dataset(Path("data"), n=80, taught=16)
        spec = raw_spec(
            name="golden",
            description="Systems whose truth is known.",
            dataset={"path": "data"},
            margin=0.05,
            systems=[*ALL, {"name": "broken", "kind": "tests.kinds.echo", "fault": "raise", "after": 3}],
            prices={"cpu_hour_usd": 0.1},
            measure={"latency_questions": 24, "warmup": 1},
            model={"name": "micro"},
            embedder={"name": "micro"},
        )
        folder = run(parse(spec), out=Path("r"), store=Path("s")).folder
        shutil.rmtree(STORED, ignore_errors=True)
        STORED.mkdir()
        for name in ("run.json", "records.jsonl"):
            (STORED / name).write_text((folder / name).read_text().replace(f"{STORED.parents[2]}/", ""))
        written = json.loads((STORED / "run.json").read_text())
        write_json(STORED / "run.json", {**written, "seal": sealed(written)})  # of the shorter paths
        score(STORED)


if __name__ == "__main__":
    if "--page" not in sys.argv:
        make()
    print(report(STORED, again=True))
