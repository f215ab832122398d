"""Whatever is read from outside, changed at random: it is read, or it is the user's mistake in one line; never a
traceback. What was found once stands in tests/golden/fuzz.json, and is tried in every run of the tests.
"""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from bench.core import hub
from bench.core.errors import UserError
from bench.core.store import Store
from bench.data import prepare
from bench.data.formats import AnySource, native
from bench.execution import run_file, run_folder
from bench.gate import decisions, rules, snapshot
from bench.scoring import judge_stage
from bench.spec.load import load
from bench.verdict.score import read_scores, score
from systems import predictions
from systems.parts import endpoint
from tests.conftest import MICRO, MINI, raw_spec
from tests.golden.make import STORED

SOURCE: TypeAdapter[Any] = TypeAdapter(AnySource)
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["", "\0", "\ud800", "~", "${X}", "../x", "p1", "q1", "[]"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, part in inner for place in places(part, (*at, key)))]


def changed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """The document with something else at a place."""
    if not place:
        return new
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = new
    return copy


def baseline() -> Any:
    with tempfile.TemporaryDirectory() as name:
        for file in ("run.json", "records.jsonl"):
            shutil.copy(STORED / file, Path(name) / file)
        RUN[0] = snapshot.of_run(Path(name))
        whole = {"schema_version": 1, "accepted": "2026-01-01", **asdict(RUN[0])}
        return json.loads(json.dumps(whole))


def read_spec(folder: Path, value: Any) -> None:
    (folder / "x.yaml").write_text(yaml.safe_dump(value, allow_unicode=False))
    load(folder / "x.yaml")


def read_rules(folder: Path, value: Any) -> None:
    (folder / "x.yaml").write_text(yaml.safe_dump(value, allow_unicode=False))
    rules.load(folder / "x.yaml")


def read_row(folder: Path, value: Any) -> None:
    shutil.copytree(MINI, folder / "d")
    with (folder / "d" / "test.jsonl").open("a") as file:
        file.write(json.dumps(value) + "\n")
    native.read_folder(folder / "d")


def read_records(folder: Path, value: Any) -> None:
    (folder / "r.json").write_text(json.dumps([value]))
    (folder / "c.txt").write_text("x")
    block = {"format": "records", "path": str(folder / "r.json"), "fields": {"passages": "context"}}
    prepare.load(SOURCE.validate_python(block), Store(folder / "s"))


def read_squad(folder: Path, value: Any) -> None:
    paragraph = {"context": "x is it", "qas": [value]}
    (folder / "q.json").write_text(json.dumps({"data": [{"title": "t", "paragraphs": [paragraph]}]}))
    prepare.load(SOURCE.validate_python({"format": "squad", "path": str(folder / "q.json")}), Store(folder / "s"))


def read_documents(folder: Path, value: Any) -> None:
    (folder / "docs").mkdir()
    (folder / "docs" / "a.txt").write_text("x is it, and y is not")
    (folder / "q.jsonl").write_text(json.dumps(value) + "\n")
    block = {"format": "documents", "path": str(folder / "docs"), "questions": str(folder / "q.jsonl")}
    prepare.load(SOURCE.validate_python(block), Store(folder / "s"))


def read_about(folder: Path, value: Any) -> None:
    shutil.copytree(MINI, folder / "d")
    (folder / "d" / "dataset.yaml").write_text(yaml.safe_dump(value, allow_unicode=False))
    native.read_folder(folder / "d")


def read_answers(folder: Path, value: Any) -> None:
    (folder / "a.jsonl").write_text(json.dumps(value) + "\n")
    predictions.read(folder / "a.jsonl")


def read_scores_json(folder: Path, value: Any) -> None:
    (folder / "scores.json").write_text(json.dumps(value))
    read_scores(folder)


def read_run_records(folder: Path, value: Any) -> None:
    lines = (STORED / "records.jsonl").read_text().splitlines(keepends=True)
    shutil.copy(STORED / "run.json", folder / "run.json")
    (folder / "records.jsonl").write_text(json.dumps(value) + "\n" + "".join(lines[1:]))
    score(folder)


def read_baseline(folder: Path, value: Any) -> None:
    """And gate a run with it: what is believed must not crash what it is for."""
    (folder / "b.json").write_text(json.dumps(value))
    old = snapshot.read(folder / "b.json")
    decisions.gate(RUN[0], old)


def read_beir(folder: Path, value: Any) -> None:
    (folder / "corpus.jsonl").write_text(
        json.dumps(value["corpus"] if isinstance(value, dict) and "corpus" in value else value)
    )
    (folder / "queries.jsonl").write_text(json.dumps(value.get("query") if isinstance(value, dict) else value))
    (folder / "qrels").mkdir()
    score = value.get("score") if isinstance(value, dict) else value
    rows = ["query-id\tcorpus-id\tscore", f"q\tp\t{score}"]
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows), errors="surrogatepass")
    prepare.load(SOURCE.validate_python({"format": "beir", "path": str(folder)}), Store(folder / "s"))


def read_verdicts(folder: Path, value: Any) -> None:
    (folder / "judged.jsonl").write_text(json.dumps(value) + "\n")
    judge_stage.verdicts(folder)


def read_run_json(folder: Path, value: Any) -> None:
    (folder / "run.json").write_text(json.dumps(value))
    run_file.read_run(folder)


def read_result(folder: Path, value: Any) -> None:
    """What cannot be read is set aside, and made again: nothing is raised at all."""
    (folder / "result.json").write_text(json.dumps(value))
    found = run_folder.result_in(folder)
    if found is not None and found.get("status") == "done":
        run_folder.is_done(folder, str(found.get("identity")))


def read_model(folder: Path, value: Any) -> None:
    shutil.copytree(MICRO, folder / "m", ignore=shutil.ignore_patterns("curve.json"))
    (folder / "m" / "config.json").write_text(json.dumps(value))
    hub.pin(str(folder / "m"), None, what="base model", key="model.name")


def read_event(folder: Path, value: Any) -> None:
    try:
        endpoint._read(iter([f"data: {json.dumps(value)}", "data: [DONE]"]), None)
    except (ValidationError, ValueError) as e:
        raise UserError(str(e)) from None


ROW = {
    "id": "z",
    "question": "q?",
    "answers": ["x"],
    "gold": ["p00000"],
    "choices": [],
    "form": "x",
    "spans": [],
    "grades": [],
}
RUN = [snapshot.Snapshot("", "", "", {}, {}, "em", {})]  # what baselines are held against
READERS: dict[str, tuple[Callable[[Path, Any], None], Callable[[], Any]]] = {
    "spec": (read_spec, lambda: raw_spec(systems=[{"name": "a", "kind": "rag"}, {"name": "b", "kind": "lora"}])),
    "rules": (read_rules, lambda: {"rules": [{"metric": "em", "margin": 0.02}, {"metric": "p50_latency_s", "max": 1}]}),
    "native": (read_row, lambda: ROW),
    "records": (read_records, lambda: {"question": "q?", "answers": ["x"], "context": "x is it"}),
    "squad": (read_squad, lambda: {"id": "a", "question": "q?", "answers": [{"text": "x", "answer_start": 0}]}),
    "documents": (read_documents, lambda: {"question": "q?", "answers": ["x"], "document": "a.txt", "quote": "x is"}),
    "dataset.yaml": (read_about, lambda: yaml.safe_load((MINI / "dataset.yaml").read_text())),
    "answers": (read_answers, lambda: {"id": "q", "answer": "x", "latency_s": 0.5, "hits": []}),
    "scores": (read_scores_json, lambda: json.loads((STORED / "scores.json").read_text())),
    "baseline": (read_baseline, baseline),
    "beir": (read_beir, lambda: {"corpus": {"_id": "p", "text": "x"}, "query": {"_id": "q", "text": "q?"}, "score": 1}),
    "verdicts": (read_verdicts, lambda: {"cell": "a", "question": "q", "metric": "faithfulness", "value": 0.5}),
    "run.json": (read_run_json, lambda: json.loads((STORED / "run.json").read_text())),
    "result.json": (read_result, lambda: next(iter(json.loads((STORED / "run.json").read_text())["cells"].values()))),
    "model": (read_model, lambda: json.loads((MICRO / "config.json").read_text())),
    "event": (read_event, lambda: {"choices": [{"delta": {"content": "x"}}], "usage": {"prompt_tokens": 1}}),
    "run records": (read_run_records, lambda: json.loads((STORED / "records.jsonl").read_text().splitlines()[0])),
}
SEEDS = Path(__file__).parents[1] / "golden" / "fuzz.json"
FOUND = [(seed["reader"], seed["document"]) for seed in json.loads(SEEDS.read_text())]


def attempt(reader: str, value: Any) -> str:
    """Read it: what is told of it where it is refused, and nothing where it is read."""
    with tempfile.TemporaryDirectory() as name:
        try:
            READERS[reader][0](Path(name), value)
        except UserError as e:
            assert str(e)
            return str(e)
    return ""


@pytest.mark.parametrize("reader", READERS)
def test_what_is_right_is_read(reader: str) -> None:
    assert attempt(reader, READERS[reader][1]()) == ""


@pytest.mark.parametrize(("reader", "value"), FOUND)
def test_what_was_found_once_is_a_users_mistake(reader: str, value: Any) -> None:
    assert attempt(reader, value) != ""


FUZZ_S = 60.0  # of each reader; the first round of examples is taken whole


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_nothing_but_a_users_mistake(reader: str) -> None:
    whole = READERS[reader][1]()
    where = places(whole)

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(where), ODD)
    def change(place: tuple[Any, ...], new: Any) -> None:
        attempt(reader, changed(whole, place, new))

    end = time.monotonic() + FUZZ_S
    for number in itertools.count():
        seed(number)(change)()
        if time.monotonic() > end:
            return
