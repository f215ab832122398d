"""What a plan tells of the time that cells will take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import parse
from bench.core.place import processor
from bench.execution.arithmetic import Needed
from bench.execution.experience import NAME, expected_s, remember, remembered
from bench.execution.plan import SLOWER, START_S, plan, together
from bench.execution.run import run
from tests.conftest import EMBEDDER, raw_spec

HERE = "a processor"


def took(root: Path, *, operations: float, seconds: float, kind: str = "rag", trained: float | None = None) -> None:
    built = [{"kind": "adapter", "hit": False, "build_s": trained}] if trained else []
    result = {"artefacts": built, "started": 0.0, "ended": seconds + (trained or 0.0)}
    remember(root, HERE, kind, Needed(operations, 10 * operations, 0, "", None), result)


def test_the_nearest_in_size_of_the_same_kind_and_part_are_told(tmp_path: Path) -> None:
    for operations, seconds in ((1e9, 2.0), (2e9, 4.4), (1e12, 5.0)):
        took(tmp_path, operations=operations, seconds=seconds)
    took(tmp_path, operations=1e9, seconds=50.0, kind="lora", trained=80.0)
    before = remembered(tmp_path, HERE)
    assert expected_s(before, "answering", "rag", 1e9) == pytest.approx(2.1)  # of 2 and 2.2
    assert expected_s(before, "answering", "rag", 3e9) == pytest.approx(6.3)
    assert expected_s(before, "answering", "rag", 1e10) is None  # no such size
    assert expected_s(before, "training", "lora", 2e10) == pytest.approx(160.0)
    assert expected_s(before, "training", "rag", 1e9) is None


def test_another_device_or_a_damaged_file_tells_nothing(tmp_path: Path) -> None:
    assert remembered(tmp_path, HERE) == []
    took(tmp_path, operations=1e9, seconds=2.0)
    assert remembered(tmp_path, "another") == [] and len(remembered(tmp_path, HERE)) == 1
    (tmp_path / NAME).write_text('{"part": 1}\n')
    assert remembered(tmp_path, HERE) == []


def test_a_plan_tells_what_all_cells_take_together(tmp_path: Path) -> None:
    systems = [{"name": name, "kind": "tests.kinds.echo"} for name in ("a", "b", "c")]
    spec = parse(raw_spec(systems=systems))
    told = [{"cached": False, "seconds_range": ends} for ends in ((1.0, 2.0), (3.0, 5.0), None)]
    told.append({"cached": True, "seconds_range": (100.0, 100.0)})
    assert list(together(told)) == [
        "The cells that are to run take 4 s to 7 s together, without 1 cell of which nothing is known."
    ]
    assert list(together([told[0]])) == []
    run(spec, out=tmp_path / "r", store=tmp_path / "s")
    _, notes = plan(spec, out=tmp_path / "r", store=tmp_path / "s")
    assert not any("together" in note for note in notes)  # all are there


@pytest.mark.heavy
def test_a_plan_knows_what_like_cells_took_and_gives_a_range_before(tiny_lm: Path, tmp_path: Path) -> None:
    """What was told of the same systems in another run is within a factor of two of what they take."""
    systems = [
        {"name": "rag", "kind": "rag"},
        {"name": "tuned", "kind": "lora", "tuning": {"epochs": 1, "max_steps": 4}},
        {"name": "both", "kind": "hybrid", "rag": "rag", "adapter": "tuned"},
    ]
    raw = raw_spec(model={"name": str(tiny_lm)}, embedder={"name": str(EMBEDDER)}, systems=systems, control=False)
    store = tmp_path / "s"
    rows, _ = plan(parse(raw), out=tmp_path / "a", store=store)
    each = [[seconds - start for seconds, start in zip(row["seconds_range"], START_S, strict=True)] for row in rows]
    assert all(most == pytest.approx(SLOWER * least) for least, most in each)
    assert "up to" in rows[0]["basis"]
    assert rows[2]["seconds"] < rows[1]["seconds"] + rows[0]["seconds"]  # its adapter is trained once
    run(parse(raw), out=tmp_path / "b", store=store)
    kept = [json.loads(line) for line in (store / NAME).read_text().splitlines()]
    assert [(k["part"], k["kind"]) for k in kept] == [
        ("answering", "rag"),
        ("answering", "lora"),
        ("training", "lora"),
        ("answering", "hybrid"),
    ]
    assert {k["place"] for k in kept} == {processor()}
    rows, _ = plan(parse(raw | {"name": "other"}), out=tmp_path / "a", store=store)
    took_s = {k["kind"]: sum(other["seconds"] for other in kept if other["kind"] == k["kind"]) for k in kept}
    for row in rows:
        assert row["seconds"] == pytest.approx(took_s[row["kind"]], rel=1e-6) and "here" in row["basis"]
