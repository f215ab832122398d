"""Systems that generate nothing here: a retriever alone, and answers that were given elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.core.errors import UserError
from bench.core.store import Store
from bench.data.formats import native
from bench.execution.run import run
from bench.report import report
from bench.spec import kinds
from bench.spec.load import parse
from systems.predictions import read
from tests.conftest import MINI, raw_spec, scores_json

TASK = native.stored(MINI)  # as a cell reads it


def written(path: Path, *, timed: bool = True) -> Path:
    """Every second question answered rightly and with its passage, the others wrongly; one is missing."""
    rows: list[dict[str, Any]] = []
    for number, example in enumerate(TASK.test[1:]):
        right = number % 2 == 0
        said = (example.answers or ("unknown",))[0] if right else "nonsense"
        hits = [{"passage_id": ident, "text": "x"} for ident in example.question.gold] if right else []
        row: dict[str, Any] = {"id": example.question.id, "answer": said, "hits": hits}
        rows.append(row | ({"latency_s": 0.25} if timed else {}))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.heavy
def test_a_product_is_judged_beside_what_is_built(tmp_path: Path) -> None:
    product = written(tmp_path / "product.jsonl")
    official = tmp_path / "squad.json"
    official.write_text(json.dumps({e.question.id: (e.answers or ("unknown",))[0] for e in TASK.test}))
    systems = [
        {"name": "product", "kind": "predictions", "answered": {"path": str(product)}},
        {"name": "truth", "kind": "predictions", "answered": {"path": str(official)}},
        {"name": "find", "kind": "retriever", "retrieval": {"mode": "bm25"}},
    ]
    spec = parse(raw_spec(systems=systems, measure={"rounds": 2}, control=True))
    outcome = run(spec, out=tmp_path / "r", store=tmp_path / "s")
    assert outcome.status == "complete", outcome.failed
    found = scores_json(outcome.folder)["systems"]
    assert list(found) == ["product", "truth", "find", "closed-book"]  # what is judged must beat the base model alone
    product_, truth, find, _ = found.values()
    assert truth["scores"]["em"]["mean"] == 1.0 and product_["errors"] == 1
    assert 0.4 < product_["scores"]["em"]["mean"] < 0.6 and 0.4 < product_["scores"]["recall_at_k"]["mean"] < 0.7
    assert product_["memory"]["peak_rss_growth_bytes"] is None and find["memory"]["peak_rss_growth_bytes"]
    assert set(scores_json(outcome.folder)["outcomes"]) == {"product", "truth", "closed-book"}  # `find` answers nothing
    assert product_["speed"]["p50_s"] == 0.25 and product_["speed"]["questions_per_s"] is None
    assert truth["speed"]["p50_s"] is None and not truth["speed"]["rounds"]
    assert find["scores"]["em"] is None and find["scores"]["recall_at_k"]["mean"] > 0.5
    assert len(find["speed"]["rounds"]) == 2
    assert "product" in report(outcome.folder).read_text()
    product.write_text(product.read_text().replace("nonsense", "rubbish"))
    assert run(spec, out=tmp_path / "r", store=tmp_path / "s").computed == 1  # other answers are another system


@pytest.mark.heavy
def test_retrievers_alone_are_ranked_by_recall(tmp_path: Path) -> None:
    systems = [{"name": m, "kind": "retriever", "retrieval": {"mode": m}} for m in ("bm25", "dense")]
    outcome = run(parse(raw_spec(systems=systems)), out=tmp_path / "r", store=tmp_path / "s")
    found = scores_json(outcome.folder)
    assert found["headline"] == "recall_at_k" and found["recommendation"]["metric"] == "recall_at_k"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": "q", "text": "x"}\n', r"a.jsonl:1: `answer`: Field required.*It has: id, text"),
        ('{"id": "q", "answer": "x"}\n{"answer": "y"}\n', "a.jsonl:2"),
        ('{"id": "q", "answer": "x", "latency_s": "fast"}\n', "`latency_s`: Input should be a valid number"),
        ('{"id": "q", "answer": "x", "hits": ["p1"]}\n', "`hits.0`: Input should be a valid dictionary"),
        ('{"id": "q", "answer": "x", "latency_s": 1e400}\n', "`latency_s`: Input should be a finite number"),
        ('{"id": "q", "answer": "x", "hits": [{"passage_id": "p", "start": "abc"}]}\n', "`hits.0.start`"),
        ('{"id": "q", "answer": "x", "hits": [{"passage_id": "p", "score": 1e400}]}\n', "`hits.0.score`"),
        ('{"id": "1", "answer": "x"}\n{"id": 1, "answer": "y"}\n', "a.jsonl:2: question '1' is answered twice"),
    ],
)
def test_a_broken_file_of_answers_is_explained(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(UserError, match=said):
        read(tmp_path / "a.jsonl")


def test_a_missing_file_of_answers_is_told_before_anything_runs(tmp_path: Path) -> None:
    systems = [{"name": "p", "kind": "predictions", "answered": {"path": "nowhere.jsonl"}}]
    with pytest.raises(UserError, match=r"nowhere.jsonl: no such file of answers"):
        run(parse(raw_spec(systems=systems)), out=tmp_path / "r", store=tmp_path / "s")
    assert not (tmp_path / "r" / "t" / "run.json").exists()


def test_answers_to_other_questions_are_told_before_anything_runs(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"q1": "14 rpm"}')
    spec = parse(raw_spec(systems=[{"name": "p", "kind": "predictions", "answered": {"path": str(other)}}]))
    with pytest.raises(UserError, match=r"answers none of the 40 test questions: its ids are such as 'q1'"):
        run(spec, out=tmp_path / "r", store=tmp_path / "s")
    assert not (tmp_path / "r").exists()


def test_what_a_product_found_is_placed_where_it_stands(tmp_path: Path) -> None:
    page, question = TASK.corpus[0], TASK.test[0].question
    hits = [
        {"passage_id": page.id, "text": page.text[20:60]},
        {"passage_id": page.id, "text": "which stands nowhere"},
        {"passage_id": page.id, "text": page.text[:10], "start": 7},  # as it says
    ]
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"id": question.id, "answer": "x", "hits": hits}) + "\n")
    kind = kinds.load("predictions")
    config = kind.Config.model_validate({"model": {"name": "none"}, "answered": {"path": str(path)}})
    (answer,) = kind.build(config, TASK.material, Store(tmp_path / "s")).answer([question])
    assert [hit.start for hit in answer.hits or ()] == [20, None, 7]
