"""What is larger than memory is read when it is asked for, and says the same as if it were held."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.core.blocks import Chunking, Embedder
from bench.core.digest import digest, digest_of_parts
from bench.core.files import read_jsonl, write_jsonl
from bench.core.lazy import Lines, Mapped
from bench.core.store import Store
from bench.core.vocabulary import Passage
from bench.data.formats import native
from bench.scoring import records
from bench.verdict.score import evaluated
from systems.parts import chunk
from tests.conftest import MINI, ROOT

STORED = ROOT / "tests" / "golden" / "run"


def test_lines_are_read_where_they_begin(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"n": 0}\n\n  \n\x0c\n\u2003\n{"n": "\u00e9\u6c34"}\n{"n": 2}', encoding="utf-8")
    assert len(list(read_jsonl(path))) == 3
    lines = Lines(path)
    assert len(lines) == 3 and [row["n"] for row in lines] == [0, "\u00e9\u6c34", 2]
    assert lines[1] == {"n": "\u00e9\u6c34"} and lines[-1] == {"n": 2} and lines[1:] == [lines[1], lines[2]]
    assert Mapped(lines, lambda row: row["n"])[::2] == [0, 2]
    for beyond in (3, -4):
        with pytest.raises(IndexError):
            lines[beyond]
    (tmp_path / "none.jsonl").write_text("")
    assert list(Lines(tmp_path / "none.jsonl")) == [] and not Lines(tmp_path / "none.jsonl")


def test_a_stored_task_is_the_one_that_was_written(tmp_path: Path) -> None:
    task = native.read_folder(MINI)
    native.write_folder(tmp_path, task)
    stored = native.stored(tmp_path)
    assert stored == task and stored.digest == task.digest
    assert stored.updated.corpus == task.updated.corpus != task.corpus
    assert digest_of_parts(stored.corpus) == digest(list(task.corpus))


def test_passages_and_chunks_are_not_held(tmp_path: Path) -> None:
    text = "The pump turns at ninety revolutions a minute. " * 200
    write_jsonl(tmp_path / "corpus.jsonl", (Passage(f"p{n}", f"{n} {text}", group="g") for n in range(600)))
    write_jsonl(tmp_path / "test.jsonl", [{"id": "q", "question": "How fast?", "answers": ["90"], "gold": ["p7"]}])
    store = Store(tmp_path / "store")
    tracemalloc.start()
    corpus = native.stored(tmp_path).corpus
    whole = chunk.chunks(corpus, None, store, Embedder(name="micro"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(whole.rows) == 600 and whole.rows[599].text == corpus[599].text
    cut = chunk.cut(iter(corpus), Chunking(size=2500, overlap=0))
    assert next(cut).passage_id == "p0"  # before the others are cut
    assert peak < (tmp_path / "corpus.jsonl").stat().st_size, "the texts are 6 MB: less is held at any time"


def test_a_score_is_the_same_however_few_records_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = records.graded(STORED)
    monkeypatch.setattr(records, "AT_ONCE", 37)
    parts = records.graded(STORED)
    assert evaluated(parts, source="") == evaluated(whole, source="")
    kept = [hit for rows in whole.records.values() for r in rows for hit in r.answer.hits or ()]
    assert kept and not any(hit.text for hit in kept) and len({id(hit) for hit in kept}) == len({*kept})


def test_lines_outlive_their_file_and_are_read_by_several(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", ({"n": n} for n in range(5000)))
    lines = Lines(tmp_path / "a.jsonl")
    (tmp_path / "a.jsonl").unlink()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: [row["n"] for row in lines], range(8)))
    assert found == [list(range(5000))] * 8
