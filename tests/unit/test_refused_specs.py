"""Specs that say something else than they seem to, and what is said of them before anything runs."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.core.errors import UserError
from bench.core.store import Store
from bench.execution.pinning import prepare
from bench.spec import kinds
from bench.spec.cells import cells
from bench.spec.load import load, parse
from bench.spec.scenarios import EFFORTS
from tests.conftest import EMBEDDER, raw_spec

RAG: dict[str, Any] = {"name": "rag", "kind": "rag"}
LORA: dict[str, Any] = {"name": "lora", "kind": "lora"}
HYBRID: dict[str, Any] = {"name": "both", "kind": "hybrid", "rag": "rag", "adapter": "lora"}


def refused(folder: Path, **changes: Any) -> str:
    """What is said of a spec with these changes."""
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(raw_spec(**changes), sort_keys=False))
    with pytest.raises(UserError) as said:
        prepare(load(path), Store(folder / "store"))
    return str(said.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": [1, 2, 1]}, "the seed 1 stands twice"),
        ({"seeds": [-1]}, "seeds"),
        ({"seeds": [2**32]}, "seeds"),
        ({"systems": [LORA | {"seed": 7}]}, "system 'lora' has a seed of its own. Seeds are of the whole spec"),
        ({"systems": [LORA | {"matrix": {"seed": [1, 2]}}]}, "system 'lora' has a seed of its own."),
        ({"systems": [RAG], "matrix": {"retrievel.k": [1, 8]}}, "'retrievel.k', and no system has it. Did you mean"),
        ({"systems": [RAG], "matrix": {"retrieval.k": []}}, "retrieval.k"),
        ({"systems": [RAG | {"matrix": {"retrieval.k": []}}]}, "retrieval.k"),
        (
            {"systems": [RAG, LORA, HYBRID], "matrix": {"retrieval.k": [2, 4]}},
            "names 'rag' as its rag, and a matrix makes 2 systems of that one. Name one of them: rag+k=2, rag+k=4.",
        ),
        ({"systems": [RAG | {"name": "r" * 200}]}, "has 200 characters; 150 are allowed"),
        ({"systems": [RAG], "matrix": {"prompt.system": ["careful " * 40]}}, "150 are allowed"),
        ({"systems": [RAG], "retrieval": {"k": True}}, "`k` is a number, and true is none"),
        ({"systems": [RAG | {"retrieval": {"k": True}}]}, "`k` is a number, and true is none"),
        ({"prices": {"cpu_hour_usd": True}}, "`cpu_hour_usd` is a number, and true is none"),
        ({"tuning": {"epochs": False}}, "`epochs` is a number, and false is none"),
        ({"dataset": {"path": "~nobody-is-called-so/x"}}, "there is no such user's folder"),
        ({"model": {"name": "m", "base_url": "localhost:8000/v1"}}, "an address such as http://localhost:8000/v1"),
        ({"model": {"name": "m", "base_url": "http://localhost:99999/v1"}}, "an address such as"),
        (
            {"systems": [RAG], "scenarios": {"recall": [{"system": "rag", "ef_search": [2]}]}},
            "'rag', whose index is faiss_flat, has no ef_search.",
        ),
        (
            {
                "systems": [RAG | {"retrieval": {"mode": "bm25"}}],
                "scenarios": {"recall": [{"system": "rag", "nprobe": [2]}]},
            },
            "'rag', has no vector index, and so no nprobe.",
        ),
        ({"systems": [RAG], "scenarios": {"freshness": {"retrain": ["rag"]}}}, "'rag' is not trained"),
        ({"systems": [LORA], "scenarios": {"churn": {"system": "lora"}}}, "'lora' has no index"),
        (
            {"systems": [RAG | {"sample": {"questions": 3, "strata": ["two-hop"]}}]},
            "is asked a sample of the type 'two-hop', and no test question is of it. Did you mean 'two_hop'?",
        ),
    ],
)
def test_what_is_said(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said in refused(tmp_path, **changes)


@pytest.mark.parametrize("name", kinds.indexes())
def test_what_a_search_can_be_given_more_of_is_known_without_its_library(name: str) -> None:
    try:
        module = importlib.import_module(f"systems.parts.index.{name}")
    except ImportError as e:
        pytest.skip(f"{e.name} is not installed")
    assert EFFORTS[name] == module.EFFORT


def test_a_merged_entry_may_change_what_it_merges(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(
        yaml.safe_dump(raw_spec(systems=[]), sort_keys=False).replace(
            "systems: []",
            "systems:\n- &r { name: rag, kind: rag, retrieval: { k: 3 } }\n"
            "- { <<: *r, name: rag-5, retrieval: { k: 5 } }",
        )
    )
    assert {c.system: c.config["retrieval"]["k"] for c in cells(load(path))} == {"rag": 3, "rag-5": 5}
    path.write_text(path.read_text().replace("name: rag-5,", "name: rag-5, name: rag-6,"))
    with pytest.raises(UserError, match="`name` stands twice"):
        load(path)


def test_an_embedder_without_its_tokenizer_is_told_before_anything_runs(tmp_path: Path) -> None:
    folder = tmp_path / "embedder"
    shutil.copytree(EMBEDDER, folder)
    (folder / "tokenizer.json").unlink()
    assert "the embedder folder has no tokenizer" in refused(tmp_path, systems=[RAG], embedder={"name": str(folder)})


def test_a_hybrid_asks_in_the_prompt_of_its_adapter(tmp_path: Path) -> None:
    brief = {"system": "Be brief."}
    told = refused(tmp_path, systems=[RAG, LORA | {"prompt": brief}, HYBRID])
    assert "system 'both' would ask in another prompt than 'lora', which has one of its own." in told
    same = raw_spec(systems=[RAG, LORA | {"prompt": brief}, HYBRID | {"prompt": brief}])
    assert len(cells(parse(same))) == 3
    pissa = LORA | {"tuning": {"variant": "pissa", "modules_to_save": ["embed_tokens"]}}
    assert "leave `modules_to_save` out" in refused(tmp_path, systems=[pissa])
