"""Every scenario at its smallest, from the block of the spec to its table."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from bench import parse
from bench.core.errors import UserError
from bench.core.store import Store
from bench.core.vocabulary import Record
from bench.execution.run import prepare, run
from bench.report import report
from bench.spec.cells import cells
from tests.conftest import MINI, raw_spec, scores_json

SYSTEMS = [
    {"name": "oracle", "kind": "oracle", "distractors": 3},
    {"name": "rag", "kind": "rag", "retrieval": {"index": "faiss_ivf"}},
    {"name": "churned", "kind": "rag", "retrieval": {"index": "hnswlib"}},
    {"name": "lora", "kind": "lora"},
]
SCENARIOS = {
    "sample": {"questions": 10},
    "freshness": {"retrain": ["lora"]},
    "data": {"system": "lora", "sizes": [8]},
    "forgetting": {"reader": "oracle", "adapters": ["lora"]},
    "robustness": {"reader": "oracle", "noise": [0], "places": ["first", "last"]},
    "recall": [{"system": "rag", "nprobe": [1]}, {"system": "churned", "ef_search": [4]}],
    "churn": {"system": "churned", "rounds": 3},
}


def spec(tiny: Path, **changes: Any) -> dict[str, Any]:
    tuning = {"epochs": 1, "batch_size": 4, "max_steps": 2}
    return raw_spec(
        model={"name": str(tiny)}, systems=SYSTEMS, tuning=tuning, scenarios=SCENARIOS, margin=0.05, **changes
    )


@pytest.fixture(scope="module")
def outcome(tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("scenarios")
    found = run(parse(spec(tiny_lm)), out=root / "r", store=root / "s")
    assert found.status == "complete", found.failed
    return found


@pytest.fixture(scope="module")
def tables(outcome: Any) -> dict[str, Any]:
    return scores_json(outcome.folder)


@pytest.mark.heavy
def test_every_scenario_has_its_table(tables: dict[str, Any]) -> None:
    s = tables["scenarios"]
    assert all(s.values()), {k for k, v in s.items() if not v}
    assert [r["size"] for r in s["data"]["rows"]] == [8, 60]
    assert {r["score"]["n"] for r in s["data"]["rows"]} == {r["against"]["n"] for r in s["data"]["rows"]} == {10}
    assert [(r["reader"], r["value"]) for r in s["robustness"]] == [
        ("oracle", v) for v in (0, "first", "last", "absent")
    ]
    anew = {r["system"]: r for r in s["freshness"]}
    assert (
        anew["lora"]["retrained_changed"]["n"]
        == anew["lora"]["updated_em"]["n"]
        == anew["lora"]["retrained_unchanged"]["n"]
    )
    assert anew["lora"]["retrain_s"] > 0 and anew["rag"]["retrained_changed"] is None
    assert {r["stratum"] for r in s["forgetting"]} >= {"all"}
    assert [(r["system"], r["value"]) for r in s["recall"]] == [("rag", 1), ("churned", 4)]
    assert {r["system"] for r in s["provenance"] if r["shows"]} == {"oracle", "rag", "churned"}


@pytest.mark.heavy
def test_their_systems_stay_out_of_the_comparison(tables: dict[str, Any]) -> None:
    assert list(tables["systems"]) == [s["name"] for s in SYSTEMS]
    assert {n for p in tables["compared"]["em"] for n in (p["a"], p["b"])} == set(tables["systems"])
    assert set(tables["recommendation"]["needs"]) == {"rag", "churned", "lora"}


@pytest.mark.heavy
def test_an_updated_index_is_measured_against_a_new_one(tables: dict[str, Any]) -> None:
    churned = tables["scenarios"]["churn"][0]
    assert churned["rounds"] == 3 and 0.8 < churned["recall_in_place"] <= 1.0 and churned["recall_rebuilt"] >= 0.95
    assert churned["update_s"] > 0 and churned["rebuild_s"] > 0
    assert churned["recall"] >= 0.95 and churned["effort"].startswith("ef_search ") and churned["p50_s"] > 0
    assert churned["filtered"]["recall"] > 0.9 and churned["disk_bytes"] > 0 and churned["server_bytes"] is None


@pytest.mark.heavy
def test_the_page_shows_them(outcome: Any) -> None:
    page = report(outcome.folder).read_text()
    for title in (
        "When documents change",
        "How much training data",
        "Forgetting",
        "How passages are used",
        "Effect of index recall on accuracy",
        "Provenance",
        "Indexes by themselves",
    ):
        assert title in page


@pytest.mark.heavy
def test_positions_and_absence_are_what_they_say(outcome: Any) -> None:
    from bench.scoring.records import read_records

    by_cell: dict[str, list[Record]] = defaultdict(list)
    for record in read_records(outcome.folder):
        by_cell[record.cell].append(record)
    single = [r for r in by_cell["robustness.gold-first-s1"] if len(r.gold) == 1]
    assert single and all(r.answer.hits and r.answer.hits[0].passage_id == r.gold[0] for r in single)
    last = [r for r in by_cell["robustness.gold-last-s1"] if len(r.gold) == 1]
    assert all(r.answer.hits and r.answer.hits[-1].passage_id == r.gold[0] for r in last)
    absent = by_cell["robustness.gold-absent-s1"]
    assert all(not {h.passage_id for h in r.answer.hits or ()} & {*r.gold} for r in absent)
    assert all(len(r.answer.hits or ()) == 4 for r in absent if len(r.gold) <= 1)


def test_tuned_readers_read_the_same(tiny_lm: Path) -> None:
    wide = spec(tiny_lm) | {
        "scenarios": {"robustness": {"reader": "oracle", "adapters": ["lora"], "noise": [2], "places": []}}
    }
    found = {c.system: c.config for c in cells(parse(wide)) if c.scenario}
    assert list(found) == [
        "robustness.distractors-2",
        "robustness.distractors-2+lora",
        "robustness.gold-absent",
        "robustness.gold-absent+lora",
    ]
    assert (
        found["robustness.distractors-2+lora"]["distractors"] == 2 and not found["robustness.gold-absent+lora"]["gold"]
    )


def test_a_smaller_draw_is_part_of_a_larger_one() -> None:
    from bench.core.vocabulary import Example, Question
    from systems.parts.tuned import drawn

    train = [Example(Question(f"q{i}", "?"), ("a",)) for i in range(40)]
    few, many = drawn(train, 5, 1), drawn(train, 20, 1)
    assert len(few) == 5 and len(many) == 20 and {e.question.id for e in few} <= {e.question.id for e in many}
    assert drawn(train, 5, 2) != few and drawn(train, None, 1) == tuple(train)


def test_training_anew_takes_an_update(tiny_lm: Path) -> None:
    wrong = spec(tiny_lm, dataset={"path": str(MINI), "max_test": 1}) | {
        "scenarios": {"freshness": {"retrain": ["lora"]}}
    }
    with pytest.raises(UserError, match=r"scenarios.freshness.*no test question has `updated`"):
        prepare(parse(wrong), Store(tiny_lm / "store"))


def test_a_scenario_of_no_system_is_told(tiny_lm: Path) -> None:
    wrong = spec(tiny_lm)
    wrong["scenarios"] = {"data": {"system": "lorra", "sizes": [4]}}
    with pytest.raises(UserError, match=r"scenarios.data.system.*lorra.*Did you mean 'lora'"):
        cells(parse(wrong))
