"""What finds passages: indexes, fusion, further look-ups, written queries, rerankers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from bench.core.blocks import Embedder, Prompt, Reranker, Retrieval
from bench.core.store import Store
from bench.core.vocabulary import Answer, Hit, Material, Passage
from bench.data.formats import native
from systems.parts import (
    chunk,
    index,
    prompt,
    reader,
    retrieve,
    rewrite,
)
from systems.parts.faiss_index import exact_recall
from tests.conftest import EMBEDDER, MICRO, MINI, ROOT

TASK = native.stored(MINI)  # as a cell reads it
TOKENIZER = AutoTokenizer.from_pretrained(MICRO)
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


def test_rows_of_a_librarys_arrays_are_pythons_own_numbers() -> None:
    found = index.Arrays(np.array([[2, -1], [3, 4]]), np.array([[0.5, 0.0], [0.25, 0.125]], np.float32), distances=True)
    assert [list(row) for row in found] == [[(2, 0.5)], [(3, 0.75), (4, 0.875)]]  # a number below zero is padding
    assert all(type(n) is int and type(score) is float for row in found for n, score in row)
    assert found[-1] == found[1] == [(3, 0.75), (4, 0.875)] and list(found[1:]) == [found[1]] and len(found) == 2
    with pytest.raises(IndexError):
        found[2]
    assert list(index.Arrays(found.numbers, found.scores))[1] == [(3, 0.25), (4, 0.125)]


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


def found_in(folder: Path, texts: list[str], asked: str, **retrieval: Any) -> list[str]:
    """The passages that are found for a question among these texts."""
    material = Material([Passage(f"p{n}", text) for n, text in enumerate(texts)])
    options = Retrieval.model_validate({"k": 3, "chunking": None, **retrieval})
    found = retrieve.retriever(material, Embedder(name=str(EMBEDDER)), options, Store(folder), device="cpu")
    return [hit.passage_id for hit in found.search([asked])[0]]


def test_what_shares_no_word_is_not_found_by_words(tmp_path: Path) -> None:
    """Nor does it push away what vectors find: the order of the corpus would decide."""
    texts = [f"the {word} of hall {n}" for n, word in enumerate(["oil", "pump", "valve", "motor", "shaft"])]
    assert found_in(tmp_path, texts, "pump", mode="bm25") == ["p1"]
    assert found_in(tmp_path, texts, "Qxzvbn", mode="bm25") == []
    dense = found_in(tmp_path, texts, "Qxzvbn")
    assert found_in(tmp_path, texts, "Qxzvbn", mode="fused") == dense


@pytest.mark.parametrize(
    ("texts", "asked"),
    [
        (["東京は日本の首都です", "大阪の人口は多い", "京都の寺"], "大阪の人口はどのくらいですか"),
        (["北京是中国的首都", "上海的人口很多", "广州的天气"], "上海的人口是多少"),
        (["กรุงเทพเป็นเมืองหลวง", "เชียงใหม่มีภูเขา", "ภูเก็ตมีทะเล"], "เชียงใหม่มีอะไร"),
    ],
)
def test_scripts_that_do_not_part_words_are_found_by_pairs(texts: list[str], asked: str, tmp_path: Path) -> None:
    assert found_in(tmp_path, texts, asked, mode="bm25")[0] == "p1"


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
    fused = retrieve.Retriever(Retrieval(mode="fused"), rows, Encodes(), Finds(), None, Finds(), None)
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


def test_a_reranker_without_its_weights_is_refused(tiny_cross_encoder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(tiny_cross_encoder, folder)
    weights = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in weights.items() if not k.startswith("classifier.")}, folder / "model.safetensors")
    retrieval = Retrieval.model_validate({"mode": "bm25", "k": 4, "reranker": {"name": str(folder), "candidates": 8}})
    with pytest.raises(ValueError, match=r"do not fit its config\.json: 2 missing"):
        retrieve.retriever(TASK.material, Embedder(), retrieval, Store(tmp_path / "s"), device="cpu").search(["a"])


def test_words_are_looked_up_without_jax(tmp_path: Path) -> None:
    """Where it is installed it would open the GPU; and which of two equal chunks comes first would hang on it."""
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text("print('opened')\n")
    (tmp_path / "jax" / "lax.py").touch()
    asked = "import systems.parts.bm25; print('looked up'); import jax.lax"
    place = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run([sys.executable, "-c", asked], env=place, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["looked up", "opened"]
