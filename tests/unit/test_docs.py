"""What the documents say can be typed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from bench import kinds
from bench.cli import app
from tests.conftest import ROOT, raw_spec

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.S)
COMMANDS = [line.strip() for block in BLOCKS for line in block.splitlines() if line.strip()]


def test_every_make_target_exists() -> None:
    targets = [c.split()[1] for c in COMMANDS if c.startswith("make ")]
    assert targets[:2] == ["demo", "test"]
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_every_ragtune_verb_exists() -> None:
    verbs = {c.callback.__name__ for c in app.registered_commands if c.callback}
    named = [c.split()[1] for c in COMMANDS if c.startswith(".venv/bin/ragtune")]
    assert named == ["init", "validate", "plan", "run"] and set(named) <= verbs
    assert set(re.findall(r"`ragtune (\w+)", README)) <= verbs


def test_readme_lists_every_kind() -> None:
    table = README.split("## What can be compared")[1].split("\n## ")[0]
    assert {k for k in kinds.builtin() if f"`{k}`" in table} == set(kinds.builtin())


def test_python_of_the_readme_runs(tmp_path: Path) -> None:
    import yaml

    from bench import load, run, scores

    (tmp_path / "my.yaml").write_text(yaml.safe_dump(raw_spec()))
    assert 'scores(run(load("my.yaml")).folder)' in README
    frame = scores(run(load(str(tmp_path / "my.yaml")), out=tmp_path / "r", store=tmp_path / "s").folder)
    assert set(frame.system) == {"echo"} and {"mean", "low", "high", "n"} <= set(frame.columns)


def test_contributing_names_files_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    names = [n for n in re.findall(r"`([\w/.]+\.(?:py|toml|yaml))`", text) if "/" in n]
    assert len(names) > 4 and all((ROOT / n).exists() for n in names)
    assert len(text.splitlines()) < 60  # under a page
