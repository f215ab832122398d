"""Runs that are killed, interrupted and doubled, for real."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ECHO, await_lines, finish, left_behind, records, resumed, start, undisturbed


def stopping(tmp_path: Path, answered: int) -> dict[str, Any]:
    """A system that answers so many questions, and no more before there is a gate."""
    files = {"tally": str(tmp_path / "tally"), "gate": str(tmp_path / "gate")}
    return {"name": "echo", "kind": ECHO, "after": answered, **files}


@pytest.mark.heavy
@pytest.mark.parametrize("answered", [1, 30])
def test_kill_nine_then_resume_equals_an_undisturbed_run(tmp_path: Path, answered: int) -> None:
    plain = {"systems": [stopping(tmp_path, answered)], "measure": {"latency_questions": 8, "warmup": 0}}
    process = start(tmp_path, **plain)
    await_lines(tmp_path / "tally", answered)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (tmp_path / "gate").touch()
    assert not left_behind(str(tmp_path))
    part = tmp_path / "r" / "t" / "cells" / "echo-s1" / "records.jsonl"
    kept = part.read_text().splitlines() if part.exists() else []
    with part.open("a") as f:
        f.write('{"cell": "echo-s1", "quest')  # what a power cut leaves
    again = resumed(tmp_path, **plain)
    assert again == undisturbed(tmp_path, **plain)
    assert sorted(r["question"] for r in again) == sorted({r["question"] for r in again})
    assert [json.loads(line)["batch_s"] for line in kept] == [
        json.loads(line)["batch_s"] for line in part.read_text().splitlines()[: len(kept)]
    ]


@pytest.mark.heavy
def test_interrupt_leaves_no_child_and_can_go_on(tmp_path: Path) -> None:
    plain = {"systems": [stopping(tmp_path, 5)], "measure": {"latency_questions": 8, "warmup": 0}}
    process = start(tmp_path, cli=True, **plain)
    await_lines(tmp_path / "tally", 5)
    os.killpg(process.pid, signal.SIGINT)
    code, _, err = finish(process)
    (tmp_path / "gate").touch()
    assert code == 130 and "run the same command to go on" in err and "Traceback" not in err
    assert json.loads((tmp_path / "r/t/run.json").read_text())["status"] == "incomplete"
    assert not left_behind(str(tmp_path))
    assert resumed(tmp_path, **plain) == undisturbed(tmp_path, **plain)


@pytest.mark.heavy
def test_two_runs_on_one_store_are_both_right(tmp_path: Path, tiny_lm: Path) -> None:
    systems = [{"name": "rag", "kind": "rag"}, {"name": "lora", "kind": "lora", "tuning": {"epochs": 1}}]
    model = {"name": str(tiny_lm)}
    other = start(tmp_path, name="one", systems=systems, model=model)
    resumed(tmp_path, name="two", systems=systems, model=model)  # beside it, in this process
    assert finish(other)[0] == 0
    one, two = records(tmp_path / "r/one"), records(tmp_path / "r/two")
    assert one == two and len(one) == 80
    built = [
        json.loads((tmp_path / "r" / n / "run.json").read_text())["cells"]["lora-s1"]["artefacts"]
        for n in ("one", "two")
    ]
    assert sorted(a["hit"] for cell in built for a in cell if a["kind"] == "adapter") == [False, True]


@pytest.mark.heavy
def test_one_run_twice_at_once_is_refused(tmp_path: Path) -> None:
    plain = {"systems": [stopping(tmp_path, 2)]}
    first = start(tmp_path, **plain)
    await_lines(tmp_path / "tally", 2)
    code, _, err = finish(start(tmp_path, **plain))
    (tmp_path / "gate").touch()
    assert code == 1 and "another process is running this run" in err
    assert finish(first)[0] == 0


@pytest.mark.heavy
def test_killed_while_training_then_resumed(tmp_path: Path, tiny_lm: Path) -> None:
    """The half-trained adapter is never used; the new one is what an undisturbed run trains."""
    plain = {"systems": [{"name": "lora", "kind": "lora", "tuning": {"epochs": 5}}], "model": {"name": str(tiny_lm)}}
    process = start(tmp_path, **plain)
    assert process.stderr
    assert any("training" in line for line in process.stderr)  # it says so before it ends
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert resumed(tmp_path, **plain) == undisturbed(tmp_path, **plain)
