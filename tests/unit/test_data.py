"""Datasets of every format, to one Task; and the errors of a broken one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from bench.core.errors import UserError
from bench.core.store import Store
from bench.data import prepare
from bench.data.formats import AnySource, native
from bench.data.task import Task
from tests.conftest import MINI, read_task


def groups(task: Task, name: str) -> set[str]:
    return {e.group for e in getattr(task, name)}


def test_native_folder_and_its_store(tmp_path: Path) -> None:
    block: Any = TypeAdapter(AnySource).validate_python({"format": "native", "path": str(MINI)})
    task, origin = prepare.load(block, Store(tmp_path))
    again, _ = prepare.load(block, Store(tmp_path))
    assert again == task and origin["digest"] == task.digest == native.read_folder(MINI).digest
    assert (len(task.corpus), len(task.train), len(task.test)) == (130, 60, 40) and task.updates and task.paraphrases


SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": f"A{i}",
            "paragraphs": [
                {
                    "context": f"Paragraph {i} says {i * 11}.",
                    "qas": [
                        {
                            "id": f"q{i}a",
                            "question": f"What says {i}?",
                            "answers": [{"text": str(i * 11), "answer_start": 0}] * 2,
                        },
                        {"id": f"q{i}b", "question": f"And {i}?", "answers": [], "is_impossible": True},
                    ],
                }
            ],
        }
        for i in range(8)
    ],
}


def test_squad_is_split_by_article(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps(SQUAD))
    task = read_task(tmp_path, format="squad", path=str(tmp_path / "s.json"), test_share=0.5, seed=3)
    assert len(task.corpus) == 8 and len(task.test) == 8 and len(task.train) == 8
    assert not groups(task, "train") & groups(task, "test")
    assert {e.answers for e in task.test if e.stratum == "unanswerable"} == {()}
    assert all(len(e.answers or ()) == 1 for e in task.test if e.stratum == "answerable")  # equal references are one
    other = read_task(tmp_path, format="squad", path=str(tmp_path / "s.json"), test_share=0.5, seed=4)
    assert groups(other, "test") != groups(task, "test")


@pytest.mark.parametrize(("version", "answers"), [({"is_impossible": False}, ()), ({}, None)])
def test_a_squad_question_without_an_answer(
    version: dict[str, bool], answers: tuple[str, ...] | None, tmp_path: Path
) -> None:
    """Of v2.0 it is unanswerable, as the official script counts it; of v1.1 its answer is not known."""
    asked = [{"id": f"q{i}", "question": "What?", "answers": [], **version} for i in range(2)]
    known = {"id": "k", "question": "Which?", "answers": [{"text": "one", "answer_start": 0}], **version}
    (tmp_path / "s.json").write_text(
        json.dumps({"data": [{"title": "A", "paragraphs": [{"context": "one", "qas": [*asked, known]}]}]})
    )
    task = read_task(tmp_path, format="squad", path=str(tmp_path / "s.json"), test_share=1.0)
    assert [e.answers for e in task.test] == [answers, answers, ("one",)]
    assert bool(task.test[0].question.gold) == (answers is None)


def test_beir_has_no_reference_answers(tmp_path: Path) -> None:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(
        '{"_id": "d1", "title": "T", "text": "one"}\n{"_id": "d2", "title": "", "text": "two"}\n'
    )
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "which?"}\n{"_id": "q2", "text": "what?"}\n')
    for split, query in (("test", "q1"), ("train", "q2")):
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{query}\td1\t1\n{query}\td2\t0\n")
    task = read_task(tmp_path, format="beir", path=str(folder))
    assert [e.question.gold for e in task.test] == [("d1",)] and task.test[0].answers is None and len(task.train) == 1


def _pdf(path: Path, words: str) -> None:
    """The smallest PDF that shows a line of text."""
    stream = f"BT /F1 12 Tf 72 700 Td ({words}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /MediaBox [0 0 612 792] "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for n, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (n, body)
    table = b"".join(b"%010d 00000 n \n" % o for o in offsets)
    path.write_bytes(
        out
        + b"xref\n0 6\n0000000000 65535 f \n"
        + table
        + b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % len(out)
    )


def test_pages_without_text_are_told(tmp_path: Path) -> None:
    import pypdf

    folder = tmp_path / "docs"
    folder.mkdir()
    _pdf(folder / "page.pdf", "The motor weighs 40 kg")
    for name, pages in {"mixed.pdf": (1, 3), "scan.pdf": (0, 2)}.items():
        writer = pypdf.PdfWriter()
        for _ in range(pages[0]):
            writer.append(folder / "page.pdf")
        for _ in range(pages[1]):
            writer.add_blank_page(width=612, height=792)
        writer.write(folder / name)
    (tmp_path / "q.jsonl").write_text(
        json.dumps({"question": "?", "answers": ["40 kg"], "document": "mixed.pdf"}) + "\n"
    )
    task = read_task(
        tmp_path, format="documents", path=str(folder), questions=str(tmp_path / "q.jsonl"), test_share=1.0
    )
    scans, pages = task.notes
    assert "1 file was left out" in scans and "scan.pdf" in scans and "hold no text" in scans
    assert pages.startswith("mixed.pdf: 3 of 4 pages hold no text") and pages.endswith("2, 3, 4.")


def test_an_answer_is_evidence_as_a_word_of_its_own(tmp_path: Path) -> None:
    """No part of another: "5 cm" does not stand in "15 cm"."""
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text("Its hose is 15 cm long. Its pump is noisy, and its cap is 5 cm wide.")
    row = {"question": "How wide?", "answers": ["5 cm"], "document": "a.txt"}
    (tmp_path / "q.jsonl").write_text(json.dumps(row) + "\n")
    options = {"format": "documents", "path": str(folder), "questions": str(tmp_path / "q.jsonl"), "test_share": 1.0}
    (example,) = read_task(tmp_path, **options).test
    assert [place.start for places in example.spans for place in places] == [58]
    (tmp_path / "q.jsonl").write_text(json.dumps(row | {"answers": ["no"]}) + "\n")
    with pytest.raises(UserError, match=r"'no' does not stand in 'a\.txt'"):
        read_task(tmp_path, **options)


def test_documents_map_spans_to_chunks(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    long = " ".join(f"Sentence number {i} of the text." for i in range(60))
    (folder / "a.txt").write_text(long)
    (folder / "b.md").write_text("# Title\n\nThe valve opens at 9 bar.")
    (folder / "c.html").write_text("<html><script>alert(1)</script><body><p>The pump is <b>blue</b>.</p></body></html>")
    _pdf(folder / "d.pdf", "The motor weighs 40 kg")
    rows: list[dict[str, Any]] = [
        {"question": "Which is forty-one?", "answers": ["number 41"], "document": "a.txt"},
        {"question": "When?", "answers": ["9 bar"], "document": "b.md", "quote": "opens at 9 bar"},
        {"question": "Colour?", "answers": ["blue"], "document": "c.html", "quote": "The pump is blue."},
        {"question": "Weight?", "answers": ["40 kg"], "document": "d.pdf"},
        {"question": "Span?", "answers": ["x"], "document": "a.txt", "start": 0, "end": len(long)},
        {"question": "Nothing?", "answers": []},
    ]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    task = read_task(
        tmp_path,
        format="documents",
        path=str(folder),
        questions=str(tmp_path / "q.jsonl"),
        chunking={"size": 200, "overlap": 40},
        test_share=1.0,
    )
    text = {p.id: p.text for p in task.corpus}
    by = {e.question.text: e for e in task.test}
    for row in rows[:4]:
        gold = by[row["question"]].question.gold
        assert gold and any(row["answers"][0] in text[g] for g in gold), row
    chunks_of_a = [i for i in text if i.startswith("a.txt#")]
    assert list(by["Span?"].question.gold) == chunks_of_a and len(chunks_of_a) > 5
    assert by["Nothing?"].answers == () and "alert" not in "".join(text.values())


def _native(folder: Path, **files: str) -> None:
    folder.mkdir()
    good = {
        "corpus": '{"id": "p1", "text": "one"}\n{"id": "p2", "text": "two"}\n',
        "train": '{"id": "t1", "question": "q?", "answers": ["one"], "gold": ["p1"]}\n',
        "test": '{"id": "e1", "question": "q?", "answers": ["two"], "gold": ["p2"]}\n',
    }
    for name, text in (good | files).items():
        (folder / f"{name}.jsonl").write_text(text)


@pytest.mark.parametrize(
    ("name", "text", "where", "said"),
    [
        (
            "corpus",
            '{"id": "p1", "text": "one"}\n{"id": "p1", "text": "two"}\n',
            "corpus.jsonl:2",
            "duplicate passage id 'p1', first at",
        ),
        ("corpus", "", "corpus.jsonl", "the corpus is empty"),
        ("corpus", '{"id": "p1", "text": "one"}\n{"id": "p2", "te\n', "corpus.jsonl:2", "malformed JSON"),
        ("corpus", '{"id": "p1", "text": ""}\n', "corpus.jsonl:1", "`text` must be a non-empty string"),
        ("corpus", "[1]\n", "corpus.jsonl:1", "expected a JSON object, found list"),
        (
            "test",
            '{"id": "e1", "question": "q?", "answers": ["x"], "gold": ["p9"]}\n',
            "test.jsonl:1",
            "gold passage 'p9' is not in corpus.jsonl",
        ),
        (
            "test",
            '\n{"id": "t1", "question": "q?", "answers": ["x"]}\n',
            "test.jsonl:2",
            "duplicate question id 't1', first at",
        ),
        ("test", '{"id": "e1", "answers": ["x"]}\n', "test.jsonl:1", "`question` must be"),
        (
            "test",
            '{"id": "e1", "question": "q", "answers": {"a": 1}}\n',
            "test.jsonl:1",
            "`answers` must be a string or a list",
        ),
        ("test", "", "test.jsonl", "no question in it"),
    ],
)
def test_broken_native_folders(tmp_path: Path, name: str, text: str, where: str, said: str) -> None:
    _native(tmp_path / "d", **{name: text})
    with pytest.raises(UserError) as e:
        read_task(tmp_path, format="native", path=str(tmp_path / "d"))
    assert where in str(e.value) and said in str(e.value), str(e.value)


def test_missing_and_foreign_sources(tmp_path: Path) -> None:
    for block, said in (
        ({"format": "native", "path": "/nowhere"}, "no such file or folder"),
        ({"format": "squad", "path": str(MINI / "dataset.yaml")}, "not SQuAD JSON"),
        ({"format": "records", "path": str(MINI / "test.jsonl"), "fields": {"question": "nope"}}, "no field 'nope'"),
        (
            {"format": "records", "path": str(MINI / "test.jsonl"), "fields": {"passages": "gold"}, "choices": ["1"]},
            "not one of the choices",
        ),
    ):
        with pytest.raises(UserError, match=said):
            read_task(tmp_path, **block)


def test_xquad_and_pubmedqa(tmp_path: Path, shared_data: Path) -> None:
    xquad = read_task(tmp_path, format="squad", path=str(shared_data / "xquad_en/xquad.en.json"))
    assert len(xquad.corpus) == 240 and len(xquad.train) + len(xquad.test) == 1190
    assert not groups(xquad, "train") & groups(xquad, "test")
    pubmed = shared_data / "pubmedqa"
    task = read_task(
        tmp_path,
        format="records",
        path=str(pubmed / "ori_pqal.json"),
        test_ids=str(pubmed / "test_ground_truth.json"),
        fields={"question": "QUESTION", "passages": "CONTEXTS", "answers": "final_decision"},
        choices=["yes", "no", "maybe"],
    )
    official = json.loads((pubmed / "test_ground_truth.json").read_text())
    assert {e.question.id: e.answers for e in task.test} == {k: (v,) for k, v in official.items()} and len(
        task.train
    ) == 500


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"id": "p1", "text": "one"}\n')
    rows = [
        '{"id": "a", "answers": ["x"]}',
        '{"id": "b", "question": "q?"}',
        '{"id": "c", "question": "q?", "gold": ["p9"]}',
    ]
    (tmp_path / "test.jsonl").write_text(
        "\n".join([*rows, *[f'{{"id": "d{n}", "question": "q?", "gold": ["g{n}"]}}' for n in range(30)]])
    )
    with pytest.raises(UserError) as e:
        native.read_folder(tmp_path)
    first, second, third, *_, last = str(e.value).split("\n")
    assert "test.jsonl:1: `question`" in first and "test.jsonl:3: gold passage 'p9'" in second
    assert "test.jsonl:4: gold passage 'g0'" in third and last == "and 12 more."


def test_an_empty_span_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text(json.dumps({"id": "p", "text": "t"}) + "\n")
    row = {"id": "q", "question": "?", "answers": ["t"], "gold": ["p"], "spans": [[]]}
    (tmp_path / "test.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match="lists of places in gold passages"):
        native.read_folder(tmp_path)


def test_judgements_without_a_header_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text(json.dumps({"_id": "p", "text": "t"}) + "\n")
    (tmp_path / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "?"}) + "\n")
    (tmp_path / "qrels" / "test.tsv").write_text("q\tp\t1\n")
    with pytest.raises(UserError, match="the first line is a judgement"):
        read_task(tmp_path, format="beir", path=str(tmp_path))


@pytest.mark.parametrize("judged", ["q\td\ts\nq1\td1\t0\n", "q\td\ts\n"])
def test_judgements_without_a_relevant_passage_name_their_file(tmp_path: Path, judged: str) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "text": "The pump runs."}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "What runs?"}\n')
    (tmp_path / "qrels" / "test.tsv").write_text(judged)
    with pytest.raises(UserError, match=r"qrels/test\.tsv: no query has a relevant passage here"):
        read_task(tmp_path, format="beir", path=str(tmp_path))
