"""The types of run.json and scores.json: nothing is lost, older files are read, and the schemas are published."""

from __future__ import annotations

import gzip
import json
import lzma
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bench import parse
from bench.core.errors import UserError
from bench.execution.run import run
from bench.execution.run_file import RunFile, read_run
from bench.metrics.registry import JUDGED, MEASURES, TABLES, in_table
from bench.report import report
from bench.scoring.judge_stage import summary, verdicts
from bench.scoring.schema import Scores
from bench.spec import kinds
from bench.verdict.score import read_scores, score
from tests.conftest import ROOT, raw_spec, scores_json
from tests.golden.make import STORED

PUBLISHED = [STORED, *sorted(p.parent for p in (ROOT / "reports" / "published").glob("*/scores.json"))]
RENAMED = {"peak_rss_bytes": "peak_rss_growth_bytes", "train_peak_rss_bytes": "train_peak_rss_growth_bytes"}
SCHEMAS = {"scores": Scores.model_json_schema, "run": RunFile.model_json_schema}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of everything that is neither a mapping nor a list, under the names of this version."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{RENAMED.get(key, key)}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{number}]")
    else:
        yield path, value


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda p: p.name)
def test_every_figure_of_a_stored_run_is_read(folder: Path) -> None:
    raw = dict(leaves(json.loads((folder / "scores.json").read_text())))
    typed = dict(leaves(read_scores(folder).model_dump(mode="json")))
    assert len(raw) > 300
    assert {path: typed.get(path, "lost") for path in raw} == raw
    assert read_run(folder).cells


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schemas_are_published(name: str) -> None:
    stored = json.loads((ROOT / "docs" / "schemas" / f"{name}.json").read_text())
    assert stored == SCHEMAS[name](), f"ragtune schema --of {name} > docs/schemas/{name}.json"


def test_what_a_run_writes_fits_its_schema(tmp_path: Path) -> None:
    outcome = run(parse(raw_spec()), out=tmp_path / "r", store=tmp_path / "s")
    jsonschema.validate(scores_json(outcome.folder), Scores.model_json_schema())
    raw = json.loads((outcome.folder / "run.json").read_text())
    jsonschema.validate(raw, RunFile.model_json_schema())
    assert raw["systems"]["echo"]["family"] == "both"


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda p: p.name)
def test_a_published_run_fits_the_schemas(folder: Path) -> None:
    """Under the names of this version and under older ones; no other names."""
    for name, of in SCHEMAS.items():
        schema, raw = of(), json.loads((folder / f"{name}.json").read_text())
        jsonschema.validate(raw, schema)
        written = json.dumps(raw).replace('"peak_rss_', '"peak_rsss_')
        if written != json.dumps(raw):  # a run of experiments alone has no such figure
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(json.loads(written), schema)
    assert "recorded" not in RunFile.model_json_schema()["properties"]


def test_a_spec_of_a_newer_version_is_read(tmp_path: Path) -> None:
    raw = json.loads((STORED / "run.json").read_text())
    raw["spec"] |= {"later": 1, "measure": raw["spec"]["measure"] | {"later": {"a": 1}}}
    raw["spec"]["dataset"]["later"] = True
    del raw["models"]
    (tmp_path / "run.json").write_text(json.dumps(raw))
    found = read_run(tmp_path)
    assert found.spec == read_run(STORED).spec and found.recorded["later"] == 1
    raw["spec"]["seeds"] = "many"
    (tmp_path / "run.json").write_text(json.dumps(raw))
    with pytest.raises(UserError, match=r"`spec\.seeds`"):
        read_run(tmp_path)


@pytest.mark.parametrize("row", ['"value": 1.0, "later": 2', '"value": 1'])
def test_a_verdict_file_may_hold_more(row: str, tmp_path: Path) -> None:
    (tmp_path / "judged.jsonl").write_text(f'{{"cell": "c", "question": "q", "metric": "m", {row}}}\n')
    assert verdicts(tmp_path)["c", "q"]["m"].value == 1.0


def test_damaged_verdicts_are_told(tmp_path: Path) -> None:
    (tmp_path / "entailed.jsonl").write_text('{"cell": "c", "question": "q", "metric": "entailment"}\n')
    with pytest.raises(UserError, match=r"entailed\.jsonl:1: no verdict: `value`.*ragtune judge"):
        verdicts(tmp_path)
    (tmp_path / "judge.json").write_text('{"failed": "half"}')
    with pytest.raises(UserError, match=r"judge\.json: damaged summary of a judge.*ragtune judge"):
        summary(tmp_path)


OWN = """
from typing import Literal

from bench.core import meters
from bench.core.system import Prompt, SystemConfig, Tuning
from tests.kinds.echo import Echo as Echoed

FAMILY = "retrieval"

class Words(Prompt):
    tone: str = "plain"

class Learning(Tuning):
    curriculum: bool = True

class Config(SystemConfig):
    prompt: Words = Words()
    tuning: Learning = Learning()
    precision: Literal["native", "int8"] = "int8"
    fault: str = "none"
    after: int = 10_000
    delay_s: float = 0.0
    tally: None = None

class Echo(Echoed):
    def index_recall(self, questions):
        return [None, *[1.0 for _ in questions[1:]]]

def build(config, material, store):
    meters.note("device", 0)
    meters.note("parameters", 1e9 + 0.5)
    meters.note("peaks", {"flops_per_s": 1e12})
    meters.note("tuning", {"steps": 5, "tokens": 100})
    return Echo(config)
"""


def test_an_own_kind_may_say_what_it_likes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its blocks may have further fields, and its notes need not be whole."""
    (tmp_path / "free").mkdir()
    (tmp_path / "free" / "kind.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    spec = parse(raw_spec(systems=[{"name": "own", "kind": "free.kind"}]))
    outcome = run(spec, out=tmp_path / "r", store=tmp_path / "s")
    own = score(outcome.folder).measured["own"]
    assert outcome.status == "complete" and own.precision == "int8" and own.family == "retrieval"
    assert (own.build.steps, own.build.tokens, own.build.step_s) == (5, 100, None)
    assert own.memory.parameters == 1e9 + 0.5 and own.device == "0" and own.limits.decode is None
    assert report(outcome.folder).exists()


def test_a_family_that_no_report_knows_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "kind.py").write_text(OWN.replace('"retrieval"', '"mine"'))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"FAMILY = 'mine'.*experiment"):
        kinds.load("odd.kind")


@pytest.mark.parametrize(("suffix", "pack"), [("xz", lzma.compress), ("gz", gzip.compress)])
def test_packed_records_give_the_same_scores(suffix: str, pack: Any, tmp_path: Path) -> None:
    outcome = run(parse(raw_spec()), out=tmp_path / "r", store=tmp_path / "s")
    whole, path = score(outcome.folder), outcome.folder / "records.jsonl"
    packed = path.with_name(f"records.jsonl.{suffix}")
    packed.write_bytes(pack(path.read_bytes()))
    path.unlink()
    assert score(outcome.folder) == whole and report(outcome.folder, again=True).exists()
    (outcome.folder / "scores.json").unlink()
    assert score(outcome.folder) == whole
    for damaged in (b"not packed", packed.read_bytes()[:-40]):
        packed.write_bytes(damaged)
        with pytest.raises(UserError, match=r"cannot be read.*Pack it again"):
            score(outcome.folder)


KEPT = [folder for folder in PUBLISHED if any(folder.glob("records.jsonl*"))]


@pytest.mark.parametrize(
    "folder",
    [pytest.param(f, marks=pytest.mark.heavy) if f.name == "plant-full-cpu" else f for f in KEPT],
    ids=lambda p: p.name,
)
def test_a_published_run_can_be_scored_again(folder: Path, tmp_path: Path) -> None:
    for file in (folder / "run.json", *folder.glob("records.jsonl*")):
        shutil.copy(file, tmp_path)
    again, stored = (
        dict(leaves(s.model_dump(mode="json", exclude={"seal"}))) for s in (score(tmp_path), read_scores(folder))
    )
    # as many threads as there are cores add up sums in another order: the last digits differ
    assert again == {
        path: pytest.approx(v, rel=1e-9, abs=1e-12) if isinstance(v, float) else v for path, v in stored.items()
    }


def test_damaged_scores_are_computed_again(tmp_path: Path) -> None:
    outcome = run(parse(raw_spec()), out=tmp_path / "r", store=tmp_path / "s")
    whole, path = score(outcome.folder), outcome.folder / "scores.json"
    raw = json.loads(path.read_text())
    del raw["headline"]
    path.write_text(json.dumps(raw))
    with pytest.raises(UserError, match=r"headline.*ragtune score"):
        read_scores(outcome.folder)
    assert score(outcome.folder) == whole == read_scores(outcome.folder)


def test_a_damaged_run_is_told_with_the_key(tmp_path: Path) -> None:
    raw = json.loads((STORED / "run.json").read_text())
    del raw["environment"]["cpu"]
    (tmp_path / "run.json").write_text(json.dumps(raw))
    with pytest.raises(UserError, match=r"environment\.cpu.*ragtune run"):
        read_run(tmp_path)


def test_measures_are_declared_once() -> None:
    tabled = [name for table in TABLES for name in in_table(table)]
    assert len(tabled) == len(set(tabled)) and set(tabled) <= set(MEASURES)
    assert {name for name, measure in MEASURES.items() if measure.source == "judge"} == set(JUDGED)
    titles = [measure.title for measure in MEASURES.values()]
    assert len(set(titles)) == len(titles)
