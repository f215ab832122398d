"""Passages to chunks: where they are cut, where they stand, and what stands above them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.blocks import Chunking, Embedder
from bench.core.store import Store
from bench.core.vocabulary import Passage
from bench.core.window import counter
from systems.parts import chunk
from tests.conftest import EMBEDDER


def test_chunking_covers_the_passage(tmp_path: Path) -> None:
    corpus = [Passage("p", " ".join(f"w{i}" for i in range(400)))]
    rows = chunk.chunks(corpus, Chunking(size=200, overlap=20), Store(tmp_path), Embedder()).rows
    assert len(rows) > 5 and all(len(c.text) <= 200 and c.passage_id == "p" for c in rows)
    assert {w for c in rows for w in c.text.split()} == set(corpus[0].text.split())


MANUAL = "Intro.\n\n# Pumps\n\nAll pumps hum.\n\n## Bore\n\nThe bore is 3 mm. It wears.\n\n# Halls\n\nHalls are cold.\n"


@pytest.mark.parametrize("by", ["length", "sentences", "headings", "semantic"])
def test_chunks_stand_where_they_say(tmp_path: Path, by: str) -> None:
    corpus = [Passage("m", MANUAL, "Manual"), Passage("p", "One pump. Two pumps! Three? Yes.", "Note")]
    cutting = Chunking(by=by, size=60, overlap=0, contextual=True)
    rows = chunk.chunks(corpus, cutting, Store(tmp_path), Embedder(name=str(EMBEDDER))).rows
    texts = {p.id: p.text for p in corpus}
    assert all(c.start is not None and texts[c.passage_id][c.start :].startswith(c.text) for c in rows)
    assert {w for c in rows for w in c.text.split()} == {w for p in corpus for w in p.text.split()}
    assert len({c.id for c in rows}) == len(rows) and max(len(c.text) for c in rows) <= 60
    titles = {c.text.split("\n")[0]: c.title for c in rows if c.passage_id == "m"}
    if by == "headings":
        assert titles["## Bore"] == "Manual > Pumps > Bore" and titles["# Halls"] == "Manual > Halls"
        assert titles["Intro."] == "Manual"
    else:
        assert (
            all(title.startswith("Manual") for title in titles.values()) and "Manual > Pumps > Bore" in titles.values()
        )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("泵每分钟转十四圈。", "阀门是红色的。"),  # no space between them
        ("他说“泵停了。”", "阀门是红色的。"),
        ("ポンプは止まった！", "弁は赤い。"),
        ("पंप चल रहा है। ", "वाल्व लाल है।"),
        ("هل تعمل المضخة؟ ", "الصمام أحمر."),
    ],
)
def test_sentences_of_every_script_are_cut_at_their_ends(first: str, second: str) -> None:
    cutting = Chunking(by="sentences", size=len(first + second) - 1, overlap=0)
    rows = list(chunk.cut([Passage("p", first + second)], cutting))
    assert [c.text for c in rows] == [first.strip(), second] and rows[1].start == len(first)


def test_cuts_by_meaning_are_where_neighbours_are_far_apart() -> None:
    sides = {"red": (1.0, 0.0), "blu": (0.0, 1.0)}

    def encode(texts: Any) -> Any:
        return np.array([sides[text.strip()[:3]] for text in texts], dtype=np.float32)

    text = "red one. red two. blue three. blue four. blue five."
    rows = chunk.cut([Passage("p", text)], Chunking(by="semantic", size=500, overlap=0), encode=encode)
    assert [c.text for c in rows] == ["red one. red two.", "blue three. blue four. blue five."]


@pytest.mark.parametrize(("unit", "overlap"), [("characters", 0), ("characters", 30), ("tokens", 0), ("tokens", 9)])
def test_every_chunk_knows_where_it_begins(unit: Any, overlap: int) -> None:
    """Also where lengths are of tokens, which are fewer than characters, and where the text repeats itself."""
    words = " ".join(f"The pump number {n} hums, and the valve hums." for n in [*range(40), *range(40)])
    length = (lambda text: len(text.split())) if unit == "tokens" else len
    size = 20 if unit == "tokens" else 90
    rows = list(chunk.cut([Passage("p", words)], Chunking(unit=unit, size=size, overlap=overlap), length))
    assert len(rows) > 10 and all(row.start is not None for row in rows)
    starts = [row.start or 0 for row in rows]
    assert starts == sorted(set(starts))
    assert all(words[start:].startswith(row.text) for start, row in zip(starts, rows, strict=True))
    gaps = [b - (a + len(row.text)) for a, b, row in zip(starts, starts[1:], rows, strict=False)]
    assert max(gaps) <= 1  # no text between two chunks but the space that was cut at


@pytest.mark.parametrize(("size", "overlap"), [(20, 5), (32, 8), (64, 16)])
def test_chunks_cut_by_an_embedders_tokens_know_where_they_begin(size: int, overlap: int) -> None:
    """A whole has more tokens than its parts: what two chunks share may be more than the overlap that was asked for."""
    page = Passage(
        "p", " ".join(f"Sentence {n % 30} is about hall {n % 30}, where the pump of Mr Vos hums." for n in range(60))
    )
    rows = list(chunk.cut([page], Chunking(unit="tokens", size=size, overlap=overlap), counter(EMBEDDER)))
    starts = [row.start for row in rows if row.start is not None]
    assert len(starts) == len(rows) > 10 and starts == sorted(set(starts))
    ends = [start + len(row.text) for start, row in zip(starts, rows, strict=True)]
    assert all(later <= end + 1 for end, later in zip(ends, starts[1:], strict=False))  # nothing is left out
    assert ends[-1] == len(page.text)


def test_a_cut_by_length_may_say_its_unit() -> None:
    told: Any = {"by": "tokens", "size": 20, "overlap": 0}
    assert Chunking.model_validate(told) == Chunking(unit="tokens", size=20, overlap=0)
    assert Chunking.model_validate({"by": "characters"}) == Chunking()


@pytest.mark.parametrize("by", ["length", "sentences", "headings"])
def test_headings_stand_above_every_chunk_that_is_asked_for_in_context(by: Any) -> None:
    text = "Before all.\n# Pumps\nThey hum.\n## Oil\nIt is red.\n# Valves\nThey leak."
    (page,) = [Passage("p", text, "Plant")]
    cut = list(chunk.cut([page], Chunking(by=by, size=22, overlap=0, contextual=True)))
    titles = {word: next(c.title for c in cut if word in c.text) for word in ("Before", "hum", "red", "leak")}
    assert titles == {
        "Before": "Plant",
        "hum": "Plant > Pumps",
        "red": "Plant > Pumps > Oil",
        "leak": "Plant > Valves",
    }
