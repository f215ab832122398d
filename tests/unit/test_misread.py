"""Data that a hostile reader got past `validate`: what is misnamed, doubled or named a test is told, and not read as
something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bench.core.errors import UserError
from bench.core.store import Store
from bench.data import summary
from bench.data.formats.records import Records
from bench.data.source import named_test
from bench.execution.pinning import prepare
from bench.spec import init
from bench.spec.load import load, parse
from tests.conftest import EMBEDDER, MICRO, raw_spec, read_task


def jsonl(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def documents(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "pump.md").write_text("The pump runs at 14 rpm. The valve is red.\n")
    return {"format": "documents", "path": str(tmp_path / "docs"), "questions": str(tmp_path / "questions.jsonl")}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"answer": ["14 rpm"], "document": "pump.md", "quote": "14 rpm"}, "Did you mean `answers`"),
        ({"answers": ["14 rpm"], "document": "pump.md", "qoute": "red"}, "Did you mean `quote`"),
        ({"answers": ["red"], "document": "pump.md", "ocurrence": 1}, "Did you mean `occurrence`"),
        ({"reference": ["14 rpm"]}, "no line has `answers`"),
    ],
)
def test_misnamed_fields_of_documents(
    documents: dict[str, Any], tmp_path: Path, row: dict[str, Any], told: str
) -> None:
    jsonl(tmp_path / "questions.jsonl", {"question": "How fast?", **row})
    with pytest.raises(UserError, match=told):
        read_task(tmp_path, **documents)


def test_null_answers_of_documents_are_not_known(documents: dict[str, Any], tmp_path: Path) -> None:
    known = {"answers": None, "document": "pump.md", "quote": "14 rpm"}
    jsonl(tmp_path / "questions.jsonl", {"question": "How fast?", **known})
    (example,) = read_task(tmp_path, **documents, test_share=1.0).test
    assert example.answers is None and example.stratum == "answerable"


def test_a_span_that_holds_no_answer(documents: dict[str, Any], tmp_path: Path) -> None:
    span = {"document": "pump.md", "start": 26, "end": 42}  # "The valve is red"
    jsonl(tmp_path / "questions.jsonl", {"question": "How fast?", "answers": ["14 rpm"], **span})
    with pytest.raises(UserError, match=r"stands 'he valve is red\.', which holds no answer; '14 rpm' stands at 17"):
        read_task(tmp_path, **documents, test_share=1.0)
    jsonl(tmp_path / "questions.jsonl", {"question": "Does it run?", "answers": ["yes"], **span})
    assert read_task(tmp_path, **documents, test_share=1.0).test  # as no answer that is stated in other words would


def test_evidence_that_marks_another_place_is_warned_of(tmp_path: Path) -> None:
    spans = [[{"passage": "p", "start": 0, "end": 8}]]
    row = {"answers": ["is on"], "gold": ["p"], "spans": spans}
    (warning,) = summary.warnings(read_task(tmp_path, **native(tmp_path, row)))
    assert "the evidence of 1 test questions holds none of their answers" in warning
    spans[0][0]["end"] = 15
    jsonl(tmp_path / "data" / "test.jsonl", {"id": "0", "question": "Is it on?", **row})
    assert not list(summary.warnings(read_task(tmp_path, format="native", path=str(tmp_path / "data"))))


def native(tmp_path: Path, *rows: dict[str, Any]) -> dict[str, Any]:
    folder = tmp_path / "data"
    folder.mkdir()
    jsonl(folder / "corpus.jsonl", {"id": "p", "text": "The pump is on."})
    jsonl(folder / "test.jsonl", *({"id": str(n), "question": "Is it on?", **row} for n, row in enumerate(rows)))
    return {"format": "native", "path": str(folder)}


def test_no_line_of_a_native_split_has_answers(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no line has `answers`"):
        read_task(tmp_path, **native(tmp_path, {"reference": ["yes"]}, {"reference": ["no"]}))


def test_an_answer_is_one_of_its_choices(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'Yes' is not one of the choices .*Write 'yes'"):
        read_task(tmp_path, **native(tmp_path, {"answers": ["Yes"], "choices": ["yes", "no"]}))


def test_lists_of_objects_without_the_field(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "q.jsonl", {"question": "How fast?", "answers": [{"text": "14 rpm"}], "p": ["It runs."]})
    fields = {"question": "question", "answers": "answers[].txt", "passages": "p"}
    with pytest.raises(UserError, match=r"no record has the field 'answers\[\]\.txt'"):
        read_task(tmp_path, format="records", path=path, fields=fields)


@pytest.mark.parametrize(
    ("answers", "meant"),
    [([{"text": "14 rpm", "start": 3}], r"'answers\[\]\.text'"), ({"value": "x"}, "'answers.value'")],
)
def test_answers_that_are_objects_are_told_once(tmp_path: Path, answers: Any, meant: str) -> None:
    rows = [{"question": f"How fast {n}?", "answers": answers, "p": [f"It runs {n}."]} for n in range(9)]
    fields = {"question": "question", "answers": "answers", "passages": "p"}
    with pytest.raises(UserError, match=f"the answers in 'answers' are objects .*such as {meant}") as e:
        read_task(tmp_path, format="records", path=jsonl(tmp_path / "q.jsonl", *rows), fields=fields)
    assert len(str(e.value).splitlines()) == 1


def test_what_is_wrong_in_the_same_way_on_many_lines_is_told_once(tmp_path: Path) -> None:
    rows = [{"question": "How fast?", "answers": ["x"], "document": f"no-{n // 5}.md"} for n in range(10)]
    jsonl(tmp_path / "questions.jsonl", *rows)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "pump.md").write_text("The pump runs at 14 rpm.")
    source = {"format": "documents", "path": str(tmp_path / "docs"), "questions": str(tmp_path / "questions.jsonl")}
    with pytest.raises(UserError) as e:
        read_task(tmp_path, **source)
    first, second = str(e.value).splitlines()
    assert first.startswith(f"{tmp_path / 'questions.jsonl'}:1: no document 'no-0.md'")
    assert first.endswith("questions.jsonl:4 and 1 more places.") and "no-1.md" in second


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a/test.jsonl", True),
        ("testset.csv", True),
        ("my-test.json", True),
        ("test/part-0.jsonl", True),
        ("latest.jsonl", False),
        ("contest/a.jsonl", False),
    ],
)
def test_what_is_named_a_test(path: str, found: bool) -> None:
    assert named_test(path) is found


def test_a_test_is_not_given_to_train_on(documents: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="is named a test, and nothing of it is trained on"):
        Records.model_validate({"path": "a.jsonl", "train_path": "test.jsonl", "fields": {"question": "q"}})
    rows = [{"question": f"How fast {n}?", "answers": [], "document": "pump.md", "quote": "red"} for n in range(4)]
    jsonl(tmp_path / "test.jsonl", *rows)
    task = read_task(tmp_path, **documents | {"questions": str(tmp_path / "test.jsonl")})
    assert not task.train and len(task.test) == 4


def test_a_judgement_that_stands_twice(tmp_path: Path) -> None:
    jsonl(tmp_path / "corpus.jsonl", {"_id": "d", "text": "The pump."})
    jsonl(tmp_path / "queries.jsonl", {"_id": "q", "text": "What?"})
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t2\nq\td\t1\n")
    with pytest.raises(UserError, match=r"were judged before, with another score"):
        read_task(tmp_path, format="beir", path=str(tmp_path))


def test_a_csv_with_semicolons(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("question;answers;passage\nHow fast?;14 rpm;It runs at 14 rpm, says Vos.\n")
    fields = {"question": "question", "answers": "answers", "passages": "passage"}
    task = read_task(tmp_path, format="records", path=str(tmp_path / "q.csv"), fields=fields, test_share=1.0)
    assert task.test[0].answers == ("14 rpm",) and "Vos" in task.corpus[0].text


def test_one_document_is_never_divided_and_no_share_is_advised(documents: dict[str, Any], tmp_path: Path) -> None:
    rows = [{"question": f"How fast {n}?", "answers": ["red"], "document": "pump.md", "quote": "red"} for n in range(4)]
    jsonl(tmp_path / "questions.jsonl", *rows)
    spec = parse(raw_spec(dataset=documents, systems=[{"name": "lora", "kind": "lora"}]))
    with pytest.raises(UserError, match="Give a training split, or leave the system out"):
        prepare(spec, Store(tmp_path / "s"))


def test_init_compares_retrieval_alone_where_no_question_has_an_answer(tmp_path: Path) -> None:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    jsonl(folder / "corpus.jsonl", {"_id": "d", "text": "The pump."})
    jsonl(folder / "queries.jsonl", {"_id": "q", "text": "What?"})
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    init.write(tmp_path / "s.yaml", data=str(folder), questions=None, model=str(MICRO), embedder=str(EMBEDDER))
    found = prepare(load(tmp_path / "s.yaml"), Store(tmp_path / "s"))
    assert {cell.kind for cell in found.cells} == {"retriever"}


def test_null_names_are_none(tmp_path: Path) -> None:
    """A title, a group or a stratum that is null is as if it were not there; a group that is a number is one."""
    folder = tmp_path / "data"
    folder.mkdir()
    pages = [{"id": f"p{n}", "text": f"The pump runs at {n} rpm.", "title": None, "group": None} for n in range(4)]
    jsonl(folder / "corpus.jsonl", *pages)
    asked = {"question": "How fast?", "answers": ["1"], "gold": ["p1"], "stratum": None}
    jsonl(folder / "test.jsonl", {"id": "a", **asked, "group": None}, {"id": "b", **asked, "group": 0})
    task = read_task(tmp_path, format="native", path=str(folder))
    assert {(p.title, p.group) for p in task.corpus} == {("", p["id"]) for p in pages}
    assert [(e.group, e.stratum) for e in task.test] == [("p1", "all"), ("0", "all")]


@pytest.mark.parametrize("group", [None, []])
def test_records_without_a_group_are_groups_of_their_own(group: Any, tmp_path: Path) -> None:
    rows = [
        {
            "id": str(n),
            "question": f"How fast is {n}?",
            "answers": [str(n)],
            "text": f"{n} rpm",
            "kind": None,
            "g": group,
        }
        for n in range(20)
    ]
    fields = {"passages": "text", "group": "g", "stratum": "kind"}
    task = read_task(tmp_path, format="records", path=jsonl(tmp_path / "r.jsonl", *rows), fields=fields)
    assert len(task.train) == len(task.test) == 10 and {e.stratum for e in task.test} == {"answerable"}


def test_documents_without_an_id_are_numbered(documents: dict[str, Any], tmp_path: Path) -> None:
    row = {"question": "How fast?", "answers": ["14 rpm"], "document": "pump.md"}
    jsonl(tmp_path / "questions.jsonl", {"id": None, **row}, {"id": None, **row, "question": "How quick?"})
    task = read_task(tmp_path, **documents, test_share=1.0)
    assert len({e.question.id for e in task.test}) == 2 and "None" not in {e.question.id for e in task.test}


@pytest.mark.parametrize("place", [{"start": "3", "end": 5}, {"start": 3.0, "end": 5}, {"start": True, "end": 5}])
def test_places_are_whole_numbers(place: dict[str, Any], tmp_path: Path) -> None:
    jsonl(tmp_path / "corpus.jsonl", {"id": "p", "text": "The pump runs."})
    row = {"id": "q", "question": "What?", "answers": ["pump"], "gold": ["p"], "spans": [[{"passage": "p", **place}]]}
    jsonl(tmp_path / "test.jsonl", row)
    with pytest.raises(UserError, match=r"test\.jsonl:1: `spans` must be lists of places"):
        read_task(tmp_path, format="native", path=str(tmp_path))


def test_new_answers_that_are_blank_are_told(tmp_path: Path) -> None:
    jsonl(tmp_path / "corpus.jsonl", {"id": "p", "text": "The pump runs."})
    jsonl(
        tmp_path / "test.jsonl", {"id": "q", "question": "What?", "answers": ["pump"], "gold": ["p"], "updated": [""]}
    )
    with pytest.raises(UserError, match=r"test\.jsonl:1: every one of `updated` is blank"):
        read_task(tmp_path, format="native", path=str(tmp_path))


def test_lines_of_a_csv_are_counted_as_they_stand(tmp_path: Path) -> None:
    path, block = tmp_path / "r.csv", {"format": "records", "fields": {"passages": "text"}}
    path.write_text('id,question,answers,text\n\n1,"How\nfast?",9,nine rpm\n2,Why?,,\n3,\n')
    with pytest.raises(UserError, match=r"r\.csv:6: fewer fields than the header has"):
        read_task(tmp_path, path=str(path), **block)
    path.write_text("id,question,question,answers\n1,a,b,c\n")
    with pytest.raises(UserError, match=r"r\.csv:1: two columns are named 'question'"):
        read_task(tmp_path, path=str(path), **block)


def test_parquet_has_numbers_that_are_none_and_exact_ones(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from decimal import Decimal

    import pyarrow.parquet as parquet

    rows = {
        "id": ["1", "2"],
        "question": ["How much?", "How far?"],
        "answers": [Decimal("1.50"), Decimal("2.25")],
        "text": ["1.50 litres", "2.25 m"],
    }
    parquet.write_table(pyarrow.table(rows), tmp_path / "r.parquet")
    block = {
        "format": "records",
        "path": str(tmp_path / "r.parquet"),
        "fields": {"passages": "text"},
        "test_share": 1.0,
    }
    assert [e.answers for e in read_task(tmp_path, **block).test] == [("1.50",), ("2.25",)]
    rows["answers"] = [float("nan"), 2.25]
    parquet.write_table(pyarrow.table(rows), tmp_path / "r.parquet")
    assert [e.answers for e in read_task(tmp_path, **block).test] == [None, ("2.25",)]


def test_answers_that_some_lines_name_otherwise_are_told(tmp_path: Path) -> None:
    jsonl(tmp_path / "corpus.jsonl", {"id": "p", "text": "The pump runs at 14 rpm."})
    right = {"id": "a", "question": "How fast?", "answers": ["14 rpm"], "gold": ["p"], "source": "manual"}
    silent = {"id": "b", "question": "Who built it?", "source": "manual"}  # abstaining is right, as the format has it
    jsonl(tmp_path / "test.jsonl", right, silent)
    assert [e.answers for e in read_task(tmp_path, format="native", path=str(tmp_path)).test] == [("14 rpm",), ()]
    jsonl(tmp_path / "test.jsonl", right, {**silent, "expected": ["Ann"]})
    with pytest.raises(UserError, match=r"test\.jsonl:2: there is no `answers`, and a `expected` that no line"):
        read_task(tmp_path, format="native", path=str(tmp_path))
