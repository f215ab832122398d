"""The pytest plugin, driven as a user's pytest would drive it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import parse
from bench.execution.run import run
from tests.conftest import ROOT, raw_spec

MINE = """
def test_mine(ragtune_scores):
    em = ragtune_scores.query("metric == 'em' and stratum == 'all'")
    assert em["mean"].max() > 0.1
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("plugin")
    made = []
    for name, kind in (("good", "lookup"), ("bad", "echo")):
        spec = parse(raw_spec(name=name, systems=[{"name": "sys", "kind": f"tests.kinds.{kind}"}]))
        made.append(run(spec, out=root / "r", store=root / "s").folder)
    return made[0], made[1]


@pytest.mark.heavy
def test_rules_are_items_and_scores_a_fixture(runs: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(MINE)
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n  - {metric: em, margin: 0.02}\n  - {metric: em, min: 0.3}\n")

    def called(new: Path, *more: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "--ragtune-run", str(new), *more]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    gate = ("--ragtune-baseline", str(runs[0]), "--ragtune-rules", str(rules))
    code, told = called(runs[0], *gate)
    assert code == 0 and "3 passed" in told and "sys: em within 0.020" in told, told
    code, told = called(runs[1], *gate)
    assert code == 1 and "FAILED" in told and "sys: em within 0.020" in told and "sys: em at least 0.3" in told, told
    rules.write_text("rules:\n  - {metric: faithfulness, margin: 0.02, missing: pass}\n")
    code, told = called(runs[0], *gate)
    assert code == 1 and "nothing could be compared" in told, told
    code, told = called(runs[0], "--ragtune-baseline", str(tmp_path / "nothing.json"))
    assert code == 4 and "no run and no baseline" in told
