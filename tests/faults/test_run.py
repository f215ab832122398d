"""Runs whose cells crash, hang and lie, and specs that are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import parse
from bench.core.errors import UserError
from bench.execution.cell import whole_batches
from bench.execution.run import run
from tests.conftest import MINI, raw_spec, scores_json
from tests.processes import ECHO, left_behind, records


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
    scores = scores_json(outcome.folder)["systems"]
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


@pytest.mark.parametrize("damaged", ['{"status": "comp', "[1]", ""])
def test_a_damaged_run_file_costs_no_cell(tmp_path: Path, damaged: str) -> None:
    spec = parse(raw_spec())
    path = run(spec, out=tmp_path, store=tmp_path / "s").folder / "run.json"
    path.write_text(damaged)
    again = run(spec, out=tmp_path, store=tmp_path / "s")
    assert (again.computed, again.status) == (0, "complete")
    assert path.with_name("run.json.damaged").read_text() == damaged


def test_changed_prices_and_names_run_nothing_again(tmp_path: Path) -> None:
    run(parse(raw_spec()), out=tmp_path, store=tmp_path / "s")
    priced = run(parse(raw_spec(prices={"cpu_hour_usd": 2.0})), out=tmp_path, store=tmp_path / "s")
    assert priced.computed == 0
    assert scores_json(priced.folder)["systems"]["echo"]["cost"]["build_usd"] > 0


STORING = """
import time
from tests.kinds.echo import Config, Echo

class Stored(Echo):
    def __init__(self, config, store):
        super().__init__(config)
        self.store = store
        self.refresh(None)
    def refresh(self, material):
        def make(folder):
            time.sleep(0.0 if material is None else 0.2)
            return {}
        self.store.get({"kind": "index", "version": 1, "updated": material is not None}, make)

def build(config, material, store):
    return Stored(config, store)
"""


def test_a_refresh_takes_what_its_build_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run finds the updated index in the store: its update is no faster for that."""
    (tmp_path / "stored").mkdir()
    (tmp_path / "stored" / "kind.py").write_text(STORING)
    monkeypatch.syspath_prepend(tmp_path)
    seconds = []
    for name in ("one", "two"):
        spec = parse(raw_spec(name=name, systems=[{"name": "a", "kind": "stored.kind"}]))
        folder = run(spec, out=tmp_path / "r", store=tmp_path / "s").folder
        seconds.append(json.loads((folder / "run.json").read_text())["cells"]["a-s1"]["refresh_s"])
    assert 0.2 <= seconds[1] < 2 * seconds[0] and seconds[0] >= 0.2


def test_only_whole_batches_are_kept(tmp_path: Path) -> None:
    from bench.data.formats import native

    test = native.read_folder(MINI).test
    plan = [list(test[:1]), list(test[1:4]), list(test[4:6])]
    path = tmp_path / "records.jsonl"
    rows = [{"batch": n, "question": e.question.id, "answer": {}} for n, batch in enumerate(plan) for e in batch]
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
