"""An embedder in eight bits: nearly the same vectors, under a recipe of their own, and told on the page."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import AutoTokenizer, BertConfig, BertModel

from bench.core.blocks import Embedder, EmbedderTuning
from bench.core.store import Store
from bench.core.vocabulary import Example, Material, Passage, Question
from bench.execution.run import run
from bench.execution.run_file import read_run
from bench.report.caveats import caveats
from bench.spec.load import parse
from bench.verdict.score import score
from systems.parts import chunk, embed, tuned_embedder
from tests.conftest import EMBEDDER, MICRO, raw_spec

PRECISIONS: tuple[Any, ...] = ("native", "int8")
TEXTS = ["The Pul 34 runs at 14 rpm.", "Its oil is Kalbik.", "Hall Dunno has a crane of 85 tons."]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of two layers as an embedder, with the micro tokenizer."""
    folder = tmp_path_factory.mktemp("bert")
    tokenizer = AutoTokenizer.from_pretrained(MICRO)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128
    )
    BertModel(config).save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    inner = Transformer(str(folder / "base"))
    SentenceTransformer(modules=[inner, Pooling(64)]).save(str(folder / "st"))
    return folder / "st"


def test_vectors_in_eight_bits_are_nearly_the_same(bert: Path) -> None:
    plain, rough = (embed.load(Embedder(name=str(bert), precision=p), device="cpu").passages(TEXTS) for p in PRECISIONS)
    cosine = (plain * rough).sum(1)
    assert np.all(cosine > 0.98) and not np.allclose(plain, rough, atol=1e-6)


def test_vectors_in_eight_bits_are_stored_apart(bert: Path, tmp_path: Path) -> None:
    store, corpus = Store(tmp_path), [Passage(str(n), text) for n, text in enumerate(TEXTS)]
    rows = chunk.chunks(corpus, None, store, Embedder(name=str(bert)))
    found = set()
    for precision in PRECISIONS:
        encoder = embed.load(Embedder(name=str(bert), precision=precision), device="cpu")
        found.add(embed.embeddings(rows, encoder, store)[1])
    assert len(found) == 2


def test_an_embedder_without_linear_layers_has_no_eight_bits() -> None:
    with pytest.raises(ValueError, match=r"is for transformers on a processor, and .* has no linear layers"):
        embed.load(Embedder(name=str(EMBEDDER), precision="int8"), device="cpu")


@pytest.mark.heavy
def test_the_page_says_so(bert: Path, tmp_path: Path, tiny_lm: Path) -> None:
    plain = {"name": "plain", "kind": "retriever", "embedder": {"precision": "native"}}
    entries = [{"name": "rag", "kind": "retriever"}, plain]
    raw = raw_spec(model={"name": str(tiny_lm)}, embedder={"name": str(bert), "precision": "int8"}, systems=entries)
    outcome = run(parse(raw), out=tmp_path / "r", store=tmp_path / "s")
    assert not outcome.failed
    (told,) = [c for c in caveats(read_run(outcome.folder), score(outcome.folder)) if "8 bits" in c]
    assert told.startswith("rag: ")


def test_embedding_goes_on_from_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "AT_ONCE", 2)
    corpus, store = [Passage(str(n), f"The Pul {n} runs at {n} rpm.") for n in range(10, 19)], Store(tmp_path / "s")
    config = Embedder(name=str(EMBEDDER))
    rows, encoder, seen = chunk.chunks(corpus, None, store, config), embed.load(config, device="cpu"), list[int]()

    class Counted(embed.Encoder):
        def passages(self, texts: Any) -> Any:
            time.sleep(0.05)
            seen.append(len(texts))
            if len(seen) == 3:
                raise RuntimeError("stopped here")
            return super().passages(texts)

    counted = Counted(encoder.model, config)
    with pytest.raises(RuntimeError, match="stopped here"):
        embed.embeddings(rows, counted, store)
    file, _ = embed.embeddings(rows, counted, store)
    assert seen == [2, 2, 2, 2, 2, 1]  # the third twice, the first two once
    assert np.array_equal(np.load(file), encoder.passages([c.text for c in rows.rows]))
    (made,) = (artefact for artefact in store.used if artefact.kind == "embeddings")
    assert made.build_s > 5 * 0.05 and set(made.facts) == {"vectors", "dimensions"}
    assert not list((tmp_path / "s").glob("embeddings/*.parts"))


def test_an_embedder_is_tuned_by_an_adapter_that_is_merged(bert: Path, tmp_path: Path) -> None:
    corpus = tuple(Passage(str(n), text) for n, text in enumerate(TEXTS))
    asked = [Example(Question(f"q{n}", f"What of {text[:9]}?", (str(n),)), ("x",)) for n, text in enumerate(TEXTS)]
    material, store = Material(corpus, tuple(asked)), Store(tmp_path)
    found = {}
    for rank in (0, 2):
        tuning = EmbedderTuning(epochs=4, batch_size=3, learning_rate=0.01, lora_rank=rank)
        tuned = tuned_embedder.tuned(Embedder(name=str(bert), tuned=tuning), material, store, device="cpu")
        found[rank] = load_file(next(Path(tuned.name).rglob("*.safetensors")))
    before = load_file(next(bert.rglob("*.safetensors")))
    changed = {rank: {k for k in before if not torch.equal(before[k], weights[k])} for rank, weights in found.items()}
    assert found[2].keys() == before.keys() and changed[2] and changed[2] < changed[0]
    assert not any("embeddings" in name or "LayerNorm" in name for name in changed[2])
    with pytest.raises(ValueError, match="is no transformer"):
        no = Embedder(name=str(EMBEDDER), tuned=EmbedderTuning(lora_rank=2))
        tuned_embedder.tuned(no, material, store, device="cpu")
