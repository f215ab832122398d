"""The scenario tables of runs whose answers are counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.report import report
from bench.scoring.schema import ScenarioTables
from bench.verdict.score import score
from tests.made_up import Asked, Made, asked, saying, scored, showing


def tables(folder: Path, systems: dict[str, Made], questions: list[Asked], **spec: Any) -> ScenarioTables:
    return scored(folder, systems, questions, **spec).scenarios


def scenario(name: str, of: str, what: str = "", value: Any = True) -> dict[str, Any]:
    return {"name": name, "of": of, "what": what, "value": value}


def adapter(seconds: float) -> dict[str, Any]:
    return {"artefacts": [{"kind": "adapter", "build_s": seconds, "bytes": 1, "hit": False}]}


CHANGED = [
    Asked(f"q{i}", updated=("new",) if i < 20 else (), stratum="updated" if i < 20 else "all") for i in range(40)
]
BEFORE = saying((range(2), "new"), (range(2, 10), "yes"), (range(20, 40), "yes"))
AFTER = saying((range(14), "new"), (range(14, 18), "yes"), (range(20, 35), "yes"))


def test_freshness(tmp_path: Path) -> None:
    """20 changed facts: 2 were said before they held, 14 are said anew and 4 as of old; 15 of 20 others are."""
    strata = [Asked(f"q{i}", stratum="changed" if i < 20 else "unchanged") for i in range(40)]
    anew = Made(
        saying((range(16), "yes"), (range(20, 30), "yes")),
        kind="lora", tuned=True, scenario=scenario("freshness", "lora"), on=strata, cell=adapter(30.0),
    )  # fmt: skip
    systems = {
        "rag": Made(BEFORE, kind="rag", later=AFTER, cell={"refresh_s": 7.2}),
        "lora": Made(BEFORE, kind="lora", tuned=True, later=AFTER, cell={"refresh_s": None, **adapter(20.0)}),
        "full": Made(BEFORE, kind="lora", tuned=True, later=AFTER, cell={"refresh_s": None, **adapter(50.0)}),
        "never": Made(BEFORE, kind="rag"),
        "freshness.lora": anew,
    }
    found = tables(tmp_path / "r", systems, CHANGED, prices={"cpu_hour_usd": 10.0}).freshness
    assert found is not None and [row.system for row in found] == ["rag", "lora", "full"]
    for row in found:
        assert [e.mean for e in (row.before_em, row.updated_em, row.stale, row.kept_em)] == [0.1, 0.7, 0.2, 0.75]
        assert [e.n for e in (row.before_em, row.updated_em, row.stale, row.kept_em)] == [20, 20, 20, 20]
    rag, lora, full = found
    assert (rag.refresh_s, rag.refresh_usd, rag.retrain_s) == (7.2, pytest.approx(0.02), None)
    assert (rag.retrained_changed, rag.retrained_unchanged) == (None, None)
    assert (lora.retrain_s, lora.retrained_changed.mean, lora.retrained_unchanged.mean) == (30.0, 0.8, 0.5)
    assert (full.retrain_s, full.retrained_changed, full.retrained_unchanged) == (50.0, None, None)


def test_facts_that_an_update_withdraws_and_brings(tmp_path: Path) -> None:
    """Ten withdrawn: 6 abstain then, 3 say the old fact. Ten new: 8 are said. Of both two abstained before."""
    questions = [Asked(f"q{i}", withdrawn=True) for i in range(10)]
    questions += [Asked(f"q{i}", answers=(), updated=("new",)) for i in range(10, 20)] + [Asked("q20")]
    before = saying((range(2), "I do not know"), (range(2, 10), "yes"), (range(10, 12), "new"), (range(20, 21), "yes"))
    after = saying(
        (range(6), "I do not know"), (range(6, 9), "yes"), (range(10, 18), "new"), (range(20, 21), "I do not know")
    )
    found = tables(tmp_path, {"rag": Made(before, kind="rag", later=after)}, questions).freshness
    assert found is not None
    row = found[0]
    scores = (row.before_em, row.updated_em, row.stale, row.kept_em)
    assert [(e.mean, e.n) for e in scores if e] == [(0.2, 20), (0.7, 20), (0.3, 10), (0.0, 1)]


def test_passage_against_memory(tmp_path: Path) -> None:
    """Of what was tuned and shows passages alone: whether it says the new fact that they say, or the old one."""
    systems = {
        "both": Made(showing(BEFORE), tuned=True, later=AFTER),
        "memory": Made(BEFORE, kind="lora", tuned=True, later=AFTER),
        "reader": Made(showing(BEFORE), kind="rag", later=AFTER),
        "unasked": Made(showing(BEFORE), tuned=True),
    }
    found = tables(tmp_path / "r", systems, CHANGED).robustness
    assert found is not None
    assert [(r.reader, r.what, r.value, r.measure, r.score.mean) for r in found] == [
        ("both", "counterfactual", "follows the passage", "Exact match after the update", 0.7),
        ("both", "counterfactual", "follows its memory", "Stale after the update", 0.2),
    ]


def test_robustness(tmp_path: Path) -> None:
    """What was varied, in order; where the gold passage is absent it is abstaining that counts."""
    half, silent = saying((range(20), "yes")), saying((range(10), "unknown"))
    systems = {
        "oracle": Made(saying((range(40), "yes"))),
        "robustness.0": Made(half, scenario=scenario("robustness", "oracle", "distractors", 0)),
        "robustness.absent": Made(silent, scenario=scenario("robustness", "oracle", "gold passage", "absent")),
    }
    found = tables(tmp_path / "r", systems, asked(40)).robustness
    assert [(r.reader, r.what, r.value, r.measure, r.score.mean) for r in found] == [
        ("oracle", "distractors", 0, "Exact match", 0.5),
        ("oracle", "gold passage", "absent", "abstains", 0.25),
    ]


def test_learning_curve(tmp_path: Path) -> None:
    """On the questions that all sizes were asked; beside the better retrieval; from where it is no longer behind."""
    few = asked(40)[:30]
    systems = {
        "weak": Made(saying((range(5), "yes")), kind="rag"),
        "rag": Made(saying((range(12), "yes")), kind="rag"),
        "lora": Made(saying((range(24), "yes")), kind="lora", tuned=True),
        "data.lora-12": Made(
            saying((range(12), "yes")), kind="lora", tuned=True, on=few, scenario=scenario("data", "lora", "", 12)
        ),
        "data.lora-5": Made(
            saying((range(3), "yes")), kind="lora", tuned=True, on=few, scenario=scenario("data", "lora", "", 5)
        ),
    }
    found = tables(tmp_path / "r", systems, asked(40)).data
    assert found is not None and (found.system, found.metric, found.retrieval, found.crossing) == (
        "lora",
        "em",
        "rag",
        12,
    )
    assert found.retrieval_score.mean == pytest.approx(12 / 30) and found.retrieval_score.n == 30
    assert [row.size for row in found.rows][:2] == [5, 12] and len(found.rows) == 3
    assert [row.score.mean for row in found.rows] == pytest.approx([3 / 30, 12 / 30, 24 / 30])
    assert [row.against.difference for row in found.rows] == pytest.approx([-9 / 30, 0.0, 12 / 30])
    systems["data.lora-5"] = replace(systems["data.lora-5"], says=saying((range(12), "yes")))
    again = tables(tmp_path / "again", systems, asked(40)).data
    assert again.crossing == 5  # the least, in whatever order the sizes are given
    page = report(tmp_path / "again").read_text()
    assert "at 5 training questions, where the comparison of the two is inconclusive." in page
    alone = tables(tmp_path / "alone", {n: m for n, m in systems.items() if m.kind != "rag"}, asked(40)).data
    assert (alone.retrieval, alone.retrieval_score, alone.crossing) == (None, None, None)
    assert [row.against for row in alone.rows] == [None] * 3
    assert tables(tmp_path / "none", {"rag": systems["rag"]}, asked(40)).data is None


def test_house_style(tmp_path: Path) -> None:
    """Form and content of who was asked for it."""
    orders = [Asked(f"q{i}", answers=("Order tin, b",), form="Order [^,]+, b", facts=("tin",)) for i in range(20)]
    says = saying((range(5), "Order tin, b"), (range(5, 12), "Order x, b"), (range(12, 15), "tin"))
    found = tables(tmp_path / "r", {"lora": Made(says)}, orders).style
    assert [(row.system, row.form.mean, row.content.mean) for row in found] == [("lora", 0.6, 0.4)]
    assert tables(tmp_path / "none", {"lora": Made(says)}, asked(20)).style is None


def test_forgetting(tmp_path: Path) -> None:
    """The same passages read by the base and by the tuned model, all of them and those of another world."""
    block = {"reader": "oracle", "adapters": ["lora"]}
    questions = [Asked(f"q{i}", stratum="general" if i < 20 else "all") for i in range(40)]
    part = questions[:30]
    systems = {
        "oracle": Made(saying((range(35), "yes"))),
        "lora": Made(saying(), kind="lora", tuned=True),
        "reads-after": Made(
            saying((range(10), "yes"), (range(20, 28), "yes")), on=part, scenario=scenario("forgetting", "lora")
        ),
    }
    assert tables(tmp_path / "r", systems, questions).forgetting is None
    file = tmp_path / "r" / "run.json"
    raw = json.loads(file.read_text())
    raw["spec"]["scenarios"]["forgetting"] = block
    file.write_text(json.dumps(raw))
    file.with_name("scores.json").unlink()
    found = score(tmp_path / "r").scenarios.forgetting
    assert [(r.system, r.stratum, r.before.mean, r.after.mean) for r in found] == [
        ("lora", "all", 1.0, 0.6),
        ("lora", "general", 1.0, 0.5),
    ]
    assert [r.before.n for r in found] == [30, 20]
    assert [r.difference.difference for r in found] == pytest.approx([-0.4, -0.5])


def test_recall_and_provenance(tmp_path: Path) -> None:
    varied = scenario("recall", "rag", "ef_search", 4)
    half = saying((range(20), "yes"))
    systems = {
        "rag": Made(showing(half), kind="rag"),
        "recall.rag-4": Made(half, kind="rag", scenario=varied),
        "plain": Made(half),
    }
    found = tables(tmp_path / "r", systems, asked(40))
    (row,) = found.recall
    assert (row.system, row.what, row.value, row.score.mean) == ("rag", "ef_search", 4, 0.5) and row.p50_s > 0
    assert [(r.system, r.shows) for r in found.provenance] == [("rag", True), ("plain", False)]
