"""The slowdown experiment at its smallest, from its spec to the claims it decides."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench import parse
from bench.core.digest import sealed
from bench.core.errors import UserError
from bench.execution.run import run
from bench.report import report
from tests.conftest import raw_spec, scores_json


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("slowdown")
    system = {"name": "slowdown", "kind": "slowdown", "tokens": [8, 16], "pairs": 8, "warmup": 1}
    spec = raw_spec(model={"shape": "tiny"}, systems=[system], tuning={"rank": 4})
    return run(parse(spec), out=root / "r", store=root / "s")


@pytest.mark.heavy
def test_the_pair_is_timed_and_its_memory_taken(outcome: Any) -> None:
    assert outcome.status == "complete", outcome.failed
    found = scores_json(outcome.folder)
    (facts,) = found["experiments"]["slowdown"]
    assert facts["random_weights"] and facts["device"] == "cpu" and facts["model"] == "tiny"
    assert [p["tokens"] for p in facts["points"]] == [8, 16]
    for p in facts["points"]:
        assert p["pairs"] == 8 and p["low"] <= p["ratio"] <= p["high"] and p["lora_s"] > 0 and p["qlora_s"] > 0
    memory = facts["memory"]
    assert len(memory["lora_runs"]) == len(memory["qlora_runs"]) == 3 and min(memory["lora_runs"]) > 1e6
    assert memory["qlora_bytes"] == sorted(memory["qlora_runs"])[1] > 1e6 and facts["parameters"] > 1e6
    claims = {c["id"]: c["status"] for c in found["claims"]}
    assert claims["qlora-slower"] != "not tested" and claims["qlora-memory"] != "not tested"
    assert claims["rag-external"] == claims["qlora-70b"] == "not tested"
    page = report(outcome.folder).read_text()
    assert "QLoRA against LoRA, step by step" in page and "The weights are random" in page


@pytest.mark.heavy
def test_both_recipes_are_told_by_name(outcome: Any, tmp_path: Path) -> None:
    """What a page says of QLoRA is of the base's precision alone, or of the whole recipe of its authors."""
    found = scores_json(outcome.folder)
    (facts,) = found["experiments"]["slowdown"]
    memory = facts["memory"] | {"loading": {"qlora": 7_700_000_000}, "process": {"qlora": 8_800_000_000}}
    authors = {**facts, "recipe": {**facts["recipe"], "upcast": True}, "memory": memory}
    found["experiments"]["authors"] = [authors]
    copy = shutil.copytree(outcome.folder, tmp_path / "copy")
    (copy / "scores.json").write_text(json.dumps(found | {"seal": sealed(found)}))
    page = report(copy).read_text()
    assert "<td>base precision alone</td>" in page and "<td>the whole recipe of QLoRA&#39;s authors</td>" in page
    assert "loading 7.7 GB" in page and "whole process 8.8 GB" in page


OWN = """
from bench.core.system import SystemConfig

class Config(SystemConfig):
    says: str = "memory"

def measure(config, material, store):
    memory = {"lora_bytes": 8_000_000_000, "qlora_bytes": 5_000_000_000}
    return {"model": "phi", "device": "cuda", "memory": memory} if config.says == "memory" else [1, 2]
"""


@pytest.fixture
def own_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "bought").mkdir()
    (tmp_path / "bought" / "experiment.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return "bought.experiment"


def test_an_experiment_of_ones_own_may_tell_the_memory_alone(own_kind: str, tmp_path: Path) -> None:
    outcome = run(parse(raw_spec(systems=[{"name": "own", "kind": own_kind}])), out=tmp_path / "r", store=tmp_path)
    claims = {c["id"]: c["status"] for c in scores_json(outcome.folder)["claims"]}
    assert claims["qlora-memory"] == "confirmed" and claims["qlora-slower"] == "not tested"
    assert "<td>5 GB</td>" in report(outcome.folder).read_text()


def test_facts_that_are_no_mapping_cost_their_cell_alone(own_kind: str, tmp_path: Path) -> None:
    systems = [{"name": "own", "kind": own_kind, "says": "a list"}, *raw_spec()["systems"]]
    outcome = run(parse(raw_spec(systems=systems)), out=tmp_path / "r", store=tmp_path)
    (reason,) = outcome.failed.values()
    assert "must return a dict" in reason and outcome.status == "failed"


def test_a_shape_is_a_model_of_those_dimensions() -> None:
    from bench.core.blocks import Model
    from systems.parts import lm

    native, tokenizer = lm.load(Model(shape="tiny"), precision="native")
    four, _ = lm.load(Model(shape="tiny"), precision="nf4")
    assert native.config.hidden_size == 256 and native.config.num_hidden_layers == 4
    assert four.get_memory_footprint() < native.get_memory_footprint()
    assert len(tokenizer) <= native.config.vocab_size


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"name": "micro", "shape": "tiny"}, "not both"),
        ({"shape": "huge"}, "model.shape"),
        ({}, "give `name`"),
    ],
)
def test_a_model_is_a_name_or_a_shape(model: dict[str, str], says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says):
        parse(raw_spec(model=model))
