"""The GitHub Action's steps, run as the shell commands that they are."""

from __future__ import annotations

import json
import os
import re
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
    env = {k: re.sub(r"\$\{\{ (\S+) \}\}", lambda m: values.get(m[1], ""), v) for k, v in found["env"].items()}
    base = {
        "PATH": f"{cwd}:{Path(sys.executable).parent}:{os.environ['PATH']}",
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


@pytest.mark.heavy
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
        },
    )
    assert gated.returncode == code, gated.stdout + gated.stderr
    assert (
        (tmp_path / "GITHUB_STEP_SUMMARY").read_text().startswith(f"## ragtune gate: {'pass' if code == 0 else 'fail'}")
    )
    assert json.loads((tmp_path / "ragtune-gate.json").read_text())["verdict"] == ("pass" if code == 0 else "fail")
    assert (tmp_path / "ragtune-junit.xml").read_text().startswith("<?xml")
    assert ("::error title=ragtune gate::" in gated.stdout) == (code == 1)


GH = """#!/usr/bin/env python3
# a GitHub of one pull request: its comments are files, and every call is written down
import json, pathlib, sys
here = pathlib.Path(__file__).parent
called, comments = sys.argv[1:], sorted(here.glob("comment-*.md"))
(here / "calls").open("a").write(" ".join(called) + "\\n")
if "--method" not in called:
    found = [c for c in comments if c.read_text().startswith("<!-- ragtune gate ")]
    print("\\n".join(c.stem.split("-")[1] for c in found))
else:
    name = called[called.index("--method") + 2].rsplit("/", 1)[1]
    number = name if name.isdigit() else str(len(comments) + 1)
    body = called[-1].removeprefix("body=@")
    (here / f"comment-{number}.md").write_text(pathlib.Path(body).read_text())
"""


def test_one_comment_is_kept_up_to_date(tmp_path: Path) -> None:
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    (tmp_path / "comment-1.md").write_text("Nice work!")
    values = {
        "inputs.spec": "specs/quick.yaml",
        "github.repository": "a/b",
        "github.event.number": "7",
        "github.run_id": "99",
        "github.server_url": "https://h",
    }
    for verdict in ("fail", "pass"):
        (tmp_path / "ragtune.md").write_text(f"## ragtune gate: {verdict}\n")
        done = step("comment", tmp_path, values)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "comment-1.md").read_text() == "Nice work!"
    told = (tmp_path / "comment-2.md").read_text()
    assert "## ragtune gate: pass" in told and "https://h/a/b/actions/runs/99" in told
    assert sorted(p.name for p in tmp_path.glob("comment-*")) == ["comment-1.md", "comment-2.md"]
    (tmp_path / "ragtune.md").unlink()  # the run broke off
    assert step("comment", tmp_path, values).returncode == 0
    assert "did not finish" in (tmp_path / "comment-2.md").read_text()
    calls = (tmp_path / "calls").read_text().splitlines()
    assert "--method POST repos/a/b/issues/7/comments" in calls[1]
    assert "--method PATCH repos/a/b/issues/comments/2" in calls[3]


def test_what_cannot_be_written_does_not_fail_the_job(tmp_path: Path) -> None:
    """As on a pull request from a fork, whose token may only read."""
    (tmp_path / "gh").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "gh").chmod(0o755)
    (tmp_path / "ragtune.md").write_text("## ragtune gate: pass\n")
    done = step("comment", tmp_path, {"inputs.spec": "s.yaml", "github.repository": "a/b", "github.event.number": "7"})
    assert done.returncode == 0 and "::notice::" in done.stdout


@pytest.mark.parametrize(("asked", "code"), [("", 0), ("fail", 1), ("pass", 0)])
def test_an_inconclusive_gate_is_a_warning_unless_asked_otherwise(tmp_path: Path, asked: str, code: int) -> None:
    exits = {"": 3, "fail": 1, "pass": 0}[asked]
    option = f'case "$*" in *"--inconclusive {asked}"*) exit {exits};; esac; exit 2' if asked else "exit 3"
    (tmp_path / "ragtune").write_text(f"#!/bin/sh\n{option}\n")
    (tmp_path / "ragtune").chmod(0o755)
    done = step("gate", tmp_path, {"inputs.baseline": "b", "steps.run.outputs.run": "r", "inputs.inconclusive": asked})
    assert done.returncode == code
    assert ("::warning" in done.stdout) == (asked == "")
