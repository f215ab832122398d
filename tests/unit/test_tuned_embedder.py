"""The embedder that is tuned on the training questions: what it is tuned on, and that it learns that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.core.blocks import Embedder, EmbedderTuning, Retrieval
from bench.core.store import Store
from bench.core.vocabulary import Example, Material, Passage, Question
from bench.data.formats import native
from systems.parts import embed, retrieve, tuned_embedder
from tests.conftest import EMBEDDER, MINI

TASK = native.stored(MINI)  # as a cell reads it


def test_an_embedder_is_tuned_on_the_training_questions(tmp_path: Path) -> None:
    plain, store = Embedder(name=str(EMBEDDER), digest="e"), Store(tmp_path)
    asks = plain.model_copy(update={"tuned": EmbedderTuning(epochs=3, learning_rate=0.02, batch_size=8)})
    made = {
        name: retrieve.retriever(TASK.material, e, Retrieval(), store, device="cpu")
        for name, e in (("plain", plain), ("tuned", asks))
    }
    rows = tuned_embedder.triplets(embed.load(plain, device="cpu"), TASK.material)
    assert all(row["negative"] != row["positive"] for row in rows)
    margin = {}
    for name, r in made.items():
        assert r.encoder is not None
        a, b, c = (r.encoder.questions([row[k] for row in rows]) for k in ("anchor", "positive", "negative"))
        margin[name] = float(((a * b).sum(axis=1) - (a * c).sum(axis=1)).mean())
    assert margin["tuned"] > margin["plain"] + 0.05  # on what it was tuned on
    built = [(a.kind, a.hit) for a in store.used]
    assert built.count(("embedder", False)) == 1 and built.count(("embeddings", False)) == 2
    changed = replace(TASK.material, corpus=(*TASK.corpus[:-1], replace(TASK.corpus[-1], text="Wholly new.")))
    before = len(store.used)
    retrieve.retriever(changed, asks, Retrieval(), store, device="cpu")
    assert "embedder" not in [a.kind for a in store.used[before:]]  # the questions did not change


def test_a_passage_that_holds_the_answer_is_no_hard_negative() -> None:
    """It may be right without being named gold: the micro embedder puts it first, and the next one is taken."""
    texts = {
        "gold": "The supplier of the Resini 63 is Arco.",
        "also": "The supplier of the Resini 63 and of its pump is Arco.",
        "near": "The supplier of the Resini 64 is Bolt.",
        "far": "Lunch is at noon.",
    }
    corpus = tuple(Passage(ident, text, "", ident) for ident, text in texts.items())
    question = Question("q", "Who is the supplier of the Resini 63?", ("gold",))
    example = Example(question, ("Arco",), "single", "g")
    encoder = embed.load(Embedder(name=str(EMBEDDER), digest="e"), device="cpu")
    negatives = {}
    for answer in ("Arco", "63"):  # a short one stands anywhere, and is not looked for
        material = Material(corpus, train=(replace(example, answers=(answer,)),))
        (row,) = tuned_embedder.triplets(encoder, material)
        negatives[answer] = row["negative"]
    assert negatives["Arco"] == texts["near"] and negatives["63"] in (texts["also"], texts["near"])
