"""What every kind of system owes the harness: the built-in ones, and one from outside."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from bench import parse
from bench.core.blocks import Tuning
from bench.core.errors import UserError
from bench.core.store import Store
from bench.core.system import System
from bench.core.vocabulary import Answer, Passage, Question
from bench.data.formats import native
from bench.spec import kinds
from bench.spec.cells import cells
from systems.parts import adapter
from tests.conftest import EMBEDDER, MINI, ROOT, raw_spec

TASK = native.stored(MINI)  # as a cell reads it
SYSTEMS: list[dict[str, Any]] = [
    {"name": "closed_book", "kind": "closed_book"},
    {"name": "few-shot", "kind": "few_shot"},
    {"name": "few-shot-nearest", "kind": "few_shot", "shots": 2, "choose": "nearest"},
    {"name": "long-context", "kind": "long_context"},
    {"name": "oracle", "kind": "oracle"},
    {"name": "oracle-of-3", "kind": "oracle", "distractors": 2},
    {"name": "rag", "kind": "rag"},
    {"name": "rag-hyde", "kind": "rag", "retrieval": {"rewrite": "hyde"}},
    {"name": "rag-multi-query", "kind": "rag", "retrieval": {"rewrite": "multi_query"}},
    {"name": "rag-tuned-embedder", "kind": "rag", "embedder": {"tuned": {"epochs": 1}}},
    {"name": "rag-sentences", "kind": "rag", "retrieval": {"chunking": {"by": "sentences", "size": 90, "overlap": 0}}},
    {"name": "rag-semantic", "kind": "rag", "retrieval": {"chunking": {"by": "semantic", "size": 200, "overlap": 0}}},
    {"name": "rag-headings", "kind": "rag", "retrieval": {"chunking": {"by": "headings", "contextual": True}}},
    {"name": "rag-tokens", "kind": "rag", "retrieval": {"chunking": {"unit": "tokens", "size": 32, "overlap": 0}}},
    {"name": "rag-usearch", "kind": "rag", "retrieval": {"index": "usearch"}},
    {"name": "rag-lancedb", "kind": "rag", "retrieval": {"index": "lancedb"}},
    {"name": "rag-few-shot", "kind": "rag_few_shot", "shots": 2, "choose": "nearest"},
    {"name": "rag-nf4", "kind": "rag", "precision": "nf4", "retrieval": {"index": "faiss_ivf", "mode": "fused"}},
    {"name": "lora", "kind": "lora"},
    {"name": "qlora", "kind": "qlora"},
    {"name": "full", "kind": "full"},
    {"name": "raft", "kind": "raft"},
    {"name": "hybrid-qlora", "kind": "hybrid", "rag": "rag", "adapter": "qlora"},
    {"name": "hybrid-full", "kind": "hybrid", "rag": "rag", "adapter": "full"},
    {"name": "hybrid-raft", "kind": "hybrid", "rag": "rag", "adapter": "raft"},
    {"name": "reader-qlora", "kind": "hybrid", "rag": "oracle-of-3", "adapter": "qlora"},
    {"name": "lora-merged", "kind": "lora", "serving": "merged"},
    {"name": "qlora-merged-nf4", "kind": "qlora", "serving": "merged_nf4"},
    {"name": "full-merged-nf4", "kind": "full", "serving": "merged_nf4"},
    {"name": "lora-rslora", "kind": "lora", "tuning": {"variant": "rslora"}},
    {"name": "lora-dora", "kind": "lora", "tuning": {"variant": "dora", "layers": [0]}},
    {"name": "lora-pissa", "kind": "lora", "tuning": {"variant": "pissa"}},
    {"name": "lora-gaussian", "kind": "lora", "tuning": {"init": "gaussian"}},
    {"name": "lora-orthogonal", "kind": "lora", "tuning": {"init": "orthogonal", "modules_to_save": ["norm"]}},
    {"name": "echo", "kind": "tests.kinds.echo"},
]
GIVEN = {"oracle", "oracle-of-3", "reader-qlora"}  # are shown the gold passages
LEARNS = {s["name"] for s in SYSTEMS if s["kind"] in ("lora", "qlora", "full", "raft", "hybrid")}
SHOWS = {s["name"] for s in SYSTEMS if "rag" in s["name"] or "raft" in s["name"] or "hybrid" in s["name"]} | GIVEN
TUNING = {"rank": 4, "alpha": 8, "epochs": 1, "batch_size": 8, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for the module: what one system built, another finds."""
    return tmp_path_factory.mktemp("store")


def build(name: str, tiny_lm: Path, root: Path, **changes: Any) -> tuple[System, Store]:
    raw = raw_spec(
        systems=SYSTEMS,
        model={"name": str(tiny_lm), "digest": "tiny"},
        embedder={"name": str(EMBEDDER), "digest": "e"},
        tuning=TUNING,
        retrieval={"k": 2},
    )
    cell = next(c for c in cells(parse({**raw, **changes})) if c.system == name)
    kind, store = kinds.load(cell.kind), Store(root)
    return kind.build(kind.Config.model_validate(cell.config), TASK.material, store), store


def test_the_table_holds_every_builtin_kind() -> None:
    experiments = {k for k in kinds.builtin() if kinds.load(k).measure}
    silent = {"retriever", "predictions"}  # tests/contract/test_elsewhere.py
    assert {s["kind"] for s in SYSTEMS} >= set(kinds.builtin()) - experiments - silent
    assert experiments == {"churn", "slowdown"}


@pytest.mark.parametrize("name", [s["name"] for s in SYSTEMS])
def test_contract(name: str, tiny_lm: Path, store: Path) -> None:
    system, used = build(name, tiny_lm, store)
    assert isinstance(system, System)
    questions = [
        e.question if name in GIVEN else replace(e.question, gold=()) for e in TASK.test[:11]
    ]  # more than a batch
    together, alone = system.answer(questions), [system.answer([q])[0] for q in questions]
    assert [type(a) for a in together] == [Answer] * 11
    assert [a.error for a in together] == [None] * 11
    assert [a.prompt_tokens for a in together] == [a.prompt_tokens for a in alone]
    assert all(a.prompt_tokens and a.completion_tokens is not None for a in together)
    assert [a.hits for a in together] == [a.hits for a in alone]
    assert all((a.hits is not None) == (name in SHOWS) for a in together)
    assert all(a.truncated or a.shown in (None, len(a.hits or ())) for a in together)  # what the prompt held
    assert (
        all(not set(q.gold) - {h.passage_id for h in a.hits or ()} for q, a in zip(questions, together, strict=True))
        or name not in GIVEN
    )
    if name in GIVEN:  # the number of passages gives nothing away
        assert [len(a.hits or ()) for a in together] == [len(q.gold) if name == "oracle" else 3 for q in questions]
    recall = system.index_recall(questions)
    assert (recall is not None) == (name in SHOWS - GIVEN)
    assert recall is None or all(0 <= r <= 1 for r in recall)
    assert bool([a for a in used.used if a.kind == "adapter"]) == (name in LEARNS)


@pytest.mark.parametrize("name", ["rag-hyde", "rag-multi-query"])
def test_what_a_model_writes_to_look_up_is_counted(name: str, tiny_lm: Path, store: Path, server: str) -> None:
    questions = [replace(e.question, gold=()) for e in TASK.test[:3]]
    plain, rewritten = (build(n, tiny_lm, store)[0].answer(questions) for n in ("rag", name))
    assert all(b.prompt_tokens > a.prompt_tokens + 10 for a, b in zip(plain, rewritten, strict=True))
    served: dict[str, Any] = {"model": {"name": "good", "base_url": server}}
    served["systems"] = [s for s in SYSTEMS if s["name"] in ("rag", name)]
    plain, rewritten = (build(n, tiny_lm, store, **served)[0].answer(questions) for n in ("rag", name))
    assert [a.completion_tokens for a in plain] == [2] * 3 and [a.completion_tokens for a in rewritten] == [4] * 3
    assert all(b.prompt_tokens > a.prompt_tokens for a, b in zip(plain, rewritten, strict=True))


def test_a_retriever_loads_no_model_to_write_with() -> None:
    with pytest.raises(ValueError, match="a retriever loads none"):
        kinds.load("retriever").Config.model_validate({"model": {"name": "m"}, "retrieval": {"rewrite": "hyde"}})


@pytest.mark.parametrize("name", ["rag", "oracle", "oracle-of-3", "lora", "raft", "hybrid-qlora", "closed_book"])
def test_refresh_absorbs_a_changed_world(name: str, tiny_lm: Path, store: Path) -> None:
    system, used = build(name, tiny_lm, store)
    before = len(used.used)
    gold = TASK.test[0].question.gold or TASK.test[1].question.gold
    changed = tuple(Passage(p.id, "Wholly new words.", p.title, p.group) if p.id in gold else p for p in TASK.corpus)
    system.refresh(replace(TASK.material, corpus=changed))
    question = Question("q", "Wholly new words?", gold)
    (answer,) = system.answer([question])
    shown = [h.text for h in answer.hits or ()]
    assert ("Wholly new words." in shown) == (name not in ("lora", "closed_book"))
    built = [a.kind for a in used.used[before:] if not a.hit]
    assert "adapter" not in built  # the training pairs did not change, so nothing is trained again


def test_a_changed_training_pair_is_learned(tiny_lm: Path, store: Path) -> None:
    system, used = build("lora", tiny_lm, store)
    before = len(used.used)
    first = replace(TASK.train[0], answers=("something else",))
    system.refresh(replace(TASK.material, train=(first, *TASK.train[1:])))
    assert [a.kind for a in used.used[before:] if not a.hit] == ["adapter"]


def test_gold_stands_anywhere_among_hard_distractors(tiny_lm: Path, store: Path) -> None:
    system, _ = build("oracle-of-3", tiny_lm, store)
    asked = [e.question for e in TASK.test if len(e.question.gold) == 1]
    shown = [[h.passage_id for h in a.hits or ()] for a in system.answer(asked)]
    places = {ids.index(q.gold[0]) for q, ids in zip(asked, shown, strict=True)}
    assert places == {0, 1, 2}
    rag, _ = build("rag", tiny_lm, store)
    found = [{h.passage_id for h in a.hits or ()} - set(q.gold) for q, a in zip(asked, rag.answer(asked), strict=True)]
    assert all(near <= set(ids) or len(near) > 1 for near, ids in zip(found, shown, strict=True))
    assert sum(bool(near & set(ids)) for near, ids in zip(found, shown, strict=True)) > 0.9 * len(asked)


def test_hybrid_builds_nothing_twice(tiny_lm: Path, tmp_path: Path) -> None:
    for name in ("rag", "qlora"):
        build(name, tiny_lm, tmp_path)
    _, used = build("hybrid-qlora", tiny_lm, tmp_path)
    assert {a.kind for a in used.used} == {"chunks", "embeddings", "index", "adapter"}
    assert all(a.hit and a.build_s > 0 for a in used.used)


def test_lora_and_qlora_see_the_same_batches_in_the_same_order(tiny_lm: Path, store: Path) -> None:
    facts = {}
    for name in ("lora", "qlora"):
        _, used = build(name, tiny_lm, store)
        facts[name] = next(a.facts for a in used.used if a.kind == "adapter")
    assert facts["lora"]["batches_sha256"] == facts["qlora"]["batches_sha256"]
    assert facts["lora"]["tokens"] == facts["qlora"]["tokens"] > 0
    assert facts["lora"]["steps"] == facts["qlora"]["steps"] == 8  # 60 pairs, batches of 8, one epoch
    assert facts["lora"]["trainable_parameters"] == facts["qlora"]["trainable_parameters"]


def test_a_merged_adapter_answers_as_it_does_beside_its_base(tiny_lm: Path, store: Path) -> None:
    asked = [e.question for e in TASK.test]
    beside, _ = build("lora", tiny_lm, store)
    merged, used = build("lora-merged", tiny_lm, store)
    assert [a.kind for a in used.used] == ["adapter", "merged"] and used.used[0].hit
    one, other = (model_of(system) for system in (beside, merged))
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        assert torch.allclose(one(input_ids=ids).logits, other(input_ids=ids).logits, atol=1e-5)
    assert [a.text for a in merged.answer(asked)] == [a.text for a in beside.answer(asked)]
    assert not any("lora" in name for name, _ in other.named_modules())


@pytest.mark.parametrize("name", ["lora-rslora", "lora-dora", "lora-pissa"])
def test_a_variant_is_read_again_as_it_was_trained(name: str, tiny_lm: Path, store: Path) -> None:
    """The adapter on the published base gives what training ended with, and not what the base says."""
    tuned, used = build(name, tiny_lm, store)
    plain, _ = build("closed_book", tiny_lm, store)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        a, b = (model_of(system)(input_ids=ids).logits for system in (tuned, plain))
    assert not torch.allclose(a, b, atol=1e-4) and torch.isfinite(a).all()
    facts = next(a.facts for a in used.used if a.kind == "adapter")
    trained = sum(p.numel() for n, p in model_of(tuned).named_parameters() if "lora" in n)
    assert facts["trainable_parameters"] == (trained // 2 if name == "lora-pissa" else trained)


def test_layers_and_modules_that_are_named_are_those_that_are_trained() -> None:
    config = LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2
    )
    tuning = Tuning(rank=2, layers=(0, 2), layers_pattern="layers", modules_to_save=("model.norm",))
    model = adapter.adapted(LlamaForCausalLM(config), tuning, precision="native", seed=1)
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert {int(name.split("layers.")[1].split(".")[0]) for name in trained if "layers." in name} == {0, 2}
    assert any("norm.modules_to_save" in name for name in trained)
    for wrong in ({"layers_pattern": "layers"}, {"init": "gaussian", "variant": "pissa"}):
        with pytest.raises(ValueError, match=r"give both|leave `init` out"):
            Tuning.model_validate(wrong)


def test_a_variant_is_refused_on_other_weights(tiny_lm: Path) -> None:
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="computed on a GPU"):
            adapter.start(SimpleNamespace(device=torch.device("cpu")), Tuning(variant="loftq"), tiny_lm)
    for kind, variant in (("qlora", "pissa"), ("lora", "loftq")):
        wrong = raw_spec(systems=[{"name": "x", "kind": kind, "tuning": {"variant": variant}}])
        with pytest.raises(UserError, match=f"{variant}.* weights: give it to"):
            cells(parse(wrong))


def model_of(system: Any) -> Any:
    return system.model.model


def test_full_tuning_trains_every_parameter(tiny_lm: Path, store: Path) -> None:
    from safetensors import safe_open

    _, used = build("full", tiny_lm, store)
    with safe_open(tiny_lm / "model.safetensors", "np") as f:
        count = sum(f.get_tensor(k).size for k in f.keys())  # noqa: SIM118
    assert next(a.facts for a in used.used if a.kind == "adapter")["trainable_parameters"] == count


@pytest.mark.heavy
def test_passages_are_trained_on_when_asked_and_counted(tiny_lm: Path, store: Path) -> None:
    tokens = []
    for more in ({}, {"passages": True}, {"passages": True, "paraphrases": True}):
        _, used = build("lora", tiny_lm, store, tuning=TUNING | more)
        tokens.append(next(a.facts for a in used.used if a.kind == "adapter")["tokens"])
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_lm)
    told = [sum(len(tokenizer.encode(p.text)) + 1 for p in rows) for rows in (TASK.corpus, TASK.paraphrases)]
    assert [tokens[1] - tokens[0], tokens[2] - tokens[1]] == told and min(told) > 0


@pytest.mark.heavy
def test_search_tries_all_and_keeps_the_best_on_dev(tiny_lm: Path, store: Path) -> None:
    search = {"trials": 3, "learning_rate": [1e-5, 1e-2], "rank": [2, 4]}
    _, used = build("lora", tiny_lm, store, tuning=TUNING | {"search": search})
    trials = [a for a in used.used if a.kind == "adapter"]
    assert len(trials) == 3 and all(a.facts["dev_loss"] > 0 for a in trials)


@pytest.mark.heavy
def test_dev_batches_are_no_training_tokens(tiny_lm: Path, tmp_path: Path) -> None:
    facts = []
    for changes in ({}, {"early_stopping": 9}):
        _, used = build("lora", tiny_lm, tmp_path, tuning=TUNING | {"epochs": 2} | changes)
        facts.append(next(a.facts for a in used.used if a.kind == "adapter"))
    assert facts[0]["tokens"] == facts[1]["tokens"] and facts[0]["batches_sha256"] == facts[1]["batches_sha256"]


def test_early_stopping_stops(tiny_lm: Path, tmp_path: Path) -> None:
    _, used = build(
        "lora", tiny_lm, tmp_path, tuning=TUNING | {"early_stopping": 1, "epochs": 12, "learning_rate": 0.5}
    )
    assert next(a.facts for a in used.used if a.kind == "adapter")["steps"] < 12 * 8


def test_a_kind_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One new file, named by its dotted path, is a system."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "__init__.py").touch()
    text = (ROOT / "tests/kinds/echo.py").read_text().replace("Answer(q.text.split()[-1]", 'Answer("from outside"')
    (tmp_path / "outside" / "mine.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    from bench.execution.run import run

    outcome = run(
        parse(raw_spec(systems=[{"name": "mine", "kind": "outside.mine"}])), out=tmp_path / "r", store=tmp_path / "s"
    )
    said = {json.loads(line)["answer"]["text"] for line in (outcome.folder / "records.jsonl").read_text().splitlines()}
    assert outcome.status == "complete" and said == {"from outside"}
