"""The whole pipeline on systems whose truth is known: what each stratum and each special measure must say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import parse
from bench.data.formats import native
from bench.execution.run import run
from tests.conftest import MINI, raw_spec, scores_json

LOOKUP = "tests.kinds.lookup"
SYSTEMS = [
    {"name": "right", "kind": LOOKUP},
    {"name": "stale", "kind": LOOKUP, "stale": True},
    {"name": "styled", "kind": LOOKUP, "styled": True},
    {"name": "echo", "kind": "tests.kinds.echo"},
]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("strata")
    outcome = run(parse(raw_spec(systems=SYSTEMS)), out=root / "r", store=root / "s")
    assert outcome.status == "complete"
    return {n: s["scores"] for n, s in scores_json(outcome.folder)["systems"].items()}


def means(found: dict[str, Any]) -> dict[str, float]:
    return {s: e["mean"] for s, e in found["strata"].items()}


def test_a_system_that_knows_single_facts_is_right_on_those(scored: dict[str, Any]) -> None:
    em = means(scored["right"]["em"])
    assert {s: em[s] for s in ("asked", "corpus_only", "updated", "unanswerable", "general")} == dict.fromkeys(
        ("asked", "corpus_only", "updated", "unanswerable", "general"), 1.0
    )
    assert em["house_style"] == 0.0  # it knows the facts and not the form
    assert means(scored["echo"]["em"])["corpus_only"] == 0.0


def test_form_and_content_are_scored_apart(scored: dict[str, Any]) -> None:
    house = sum(e.stratum == "house_style" for e in native.read_folder(MINI).test)
    assert scored["right"]["content"]["mean"] == 1.0 and scored["right"]["form"]["mean"] == 0.0
    assert scored["styled"]["content"]["mean"] == 1.0 and scored["styled"]["form"]["mean"] == 1.0
    assert means(scored["styled"]["em"])["house_style"] == 1.0
    assert scored["echo"]["content"]["mean"] == scored["echo"]["form"]["mean"] == 0.0
    assert scored["right"]["form"]["n"] == scored["right"]["content"]["n"] == house > 0


def test_after_the_update_the_fresh_are_told_from_the_stale(scored: dict[str, Any]) -> None:
    changed = sum(bool(e.updated) for e in native.read_folder(MINI).test)
    fresh, stale = (scored[n] for n in ("right", "stale"))
    assert (fresh["updated_em"]["mean"], fresh["stale"]["mean"]) == (1.0, 0.0)
    assert (stale["updated_em"]["mean"], stale["stale"]["mean"]) == (0.0, 1.0)
    assert fresh["updated_em"]["n"] == changed > 0
    assert (scored["echo"]["updated_em"]["mean"], scored["echo"]["stale"]["mean"]) == (0.0, 0.0)


def test_a_dataset_without_updates_asks_nothing_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("corpus", "train", "test"):
        (data / f"{name}.jsonl").write_bytes((MINI / f"{name}.jsonl").read_bytes())
    outcome = run(
        parse(raw_spec(dataset={"path": str(data)}, systems=SYSTEMS[:1])), out=tmp_path / "r", store=tmp_path / "s"
    )
    scores = scores_json(outcome.folder)["systems"]["right"]["scores"]
    assert scores["updated_em"] is None and scores["stale"] is None and scores["form"] is not None
