"""The GitHub Action's steps, run as the shell commands that they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench import parse
from bench.execution.run import run
from bench.gate import snapshot
from tests.conftest import ROOT, raw_spec

STEPS: list[dict[str, Any]] = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]


def step(name: str, cwd: Path, values: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """One step under bash as GitHub starts it, its expressions replaced by what the runner would put there."""
    found = next(s for s in STEPS if s.get("id") == name)
    env = {k: values.get(v.strip("${ }"), "") for k, v in found["env"].items()}
    base = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(cwd),
        "GITHUB_ACTIONS": "true",
    }
    files = {k: str(cwd / k) for k in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    script = cwd / f"{name}.sh"
    script.write_text(found["run"])
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
    return subprocess.run(command, cwd=cwd, env={**base, **files, **env}, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("held")
    spec = parse(raw_spec(name="mine", systems=[{"name": "sys", "kind": "tests.kinds.lookup"}]))
    return snapshot.accept(run(spec, out=root, store=root / "s").folder, reason="the first", out=root)


@pytest.mark.parametrize(("kind", "code"), [("lookup", 0), ("echo", 1)])
def test_a_good_run_passes_and_a_bad_one_fails(tmp_path: Path, held: Path, kind: str, code: int) -> None:
    (tmp_path / "spec.yaml").write_text(
        yaml.safe_dump(raw_spec(name="mine", systems=[{"name": "sys", "kind": f"tests.kinds.{kind}"}]))
    )
    (tmp_path / "rules.yaml").write_text("rules:\n  - {metric: em, margin: 0.02}\n")
    ran = step("run", tmp_path, {"inputs.spec": "spec.yaml", "inputs.out": "reports"})
    assert ran.returncode == 0, ran.stderr
    outputs = dict(line.split("=", 1) for line in (tmp_path / "GITHUB_OUTPUT").read_text().splitlines())
    assert (tmp_path / outputs["report"]).exists()
    gated = step(
        "gate",
        tmp_path,
        {
            "steps.run.outputs.run": outputs["run"],
            "inputs.baseline": str(held),
            "inputs.rules": "rules.yaml",
            "inputs.inconclusive": "pass",
        },
    )
    assert gated.returncode == code, gated.stdout + gated.stderr
    assert (
        (tmp_path / "GITHUB_STEP_SUMMARY").read_text().startswith(f"## ragtune gate: {'pass' if code == 0 else 'fail'}")
    )
    assert json.loads((tmp_path / "ragtune-gate.json").read_text())["verdict"] == ("pass" if code == 0 else "fail")
    assert (tmp_path / "ragtune-junit.xml").read_text().startswith("<?xml")
    assert ("::error title=ragtune gate::" in gated.stdout) == (code == 1)
