"""What is easily misread: data as people have them, and what must be said of it rather than guessed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bench.core.errors import UserError
from bench.core.vocabulary import Example, Passage, Place, Question
from bench.data.formats import native
from bench.data.leakage import asked_again, leaks
from tests.conftest import read_task
from tests.unit.test_data import groups
from tests.unit.test_records import FIELDS


def squad(path: Path, *, titles: list[str | None], start: int = 11) -> Path:
    """Paragraphs of one question each; the answer stands at character 20 and again at 35."""
    articles = []
    for i, title in enumerate(titles):
        context = f"Paragraph {i:03} says: {i:03}, and again {i:03}."
        answer = {"text": f"{i:03},"[:3], "answer_start": start}
        qas = [{"id": f"q{i}", "question": f"What says {i}?", "answers": [answer]}]
        qas.append({"id": f"u{i}", "question": f"And {i}?", "answers": [], "is_impossible": True})
        article: dict[str, Any] = {"paragraphs": [{"context": context, "qas": qas}]}
        articles.append(article if title is None else {**article, "title": title})
    path.write_text(json.dumps({"data": articles}))
    return path


@pytest.mark.parametrize("title", [None, "", "One article"])
def test_paragraphs_are_groups_where_there_is_no_other_title(tmp_path: Path, title: str | None) -> None:
    path = squad(tmp_path / "s.json", titles=[title] * 8)
    task = read_task(tmp_path, format="squad", path=str(path), test_share=0.5)
    assert len(task.test) == len(task.train) == 8 and not groups(task, "train") & groups(task, "test")


def test_offsets_that_are_wrong_are_repaired_counted_and_told(tmp_path: Path) -> None:
    """Where the offset is off, the nearest place that holds the answer is taken; what stands nowhere has no span."""
    right = squad(tmp_path / "right.json", titles=["a", "b"], start=20)
    off = squad(tmp_path / "off.json", titles=["a", "b"], start=31)
    nowhere = tmp_path / "nowhere.json"
    nowhere.write_text(off.read_text().replace('"text": "000"', '"text": "zero"'))
    tasks = [read_task(tmp_path, format="squad", path=str(p), test_share=1.0) for p in (right, off, nowhere)]
    spans = [{e.question.id: e.spans for e in task.test} for task in tasks]
    assert spans[0]["q0"] == ((Place(tasks[0].test[0].question.gold[0], 20, 23),),) and not tasks[0].notes
    assert tasks[1].notes and "2 answers did not stand" in tasks[1].notes[0]
    assert spans[1]["q0"][0][0].start == 35  # nearer to 31 than 20
    assert spans[2]["q0"] == () and any("1 answers do not stand" in note for note in tasks[2].notes)


def documents(folder: Path, text: str, **row: Any) -> dict[str, Any]:
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "docs" / "a.txt").write_text(text)
    asked = {"id": "q", "question": "How fast?", "answers": ["14 rpm"], "document": "a.txt", **row}
    (folder / "q.jsonl").write_text(json.dumps(asked) + "\n")
    return {
        "format": "documents",
        "path": str(folder / "docs"),
        "questions": str(folder / "q.jsonl"),
        "test_share": 1.0,
    }


TWICE = "It runs at 14 rpm.\nWhen cold, it runs at 14 rpm too."


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({}, r"q.jsonl:1.*stands 2 times in 'a.txt': at 11 \(line 1\), 41 \(line 2\).*occurrence"),
        ({"quote": "14 rpm"}, "stands 2 times"),
        ({"occurrence": 3}, "`occurrence` is 3, and '14 rpm' stands 2 times"),
        ({"occurrence": "last"}, "`occurrence` is 'last'"),
        ({"quote": "15 rpm"}, "'15 rpm' does not stand in 'a.txt'"),
        ({"quote": "14 rpm", "start": 0}, "at `start` 0 of 'a.txt' stands 'It run'"),
        ({"quote": "14 rpm", "start": 11, "end": 13}, "stands '14'"),
        ({"start": 60, "end": 80}, "no span of 'a.txt', which has 52 characters"),
        ({"start": "11", "end": 17}, "no span"),
    ],
)
def test_a_quote_that_could_be_two_places_is_an_error(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_task(tmp_path, **documents(tmp_path, TWICE, **row))


@pytest.mark.parametrize(
    ("row", "start"),
    [({"occurrence": 2}, 41), ({"start": 41}, 41), ({"quote": "14 rpm too"}, 41), ({"occurrence": 1}, 11)],
)
def test_each_remedy_helps(tmp_path: Path, row: dict[str, Any], start: int) -> None:
    (example,) = read_task(tmp_path, **documents(tmp_path, TWICE, **row)).test
    ((place,),) = example.spans
    assert place.start == start


def test_evidence_across_two_chunks_has_two_places(tmp_path: Path) -> None:
    text = "word " * 30 + "it runs at 14 rpm when warm and at 9 rpm when cold" + " word" * 30
    block = documents(tmp_path, text, quote="14 rpm when warm and at 9 rpm") | {
        "chunking": {"size": 180, "overlap": 20}
    }
    task = read_task(tmp_path, **block)
    (example,) = task.test
    (span,) = example.spans
    texts = {p.id: p.text for p in task.corpus}
    joined = {p.at + i: c for p in span for i, c in enumerate(texts[p.passage][p.start : p.end])}
    assert len(span) == 2 and "".join(joined[i] for i in sorted(joined)) == "14 rpm when warm and at 9 rpm"
    stored = native.read_folder(next((tmp_path / "store").rglob("corpus.jsonl")).parent)
    assert stored.test == task.test  # spans survive the store


@pytest.mark.parametrize(("field", "remedy"), [("anwsers", "answers"), ("answers.text", None)])
def test_a_misnamed_field_of_answers_is_an_error(tmp_path: Path, field: str, remedy: str | None) -> None:
    rows = [{"q": f"Q{i}?", "answers": "yes", "ctx": f"text {i}"} for i in range(4)]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    fields = {"question": "q", "passages": "ctx", "answers": field}
    with pytest.raises(UserError, match="no record has the field") as e:
        read_task(tmp_path, format="records", path=str(tmp_path / "r.jsonl"), fields=fields)
    assert "There are: q, answers, ctx." in str(e.value) and (remedy is None or f"to {remedy!r}" in str(e.value))
    mended = read_task(
        tmp_path, format="records", path=str(tmp_path / "r.jsonl"), fields=fields | {"answers": "answers"}
    )
    assert all(e.answers == ("yes",) for e in (*mended.test, *mended.train))


def test_what_is_named_a_test_is_not_trained_on(tmp_path: Path) -> None:
    rows = [{"id": f"r{i}", "q": f"Q{i}?", "a": "yes", "ctx": [f"text {i}"]} for i in range(8)]
    for name in ("pool", "test", "my-test-set"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    block: dict[str, Any] = {"format": "records", "fields": FIELDS}
    sizes = {
        n: len(read_task(tmp_path, path=str(tmp_path / f"{n}.jsonl"), **block).train)
        for n in ("pool", "test", "my-test-set")
    }
    assert sizes == {"pool": 4, "test": 0, "my-test-set": 0}
    folder = tmp_path / "native"
    folder.mkdir()
    corpus = [{"id": f"p{i}", "text": f"text {i}"} for i in range(8)]
    asked = [{"id": f"q{i}", "question": "Q?", "answers": ["x"], "gold": [f"p{i}"]} for i in range(8)]
    for name, made in (("corpus", corpus), ("test", asked)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in made))
    assert len(read_task(tmp_path, format="native", path=str(folder)).test) == 8
    assert len(read_task(tmp_path, format="native", path=str(folder), test_share=0.5).train) == 4  # asked for


def pair(ident: str, question: str, answer: str) -> Example:
    return Example(Question(ident, question), (answer,))


def test_a_leak_is_a_question_with_its_answer() -> None:
    """One questionnaire is put to every document: the same question has another answer in each."""
    question = "What does the privacy policy say on how long the data of a person are kept by the company that runs it?"
    train = [pair(f"t{i}", question, f"{i} days") for i in range(5)]
    test = [pair("same", question, "3 days"), pair("other", question, "90 days"), pair("new", "Who?", "3 days")]
    found = leaks(train, test)
    assert set(found) == {"same"} and found["same"] == ["exact", "13-gram", "near in letters"]
    assert asked_again(train, test) == 1


def test_graded_judgements_keep_their_grades(tmp_path: Path) -> None:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"_id": d, "text": d}) + "\n" for d in ("d1", "d2", "d3")))
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "Which?"}\n{"_id": "q2", "text": "What?"}\n')
    (folder / "qrels" / "test.tsv").write_text("q\td\ts\nq1\td1\t2\nq1\td2\t1\nq1\td3\t0\nq2\td3\t1\n")
    task = read_task(tmp_path, format="beir", path=str(folder))
    assert [(e.question.gold, e.grades) for e in task.test] == [(("d1", "d2"), (2, 1)), (("d3",), ())]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"spans": [[{"passage": "p2", "start": 0, "end": 2}]]}, "lists of places in gold passages"),
        ({"spans": [[{"passage": "p1", "start": 2, "end": 2}]]}, "lists of places"),
        ({"spans": "p1"}, "lists of places"),
        ({"spans": [[{"passage": "p1", "start": 0, "end": 99}]]}, "ends at 99, and the passage has 8"),
        ({"grades": [1, 2]}, "whole number from 1 on for each of the 1 gold"),
        ({"grades": [0]}, "whole number from 1 on"),
    ],
)
def test_spans_and_grades_are_checked(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"id": "p1", "text": "one here"}\n{"id": "p2", "text": "two"}\n')
    asked = {"id": "q", "question": "Which?", "answers": ["one"], "gold": ["p1"], **row}
    (tmp_path / "test.jsonl").write_text(json.dumps(asked) + "\n")
    with pytest.raises(UserError, match=said):
        read_task(tmp_path / "d", format="native", path=str(tmp_path))


def test_paths_reach_into_lists_of_objects(tmp_path: Path) -> None:
    rows = [
        {
            "q": f"Q{i}?",
            "a": [{"value": i}, {"value": i + 0.5}],
            "evidence": [{"text": f"one {i}"}, {"text": f"two {i}"}],
        }
        for i in range(4)
    ]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    fields = {"question": "q", "answers": "a[].value", "passages": "evidence[].text"}
    block = {"format": "records", "path": str(tmp_path / "r.jsonl"), "test_share": 1.0}
    task = read_task(tmp_path, **block, fields=fields)
    assert {p.text for p in task.corpus} == {f"{n} {i}" for i in range(4) for n in ("one", "two")}
    assert next(e for e in task.test if e.question.text == "Q1?").answers == ("1", "1.5")
    for path, said in (
        ("evidence[].body", "evidence: no field 'body'"),
        ("q[].text", "'q' of 'q\\[\\].text' is no list"),
    ):
        with pytest.raises(UserError, match=said):
            read_task(tmp_path, **block, fields=fields | {"passages": path})


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    for name, row in (
        ("corpus", {"id": "p1", "text": "one"}),
        ("test", {"id": "q", "question": "Q?", "answers": ["x"]}),
    ):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8-sig")
    assert read_task(tmp_path / "d", format="native", path=str(tmp_path)).test[0].question.id == "q"
    docs = documents(tmp_path / "d", TWICE, occurrence=1)
    (tmp_path / "d" / "docs" / "a.txt").write_text(TWICE, encoding="utf-8-sig")
    assert read_task(tmp_path / "d", **docs).corpus[0].text.startswith("It runs")


def test_files_that_are_left_out_are_told(tmp_path: Path) -> None:
    block = documents(tmp_path, TWICE, occurrence=1)
    (tmp_path / "docs" / "b.docx").write_bytes(b"PK")
    (tmp_path / "docs" / "c.txt").write_text(" \n")
    notes = read_task(tmp_path, **block).notes
    assert any("b.docx" in note for note in notes) and any("c.txt" in n and "no text" in n for n in notes)


def test_a_broken_file_does_not_end_a_corpus(tmp_path: Path) -> None:
    block = documents(tmp_path, TWICE, occurrence=1)
    (tmp_path / "docs" / "b.pdf").write_bytes(b"%PDF-1.4 nothing")
    (tmp_path / "docs" / "d.md").write_bytes("Gr\u00fc\u00dfe".encode("latin-1"))
    task = read_task(tmp_path, **block)
    (note,) = [note for note in task.notes if "cannot be read" in note]
    assert "b.pdf: not a readable PDF" in note and "d.md: cannot be read" in note and str(tmp_path) not in note
    assert {p.title for p in task.corpus} == {"a.txt"}


def test_office_documents_are_read_as_markdown(tmp_path: Path) -> None:
    pytest.importorskip("markitdown", reason="the extra `documents` is not installed")
    block = documents(tmp_path, TWICE, occurrence=1)
    body = "<w:p><w:r><w:t>The pump runs at 14 rpm.</w:t></w:r></w:p>"
    packed = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default '
        'Extension="xml" ContentType="application/xml"/><Default Extension="rels" ContentType="application/'
        'vnd.openxmlformats-package.relationships+xml"/><Override PartName="/word/document.xml" ContentType='
        '"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>',
        "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Id="r" Type='
        '"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
        'Target="word/document.xml"/></Relationships>',
        "word/document.xml": '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        f"<w:body>{body}</w:body></w:document>",
    }
    with zipfile.ZipFile(tmp_path / "docs" / "pump.docx", "w") as file:
        for name, text in packed.items():
            file.writestr(name, text)
    (tmp_path / "docs" / "broken.docx").write_bytes(b"PK")
    task = read_task(tmp_path, **block)
    assert "The pump runs at 14 rpm." in {p.text for p in task.corpus}
    assert any("broken.docx: not a readable docx" in note for note in task.notes)


def test_a_blank_answer_is_neither_right_nor_unknown(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"id": "p1", "text": "one"}\n')
    (tmp_path / "test.jsonl").write_text('{"id": "q", "question": "Q?", "answers": [""], "gold": ["p1"]}\n')
    with pytest.raises(UserError, match=r"test.jsonl:1.*every answer is blank.*`\[\]`.*`null`"):
        read_task(tmp_path / "d", format="native", path=str(tmp_path))


def test_the_summary_shows_what_was_read() -> None:
    from bench.data.summary import described
    from bench.data.task import Task

    corpus = (Passage("p1", "x " * 60 + "It runs at 14 rpm when warm."),)
    located = Example(Question("a", "How fast?", ("p1",)), ("14 rpm",), spans=((Place("p1", 131, 137),),))
    others = tuple(Example(Question(f"u{i}", "Why?"), ()) for i in range(2))
    told = "\n".join(described(Task("t", corpus, (), (), (located, *others), notes=("Something was repaired.",))))
    for part in ("67 words", "1 with answers, 2 without an answer", "answer: 14 rpm", "14 rpm when warm.", "abstain"):
        assert part in told, told
    assert "Note: Something was repaired." in told and "Warning: 2 of 3 test questions have no answer" in told


def test_documents_are_cut_in_characters(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="lengths here are in characters"):
        read_task(tmp_path, **documents(tmp_path, TWICE, occurrence=1), chunking={"unit": "tokens"})
