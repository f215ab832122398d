"""What the documents say can be typed."""

from __future__ import annotations

import re
import subprocess

from bench import kinds
from bench.cli import app
from tests.conftest import ROOT

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


def test_contributing_names_files_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    names = [n for n in re.findall(r"`([\w/.]+\.(?:py|toml|yaml))`", text) if "/" in n]
    assert len(names) > 4 and all((ROOT / n).exists() for n in names)
    assert len(text.splitlines()) < 60  # under a page
