"""Tables of one's own: their columns, their corpus, and what is wrong with them."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench.core.errors import UserError
from tests.conftest import read_task

ROWS = [
    {"id": f"r{i}", "q": f"Q{i}?", "a": "yes" if i % 2 else "no", "ctx": [f"text {i}", f"more {i}"], "g": f"g{i // 2}"}
    for i in range(8)
]
FIELDS = {"id": "id", "question": "q", "answers": "a", "passages": "ctx"}


def _write(path: Path) -> None:
    if path.suffix == ".json":
        path.write_text(json.dumps(ROWS))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(r) + "\n" for r in ROWS))
    elif path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    else:
        with path.open("w", newline="") as f:
            writer = csv.DictWriter(f, list(ROWS[0]))
            writer.writeheader()
            writer.writerows({**r, "ctx": r["ctx"][0]} for r in ROWS)


@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv", "parquet"])
def test_records(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"r.{suffix}"
    _write(path)
    (tmp_path / "ids.json").write_text(json.dumps({"r1": "yes", "r2": "no"}))
    task = read_task(
        tmp_path,
        format="records",
        path=str(path),
        fields=FIELDS | {"group": "g"},
        choices=["yes", "no"],
        test_ids=str(tmp_path / "ids.json"),
    )
    assert [e.question.id for e in task.test] == ["r1", "r2"] and len(task.train) == 6
    first = task.test[0]
    assert first.answers == ("yes",) and first.question.choices == ("yes", "no") and first.group == "g0"
    assert next(p.text for p in task.corpus if p.id in first.question.gold) == "text 1"


def test_hub_format_reads_a_local_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "test.jsonl").write_text("".join(json.dumps({**r, "answers": {"text": [r["a"]]}}) + "\n" for r in ROWS))
    task = read_task(
        tmp_path, format="hub", id=str(folder), test_split="test", fields=FIELDS | {"answers": "answers.text"}
    )
    assert len(task.test) + len(task.train) == 8 and {e.answers for e in task.test} <= {("yes",), ("no",)}


def of_the_hub(folder: Path, answers: list[Any], kind: Any) -> Any:
    """What is read of a folder that the `datasets` library wrote, its answers of a kind of that library."""
    import datasets  # Hugging Face's, not our data folder

    text = datasets.Value("string")
    features = datasets.Features({"q": text, "a": kind(datasets), "ctx": text})
    rows = {"q": [f"q{i}?" for i in range(len(answers))], "a": answers, "ctx": ["one"] * len(answers)}
    folder.mkdir()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(folder / "test.parquet")
    fields = {"question": "q", "answers": "a", "passages": "ctx"}
    return [e.answers for e in read_task(folder, format="hub", id=str(folder), fields=fields, test_share=1.0).test]


def test_answers_of_a_hub_dataset_are_names_and_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    classes = of_the_hub(tmp_path / "classes", [1, 0, -1], lambda d: d.ClassLabel(names=["no", "yes"]))
    assert classes == [("yes",), ("no",), None]
    numbers = of_the_hub(tmp_path / "numbers", [0.00001, 1e21, float("nan")], lambda d: d.Value("float64"))
    assert numbers == [("0.00001",), ("1" + "0" * 21,), None]
    with pytest.raises(UserError, match="`answers` holds inf"):
        of_the_hub(tmp_path / "none", [2.5, float("inf")], lambda d: d.Value("float64"))


def test_records_that_share_a_passage_stay_on_one_side(tmp_path: Path) -> None:
    """r0 and r1 share one passage, r1 and r2 another: all three are one group, whichever passage comes first."""
    rows = [
        {"id": f"r{i}", "q": "x?", "a": "y", "ctx": [f"own {i}", f"pair {i // 2}", f"chain {(i + 1) // 2}"]}
        for i in range(12)
    ]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    for seed in range(4):
        task = read_task(tmp_path, format="records", path=str(tmp_path / "r.jsonl"), fields=FIELDS, seed=seed)
        sides = [{g for e in side for g in e.question.gold} for side in (task.train, task.test)]
        assert not sides[0] & sides[1]


def test_records_with_a_corpus_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "pages.csv").write_text("key,body,name\na,one,First\nb,two,\nunasked,three,\n")
    asked = [{"question": "q?", "answers": "one", "p": ["a", "b"]}, {"question": "r?", "answers": [], "p": []}]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(r) + "\n" for r in asked))
    options = {
        "format": "records",
        "path": str(tmp_path / "r.jsonl"),
        "corpus_path": str(tmp_path / "pages.csv"),
        "corpus_fields": {"id": "key", "text": "body", "title": "name"},
        "fields": {"passages": "p"},
        "test_share": 1.0,
    }
    task = read_task(tmp_path, **options)
    assert [(p.id, p.text, p.title) for p in task.corpus] == [
        ("a", "one", "First"),
        ("b", "two", ""),
        ("unasked", "three", ""),
    ]
    assert [e.question.gold for e in task.test] == [("a", "b"), ()]
    (tmp_path / "r.jsonl").write_text(json.dumps({"question": "q?", "answers": "x", "p": "unaskd"}) + "\n")
    with pytest.raises(UserError, match=r"no passage of the corpus has the id 'unaskd'. The nearest is 'unasked'"):
        read_task(tmp_path, **options)
    (tmp_path / "pages.csv").write_text("key,body,name\na,one,\na,two,\n")
    with pytest.raises(UserError, match="a second passage has the id 'a'"):
        read_task(tmp_path, **options)


def test_broken_tables_are_explained(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes("question,answers\nGr\xfc\xdfe?,a\n".encode("latin-1"))
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    for name, said in (("x.csv", "not readable as CSV"), ("x.parquet", "not readable as Parquet")):
        with pytest.raises(UserError, match=said):
            read_task(tmp_path, format="records", path=str(tmp_path / name))
    assert not (tmp_path / "store").exists()


def test_missing_and_empty_answers_are_unanswerable(tmp_path: Path) -> None:
    rows = [{"q": "a?", "ctx": "x", "a": ""}, {"q": "b?", "ctx": "y"}, {"q": "c?", "ctx": "z", "a": "yes"}]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    task = read_task(
        tmp_path,
        format="records",
        path=str(tmp_path / "r.jsonl"),
        fields={"question": "q", "answers": "a", "passages": "ctx"},
        test_share=1.0,
    )
    assert [e.answers for e in task.test] == [(), (), ("yes",)]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"question": "Q?", "answers": [" "], "passages": ["p"]}], "every answer is blank"),
        ([{"question": "Q?", "answers": ["a"], "passages": [" "]}], "is blank"),
    ],
)
def test_what_is_blank_is_found_before_the_run(rows: list[dict[str, Any]], said: str, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=re.escape(said)):
        read_task(
            tmp_path, format="records", path=str(tmp_path / "q.jsonl"), fields={"passages": "passages"}, test_share=1.0
        )


@pytest.mark.parametrize(("line", "said"), [("q,a,p,more", "more fields"), ("q,a", "fewer fields")])
def test_rows_of_another_length_than_the_header_are_errors(line: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(f"question,answers,passages\nQ?,a,p\n{line}\n")
    with pytest.raises(UserError, match=said):
        read_task(tmp_path, format="records", path=str(tmp_path / "q.csv"))


def test_records_without_ids_have_other_numbers_in_training(tmp_path: Path) -> None:
    for name in ("train", "test"):
        row = {"question": f"{name}?", "answers": ["a"], "passages": [f"p {name}"]}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    paths = {"path": str(tmp_path / "test.jsonl"), "train_path": str(tmp_path / "train.jsonl")}
    task = read_task(tmp_path, format="records", **paths, fields={"passages": "passages"})
    assert [e.question.id for e in (*task.train, *task.test)] == ["train-1", "1"]


def test_null_says_that_no_reference_is_known(tmp_path: Path) -> None:
    rows = [
        {"question": f"{n}?", "passages": ["p"], **given}
        for n, given in enumerate(({"answers": None}, {}, {"answers": []}))
    ]
    rows.append({"question": "x?", "passages": ["p"], "answers": "a"})
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = read_task(
        tmp_path, format="records", path=str(tmp_path / "q.jsonl"), fields={"passages": "passages"}, test_share=1.0
    )
    assert {e.question.text: e.answers for e in task.test} == {"0?": None, "1?": (), "2?": (), "x?": ("a",)}
