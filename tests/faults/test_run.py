"""Runs that are crashed, hung, killed, interrupted and doubled, for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from bench import parse
from bench.errors import UserError
from bench.run import run
from bench.score import score
from bench.worker import whole_batches
from tests.conftest import MINI, ROOT, raw_spec

ECHO = "tests.kinds.echo"


def records(folder: Path) -> list[dict[str, Any]]:
    """Records less their times."""
    rows = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    return [{k: v for k, v in r.items() if not k.endswith("_s")} for r in rows]


def undisturbed(tmp_path: Path, **changes: Any) -> list[dict[str, Any]]:
    outcome = run(parse(raw_spec(**changes)), out=tmp_path / "undisturbed", store=tmp_path / "store-u")
    assert outcome.status == "complete"
    return records(outcome.folder)


BARE = """
import sys
from pathlib import Path
from bench import load, run
from bench.progress import Lines
try:
    outcome = run(load(Path(sys.argv[1])), out=Path(sys.argv[2]), store=Path(sys.argv[3]), progress=Lines(False))
    sys.exit(outcome.status != "complete")
except Exception as e:
    sys.exit(f"error: {e}" if type(e).__name__ == "UserError" else repr(e))
"""


def start(tmp_path: Path, *, cli: bool = False, **changes: Any) -> subprocess.Popen[str]:
    """A run in its own process group, as a terminal would start it: the whole command, or the run without a page."""
    spec = tmp_path / f"{changes.get('name', 't')}.yaml"
    spec.write_text(yaml.safe_dump(raw_spec(**changes)))
    where = [str(tmp_path / "r"), str(tmp_path / "s")]
    whole = ["-m", "bench.cli", "run", str(spec), "--out", where[0], "--store", where[1]]
    command = [sys.executable, *(whole if cli else ["-c", BARE, str(spec), *where])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        command,
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def await_lines(path: Path, count: int, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not path.exists() or len(path.read_text().splitlines()) < count:
        assert time.monotonic() < deadline, f"{path} never had {count} lines"
        time.sleep(0.01)


def left_behind(mark: str) -> list[int]:
    """Processes that still name this test's folder, or that its cells started."""
    time.sleep(0.3)
    found = []
    for p in psutil.process_iter(["pid", "cmdline", "status"]):
        words = " ".join(p.info["cmdline"] or ())
        if (
            p.info["pid"] != os.getpid()
            and p.info["status"] != psutil.STATUS_ZOMBIE
            and (mark in words or words == "sleep 600")
        ):
            found.append(p.info["pid"])
    return found


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raise", "ValueError: <script>alert('planted')</script>"),
        ("kill", "killed (signal 9)"),
        ("hang", "timed out after 3 s"),
        ("memory", "out of memory: planted"),
        ("short", "the system gave 0 answers to 1 questions"),
    ],
)
def test_a_bad_cell_costs_itself_alone(tmp_path: Path, fault: str, said: str) -> None:
    systems = [{"name": "bad", "kind": ECHO, "fault": fault, "after": 12}, {"name": "good", "kind": ECHO}]
    outcome = run(
        parse(raw_spec(systems=systems, measure={"latency_questions": 8, "warmup": 0, "timeout_s": 3})),
        out=tmp_path,
        store=tmp_path / "s",
    )
    assert outcome.status == "failed" and list(outcome.failed) == ["bad-s1"] and said in outcome.failed["bad-s1"]
    scores = score(outcome.folder)["systems"]
    assert scores["bad"]["status"] == "failed" and scores["good"]["status"] == "done" and scores["good"]["n"] == 40
    assert len([r for r in records(outcome.folder) if r["system"] == "good"]) == 40
    assert not left_behind(str(tmp_path))


def test_a_failed_cell_is_tried_again_and_only_it(tmp_path: Path) -> None:
    systems = [{"name": "bad", "kind": ECHO, "fault": "kill", "after": 12}, {"name": "good", "kind": ECHO}]
    first = run(parse(raw_spec(systems=systems)), out=tmp_path, store=tmp_path / "s")
    systems[0] = {**systems[0], "after": 10_000}
    second = run(parse(raw_spec(systems=systems)), out=tmp_path, store=tmp_path / "s")
    assert (first.computed, second.computed, second.status) == (2, 1, "complete")


def test_second_run_computes_nothing(tmp_path: Path) -> None:
    spec = parse(raw_spec())
    first = run(spec, out=tmp_path, store=tmp_path / "s")
    stamps = {p: p.stat().st_mtime_ns for p in first.folder.rglob("*.json*")}
    second = run(spec, out=tmp_path, store=tmp_path / "s")
    assert (first.computed, second.computed) == (1, 0)
    assert {p: p.stat().st_mtime_ns for p in first.folder.rglob("*.json*")} == stamps


def test_changed_prices_and_names_run_nothing_again(tmp_path: Path) -> None:
    run(parse(raw_spec()), out=tmp_path, store=tmp_path / "s")
    priced = run(parse(raw_spec(prices={"cpu_hour_usd": 2.0})), out=tmp_path, store=tmp_path / "s")
    assert priced.computed == 0
    assert score(priced.folder)["systems"]["echo"]["cost"]["build_usd"] > 0


@pytest.mark.parametrize("answered", [1, 30])
def test_kill_nine_then_resume_equals_an_undisturbed_run(tmp_path: Path, answered: int) -> None:
    tally = tmp_path / "tally"
    plain = {
        "systems": [{"name": "echo", "kind": ECHO, "delay_s": 0.02, "tally": str(tally)}],
        "measure": {"latency_questions": 8, "warmup": 0},
    }
    process = start(tmp_path, **plain)
    await_lines(tally, answered)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not left_behind(str(tmp_path))
    part = tmp_path / "r" / "t" / "cells" / "echo-s1" / "records.jsonl"
    kept = part.read_text().splitlines() if part.exists() else []
    with part.open("a") as f:
        f.write('{"cell": "echo-s1", "quest')  # what a power cut leaves
    code, _, err = finish(start(tmp_path, **plain))
    assert code == 0, err
    again = records(tmp_path / "r" / "t")
    assert again == undisturbed(tmp_path, **plain)
    assert sorted(r["question"] for r in again) == sorted({r["question"] for r in again})
    assert [json.loads(line)["batch_s"] for line in kept] == [
        json.loads(line)["batch_s"] for line in part.read_text().splitlines()[: len(kept)]
    ]


def test_interrupt_leaves_no_child_and_can_go_on(tmp_path: Path) -> None:
    tally = tmp_path / "tally"
    plain = {
        "systems": [{"name": "echo", "kind": ECHO, "delay_s": 0.05, "tally": str(tally)}],
        "measure": {"latency_questions": 8, "warmup": 0},
    }
    process = start(tmp_path, cli=True, **plain)
    await_lines(tally, 5)
    os.killpg(process.pid, signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130 and "run the same command to go on" in err and "Traceback" not in err
    assert json.loads((tmp_path / "r/t/run.json").read_text())["status"] == "incomplete"
    assert not left_behind(str(tmp_path))
    code, _, err = finish(start(tmp_path, **plain))
    assert code == 0, err
    assert records(tmp_path / "r/t") == undisturbed(tmp_path, **plain)


def test_two_runs_on_one_store_are_both_right(tmp_path: Path, tiny_lm: Path) -> None:
    systems = [{"name": "rag", "kind": "rag"}, {"name": "lora", "kind": "lora", "tuning": {"epochs": 1}}]
    both = [start(tmp_path, name=name, systems=systems, model={"name": str(tiny_lm)}) for name in ("one", "two")]
    assert [finish(p)[0] for p in both] == [0, 0]
    one, two = records(tmp_path / "r/one"), records(tmp_path / "r/two")
    assert one == two and len(one) == 80
    built = [
        json.loads((tmp_path / "r" / n / "run.json").read_text())["cells"]["lora-s1"]["artefacts"]
        for n in ("one", "two")
    ]
    assert sorted(a["hit"] for cell in built for a in cell if a["kind"] == "adapter") == [False, True]


def test_one_run_twice_at_once_is_refused(tmp_path: Path) -> None:
    tally = tmp_path / "tally"
    plain = {"systems": [{"name": "echo", "kind": ECHO, "delay_s": 0.1, "tally": str(tally)}]}
    first = start(tmp_path, **plain)
    await_lines(tally, 2)
    code, _, err = finish(start(tmp_path, **plain))
    assert code == 1 and "another process is running this run" in err
    assert finish(first)[0] == 0


def test_killed_while_training_then_resumed(tmp_path: Path, tiny_lm: Path) -> None:
    """The half-trained adapter is never used; the new one is what an undisturbed run trains."""
    plain = {"systems": [{"name": "lora", "kind": "lora", "tuning": {"epochs": 5}}], "model": {"name": str(tiny_lm)}}
    process = start(tmp_path, **plain)
    assert process.stderr
    assert any("training" in line for line in process.stderr)  # it says so before it ends
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    code, _, err = finish(start(tmp_path, **plain))
    assert code == 0, err
    assert records(tmp_path / "r/t") == undisturbed(tmp_path, **plain)


def test_only_whole_batches_are_kept(tmp_path: Path) -> None:
    from bench import native

    test = native.read(MINI).test
    plan = [list(test[:1]), list(test[1:4]), list(test[4:6])]
    path = tmp_path / "records.jsonl"
    rows = [{"batch": n, "question": e.question.id} for n, batch in enumerate(plan) for e in batch]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows[:-1]) + json.dumps(rows[-1])[:9])
    assert whole_batches(path, plan) == {0, 1}
    assert [json.loads(line) for line in path.read_text().splitlines()] == rows[:4]


def test_nothing_is_written_for_a_bad_spec(tmp_path: Path) -> None:
    hollow = tmp_path / "hollow"
    hollow.mkdir()
    (hollow / "config.json").write_text("{}")
    for changes, said in (
        ({"dataset": {"path": str(tmp_path / "none")}}, "no such file or folder"),
        (
            {"model": {"name": "m", "base_url": "http://127.0.0.1:9/v1", "api_key_env": "NOT_SET_ANYWHERE"}},
            "NOT_SET_ANYWHERE is not set",
        ),
        ({"model": {"name": str(tmp_path)}, "systems": [{"name": "c", "kind": "closed_book"}]}, "has no config.json"),
        ({"model": {"name": str(hollow)}, "systems": [{"name": "c", "kind": "closed_book"}]}, "has no weights"),
        ({"model": {"name": "no-such/model"}}, "the hub did not give it"),
        (
            {
                "systems": [{"name": "l", "kind": "lora", "tuning": {"early_stopping": 2}}],
                "dataset": {"path": str(tmp_path / "nodev")},
            },
            "no dev split",
        ),
    ):
        nodev = tmp_path / "nodev"
        nodev.mkdir(exist_ok=True)
        for name in ("corpus", "train", "test"):
            (nodev / f"{name}.jsonl").write_bytes((MINI / f"{name}.jsonl").read_bytes())
        before = {p.name for p in tmp_path.iterdir()}
        with pytest.raises(UserError, match=said):
            run(parse(raw_spec(**changes)), out=tmp_path / "r", store=tmp_path / "s")
        assert {p.name for p in tmp_path.iterdir()} - before <= {"s"}
        assert not list((tmp_path / "s").rglob("manifest.json")) or "no such" not in said  # a good dataset may be kept
        assert not (tmp_path / "r").exists()
