"""The spec: what it accepts, and what it says of what it does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.cli.main import app
from bench.core import hub
from bench.core.errors import UserError
from bench.core.files import write_jsonl
from bench.core.store import Store
from bench.execution.pinning import prepare
from bench.spec import kinds, yaml_lines
from bench.spec.cells import cells
from bench.spec.json_schema import schema
from bench.spec.load import load, parse
from bench.spec.model import Spec
from tests.conftest import MINI, ROOT, raw_spec

SPECS = sorted((ROOT / "bench" / "specs").rglob("*.yaml"))


def test_there_are_specs() -> None:
    assert {"quickstart", "plant-full", "xquad", "pubmedqa", "qlora-slowdown"} <= {p.stem for p in SPECS}


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_every_spec_of_the_project_is_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGTUNE_EMBEDDER", "/nowhere")
    spec = load(path)
    assert cells(spec)


@pytest.mark.parametrize("path", sorted((ROOT / "bench" / "specs").glob("gpu-*.yaml")), ids=lambda p: p.stem)
def test_the_specs_for_gpus_validate_and_plan_where_no_hub_is(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(hub.HfApi, "model_info", unreachable)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    sets = ["--set", "dataset={path: plant}", "--set", "embedder.name=micro"]
    shown = CliRunner().invoke(app, ["validate", str(path), *sets])
    assert shown.exit_code == 0 and ": valid." in shown.output, shown.exception
    planned = CliRunner().invoke(app, ["plan", str(path), *sets, "--json", "--store", str(tmp_path / "s")])
    assert planned.exit_code == 0, planned.exception
    if path.stem != "gpu-shapes":
        assert "was not checked: base model" in shown.output and "the hub did not give it" in shown.output
        assert "fits in memory is not known: its weights are not here yet" in shown.output
        with pytest.raises(UserError, match="the hub did not give it"):
            prepare(load(path, [s for s in sets if s != "--set"]), Store(tmp_path / "s"))


def test_the_gpu_report_has_what_is_to_be_seen_on_one() -> None:
    spec = load(ROOT / "bench" / "specs" / "gpu-shapes.yaml")
    found = {c.system: c.config for c in cells(spec)}
    assert found["slowdown"]["tokens"] == found["slowdown-authors"]["tokens"] == [64, 256, 2048, 8192]
    assert {found[f"slowdown{s}"]["model"]["shape"] for s in ("", "-0.5b", "-3.8b")} == {
        "llama3.1-8b",
        "qwen2.5-0.5b",
        "phi3-mini",
    }
    assert found["one-token"]["generation"]["max_new_tokens"] == 1 and found["on-cpu"]["model"]["device"] == "cpu"
    assert found["memory-70b"]["alone"] and found["too-large"]["model"]["shape"] == "llama3-70b"


def test_quickstart_compares_ten_systems() -> None:
    whole = cells(load(ROOT / "bench/specs/quickstart.yaml"))
    found = [(c.system, c.kind, c.config["precision"]) for c in whole if c.scenario is None and c.kind != "slowdown"]
    assert [k for _, k, _ in found].count("rag") == 4 and len(found) == 10
    assert ("rag-nf4", "rag", "nf4") in found and ("qlora", "qlora", "nf4") in found
    assert ("hybrid-naive", "hybrid", "native") in found and ("qlora", "qlora", "nf4") in found


GOOD = """\
name: t
dataset: {path: plant-mini}
model: {name: micro}
retrieval:
  k: 4
systems:
  - {name: a, kind: rag}
  - {name: b, kind: lora}
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("  k: 4", "  kk: 4", 5, ["unknown key `retrieval.kk`", "Did you mean `k`?"]),
        ("  k: 4", "  index: faiss_flatt", 5, ["no vector index 'faiss_flatt'", "Did you mean 'faiss_flat'?"]),
        ("kind: rag}", "kind: rag, retrieval: {index: nmslib}}", 7, ["no vector index 'nmslib'", "hnswlib"]),
        ("kind: rag}", "kind: rag, matrix: {retrieval.index: [hnswlib, x]}}", 7, ["no vector index 'x'"]),
        ("  k: 4", "  k: 4\nneeds: {metric: emm}", 6, ["`needs.metric`: no such measure", "'em'"]),
        ("  k: 4", "  k: 4\nneeds: {metric: stale}", 6, ["less of this measure is better"]),
        ("  k: 4", "  k: four", 5, ["`retrieval.k`", "integer", "'four'"]),
        ("  k: 4", "  k: 0", 5, ["greater than or equal to 1"]),
        ("model: {name: micro}", "modell: {name: micro}", None, ["`model` is missing", "unknown key `modell`"]),
        ("kind: rag}", "kind: rga}", 7, ["unknown kind 'rga'", "Did you mean 'rag'?"]),
        ("kind: rag}", "kind: nobody.at_home}", 7, ["no module 'nobody.at_home'"]),
        ("kind: rag}", "kind: bench.core.vocabulary}", 7, ["is no kind of system"]),
        ("kind: rag}", "kind: rag, tuning: {rank: 4}}", 7, ["unknown key `tuning`"]),
        ("kind: rag}", "kind: rag, retrieval: {indx: faiss_flat}}", 7, ["unknown key `retrieval.indx`", "`index`"]),
        ("name: b, kind: lora", "name: a, kind: lora", 8, ["two systems are named 'a'"]),
        ("kind: lora}", "kind: hybrid, rag: a, adapter: c}", 8, ["names 'c' as its adapter", "no such system"]),
        ("kind: lora}", "kind: hybrid, rag: a}", 8, ["must say `adapter:`"]),
        ("kind: lora}", "kind: hybrid, rag: a, adapter: a}", 8, ["takes its method from 'a', but a rag has none"]),
        ("kind: lora}", "kind: hybrid, rag: a, adapter: b}", 8, ["in a circle"]),
        ("kind: lora}", "kind: lora, precision: nf4}", 8, ["`precision`", "'native'"]),
        ("{name: micro}", "{name: micro, trust_remote_code: true}", 3, ["unknown key `model.trust_remote_code`"]),
        ("{name: micro}", "{name: m, base_url: http://x}", 8, ["needs the model's weights", "an endpoint gives none"]),
        ("{name: micro}", "{name: m, base_url: 'http://me:secret@x/v1'}", 3, ["must hold no user, password or query"]),
        ("{path: plant-mini}", "{format: squadd, path: x}", 2, ["`dataset`"]),
        ("{path: plant-mini}", "{path: '${NOT_SET_ANYWHERE}'}", 2, ["NOT_SET_ANYWHERE is not set"]),
        ("name: t", "name: [t", 2, ["malformed YAML"]),
        ("name: t", "name: t\nname: u", 2, ["`name` stands twice"]),
        ("name: t", "name: ../escape", 1, ["`name`"]),
    ],
)
def test_errors_name_line_and_remedy(tmp_path: Path, old: str, new: str, line: int | None, said: list[str]) -> None:
    assert old in GOOD
    path = tmp_path / "s.yaml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(UserError) as e:
        load(path)
    message = str(e.value)
    assert message.startswith(f"{path}:{line}: " if line else f"{path}: "), message
    for part in said:
        assert part in message, message
    assert all(line.startswith(str(path)) for line in message.split("\n"))  # a mistake is one line
    assert [p.name for p in tmp_path.iterdir()] == ["s.yaml"]


def test_overrides(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(GOOD)
    spec = load(path, ["retrieval.k=7", "systems.b.tuning={rank: 3}", "seeds=[1, 2]"])
    assert spec.retrieval.k == 7 and spec.seeds == (1, 2)
    assert [c.config["tuning"]["rank"] for c in cells(spec) if c.kind == "lora"] == [3, 3]
    path.write_text(GOOD.replace("name: b,", "name: b-3.8b,"))
    tuned = load(path, ["systems.b-3.8b.tuning.rank=5", "systems.0.retrieval.k=9"])  # a name may hold a dot
    assert [c.config["tuning"]["rank"] for c in cells(tuned) if c.kind == "lora"] == [5]
    assert next(c.config["retrieval"]["k"] for c in cells(tuned) if c.system == "a") == 9
    path.write_text(GOOD.replace("name: b,", "name: a.tuning,"))
    with pytest.raises(UserError, match=r"'a' or 'a\.tuning' may be meant"):
        load(path, ["systems.a.tuning.rank=5"])
    path.write_text(GOOD)
    for bad, said in (
        ("retrieval", "Write it as"),
        ("systems.zz.kind=rag", "There are: a, b"),
        ("retrieval.kk=1", "Did you mean `k`"),
    ):
        with pytest.raises(UserError, match=said):
            load(path, [bad])


def test_seeds_multiply_only_what_trains(make_spec: Callable[..., Spec]) -> None:
    spec = make_spec(systems=[{"name": "r", "kind": "rag"}, {"name": "l", "kind": "lora"}], seeds=[1, 2, 3])
    assert [c.id for c in cells(spec)] == ["r-s1", "l-s1", "l-s2", "l-s3"]
    assert [c.config["seed"] for c in cells(spec)] == [1, 1, 2, 3]


def test_matrix_of_a_system_and_of_the_spec(make_spec: Callable[..., Spec]) -> None:
    systems: list[dict[str, Any]] = [
        {"name": "c", "kind": "closed_book"},
        {"name": "r", "kind": "rag", "matrix": {"retrieval.index": ["faiss_flat", "hnswlib"]}},
    ]
    found = cells(make_spec(systems=systems, matrix={"retrieval.k": [2, 4]}))
    assert [c.system for c in found] == ["c"] + [
        f"r+k={k}+index={i}" for k in (2, 4) for i in ("faiss_flat", "hnswlib")
    ]
    assert [c.config["retrieval"]["k"] for c in found[1:]] == [2, 2, 4, 4]


def test_hybrid_takes_the_blocks_of_what_it_names(make_spec: Callable[..., Spec]) -> None:
    spec = make_spec(
        systems=[
            {"name": "h", "kind": "hybrid", "rag": "r", "adapter": "q"},  # before what it names
            {"name": "r", "kind": "rag", "retrieval": {"k": 9, "mode": "fused"}},
            {"name": "q", "kind": "qlora", "tuning": {"rank": 3}},
        ]
    )
    by = {c.system: c.config for c in cells(spec)}
    assert by["h"]["retrieval"] == by["r"]["retrieval"] and by["h"]["tuning"] == by["q"]["tuning"]
    assert by["h"]["precision"] == "nf4" and by["h"]["retrieval"]["k"] == 9


def test_hybrid_of_raft_remembers_how_raft_was_trained(make_spec: Callable[..., Spec]) -> None:
    spec = make_spec(
        systems=[
            {"name": "r", "kind": "rag", "retrieval": {"mode": "bm25"}},
            {"name": "x", "kind": "raft", "retrieval": {"k": 2}},
            {"name": "h", "kind": "hybrid", "rag": "r", "adapter": "x"},
        ]
    )
    by = {c.system: c.config for c in cells(spec)}
    assert by["h"]["retrieval"]["mode"] == "bm25" and by["h"]["raft"] == by["x"]["raft"]
    assert by["h"]["raft"]["retrieval"]["k"] == 2


def test_unequal_searches_are_refused(make_spec: Callable[..., Spec]) -> None:
    systems = [{"name": "l", "kind": "lora"}, {"name": "q", "kind": "qlora", "tuning": {"search": {"trials": 3}}}]
    with pytest.raises(UserError, match="different numbers of trials"):
        make_spec(systems=systems)


def test_identity_is_of_what_changes_the_records(make_spec: Callable[..., Spec]) -> None:
    def identity(**changes: Any) -> str:
        spec = make_spec(**changes)
        return cells(spec)[0].identity("data", spec.measure)

    assert identity() == identity(name="other", prices={"cpu_hour_usd": 1.0}, description="x")
    assert identity() != identity(generation={"max_new_tokens": 5})


def test_a_spec_is_what_was_written_not_where_it_lay(tmp_path: Path) -> None:
    digests = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "s.yaml").write_text(GOOD)
        digests.add(load(tmp_path / name / "s.yaml").digest)
    assert len(digests) == 1


def test_spec_round_trips_through_its_own_json() -> None:
    spec = load(ROOT / "bench/specs/quickstart.yaml")
    again = parse(json.loads(json.dumps(spec.model_dump(mode="json"))))
    assert again.digest == spec.digest and [c.config for c in cells(again)] == [c.config for c in cells(spec)]


def test_schema_agrees_with_the_model() -> None:
    import jsonschema

    checker = jsonschema.Draft202012Validator(schema())
    checker.check_schema(schema())
    for path in SPECS:
        checker.validate(yaml_lines.read(path)[0])
    for change in ({"retreival": {}}, {"systems": [{"name": "a", "kind": "rag", "tuning": {}}]}, {"systems": []}):
        assert list(checker.iter_errors(raw_spec(systems=[{"name": "a", "kind": "rag"}]) | change)), change
    assert not list(checker.iter_errors(raw_spec()))  # a dotted kind


def test_a_block_that_no_system_uses_is_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(GOOD.replace("  k: 4", "  index: x").replace("kind: rag", "kind: closed_book"))
    with pytest.raises(UserError, match=r"s\.yaml:5: there is no vector index 'x'\."):
        load(path)
    assert "hnswlib" in schema()["$defs"]["Retrieval"]["properties"]["index"]["enum"]


def test_every_builtin_kind_says_what_it_is() -> None:
    assert set(kinds.builtin()) == {
        "closed_book",
        "few_shot",
        "long_context",
        "oracle",
        "rag",
        "rag_few_shot",
        "lora",
        "qlora",
        "full",
        "raft",
        "hybrid",
        "retriever",
        "predictions",
        "slowdown",
        "churn",
    }
    assert all(kinds.load(n).about for n in kinds.builtin())


def test_two_revisions_of_one_model_are_two_models(
    make_spec: Callable[..., Spec], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from bench.core import hub
    from bench.core.store import Store
    from bench.execution.run import prepare

    monkeypatch.setattr(hub, "commit", lambda name, revision, **_: f"commit-of-{revision}")
    systems = [{"name": r, "kind": "closed_book", "model": {"revision": r}} for r in ("v1", "v2")]
    found = prepare(make_spec(model={"name": "an/id"}, systems=systems), Store(tmp_path)).cells
    assert [c.config["model"]["revision"] for c in found] == ["commit-of-v1", "commit-of-v2"]
    assert [c.config["model"]["digest"] for c in found] == ["hub:an/id@commit-of-v1", "hub:an/id@commit-of-v2"]


def test_matrix_over_models_is_located_and_named_safely(make_spec: Callable[..., Spec]) -> None:
    systems = [{"name": "r", "kind": "rag", "matrix": {"embedder.name": ["micro", "org/model"]}}]
    found = cells(make_spec(systems=systems))
    assert [c.system for c in found] == ["r+name=micro", "r+name=org-model"]
    assert found[0].config["embedder"]["name"] == str(ROOT / "systems/micro/embedder")


def test_a_grid_smaller_than_the_trials_counts_as_it_is(make_spec: Callable[..., Spec]) -> None:
    rates = [1e-3, 1e-2]
    wide, narrow = {"trials": 4, "learning_rate": rates, "rank": [2, 4]}, {"trials": 4, "learning_rate": rates}
    systems = [{"name": n, "kind": "lora", "tuning": {"search": s}} for n, s in (("a", wide), ("b", narrow))]
    with pytest.raises(UserError, match=r"different numbers of trials: \{'a': 4, 'b': 2\}"):
        make_spec(systems=systems)


def test_all_that_is_wrong_with_the_systems_is_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("kind: rag}", "kind: ragg}").replace("kind: lora}", "kind: lora, tuning: {rnk: 4}}")
    text += "  - {name: c, kind: hybrid, rag: a, adapter: d}\n  - {name: d, kind: hybrid, rag: zz, adapter: b}\n"
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(UserError) as told:
        load(tmp_path / "s.yaml")
    lines = str(told.value).splitlines()
    assert [line.split(": ")[0][-2:] for line in lines] == [":7", ":8", "10"]
    assert "unknown kind 'ragg'" in lines[0] and "Did you mean `rank`?" in lines[1] and "'zz'" in lines[2]


def test_models_and_data_that_are_not_there_are_told_at_once(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (MINI / "test.jsonl").read_text().splitlines()]
    for row in rows:
        row["answer"] = row.pop("answers")
    write_jsonl(tmp_path / "test.jsonl", rows)
    shutil.copy(MINI / "corpus.jsonl", tmp_path)
    raw = raw_spec(dataset={"path": str(tmp_path)}, model={"name": "/no/model"}, embedder={"name": "/no/embedder"})
    spec = parse(raw | {"systems": [{"name": "a", "kind": "rag"}, {"name": "b", "kind": "closed_book"}]})
    with pytest.raises(UserError) as told:
        prepare(spec, Store(tmp_path / "s"))
    lines = str(told.value).splitlines()
    assert len(lines) == 3 and "'/no/model'" in lines[0] and "'/no/embedder'" in lines[1]
    assert "test.jsonl:1: unknown key `answer`. Did you mean `answers`?" in lines[2]
