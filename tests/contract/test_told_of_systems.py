"""What the page says of each system: how it is served, what makes it this one, and what its index was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.core.vocabulary import Answer
from bench.execution.run_file import read_run
from bench.report import report
from bench.report.caveats import caveats
from bench.report.page import describe, pinned
from tests.made_up import Asked, Made, Says, asked, right, scored

TUNED: dict[str, Any] = {"tuned": True, "kind": "lora"}


def but_for(says: Says, count: int) -> Says:
    """The same, with other words on the first questions."""

    def other(question: Asked, seed: int) -> Answer:
        return Answer("perhaps") if int(question.id[1:]) < count else says(question, seed)

    return other


def test_answers_that_merging_changed_are_counted_and_the_mode_stands_under_the_name(tmp_path: Path) -> None:
    made = {
        "beside": Made(right(0.6), **TUNED, config={"serving": "adapter"}),
        "merged": Made(but_for(right(0.6), 7), **TUNED, config={"serving": "merged"}),
        "alone": Made(right(0.5, "b"), **TUNED, config={"serving": "adapter", "tuning.rank": 4}),
    }
    scores = scored(tmp_path, made, asked(40))
    found = scores.measured["merged"].served_otherwise
    assert found and (found.beside, found.n, found.changed) == ("beside", 40, 7)
    assert scores.measured["beside"].served_otherwise is None
    said = next(c for c in caveats(read_run(tmp_path), scores) if "with the adapter beside its base" in c)
    assert said.startswith("alone:")  # the one that was not measured merged
    report(tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "7 of 40 answers differ from those of beside" in page
    assert '<th scope="row">merged<span class="low">merged</span></th>' in page
    assert '<th scope="row">beside</th>' in page


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"tuning.variant": "dora"}, "DoRA, rank"),
        ({"tuning.variant": "rslora"}, "rsLoRA, rank"),
        ({"retrieval": {"rewrite": "hyde"}}, "queries by the answering model (HyDE)"),
        (
            {"retrieval": {"chunking": {"by": "sentences", "size": 90, "overlap": 0}}},
            "cut at ends of sentences into 90",
        ),
        ({"retrieval": {"chunking": {"contextual": True}}}, "into 800 characters with their headings"),
        ({"retrieval": {"reranker": {"name": "org/reranker"}}}, "reranked by org/reranker"),
        ({"retrieval": {}, "embedder": {"name": "m", "tuned": {"epochs": 1}}}, "the embedder tuned"),
        ({"retrieval": {"hops": 2}}, "2 look-ups"),
    ],
)
def test_systems_that_differ_are_described_differently(tmp_path: Path, config: dict[str, Any], words: str) -> None:
    more: dict[str, Any] = TUNED if "tuning.variant" in config else {"kind": "rag"}
    scored(tmp_path, {"plain": Made(right(0.5), **more), "other": Made(right(0.5), **more, config=config)}, asked(30))
    plain, other = (describe(entry) for entry in read_run(tmp_path).systems.values())
    assert words in other and words not in plain


@pytest.mark.parametrize("facts", [None, {"library": "qdrant"}])
def test_an_index_without_its_server_is_told_of_systems_and_experiments(tmp_path: Path, facts: Any) -> None:
    notes = {"index": "Qdrant's client in its local mode, without a graph"}
    local = Made(right(0.5), kind="rag", cell={"notes": notes, "facts": facts})
    scores = scored(tmp_path, {"plain": Made(right(0.5)), "local": local}, asked(30))
    told: Callable[[str], bool] = lambda line: line.startswith("local: its vectors were searched by Qdrant")
    assert any(told(line) for line in caveats(read_run(tmp_path), scores))


def test_the_spec_on_the_page_names_the_commits_that_were_resolved(tmp_path: Path) -> None:
    """Of the spec's own model, of a system's, and of one that gives a revision alone; and of a dataset of the hub."""
    scored(tmp_path, {"a": Made(right(0.5))}, asked(4))
    run = read_run(tmp_path)
    recorded = copy.deepcopy(run.recorded)
    recorded["model"] |= {"name": "org/base", "digest": None}
    recorded["systems"] = [
        {"name": "own", "kind": "rag", "model": {"name": "org/own"}},
        {"name": "older", "kind": "rag", "model": {"revision": "v1"}},
        {"name": "here", "kind": "rag", "model": {"name": "/a/folder"}},
    ]
    recorded["dataset"] = {"format": "hub", "id": "org/data", "revision": "main"}
    models = {"org/base": "hub:org/base@b1", "org/own": "hub:org/own@o1", "org/base@v1": "hub:org/base@b0"}
    models["/a/folder"] = "sha256:1"
    hub: Any = SimpleNamespace(recorded=recorded, models=models, dataset=SimpleNamespace(source={"revision": "d1"}))
    found = pinned(hub)
    assert found["model"]["revision"] == "b1" and "digest" not in found["model"]
    assert [system["model"].get("revision") for system in found["systems"]] == ["o1", "b0", None]
    assert found["dataset"]["revision"] == "d1" and recorded["model"].get("revision") is None
