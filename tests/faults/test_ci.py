"""What a CI job must never be told: a pass of another run, of nothing, or of what was not looked at."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import parse
from bench.core.errors import UserError
from bench.execution.run import run
from bench.gate import decisions, outputs, snapshot
from bench.gate.noise import check_margins, floors
from bench.gate.rules import DEFAULT, Rule, Rules
from bench.gate.snapshot import Snapshot, SystemSnapshot, Values
from bench.report import report
from bench.report.export import FORMATS
from bench.verdict.score import score
from tests.conftest import raw_spec
from tests.unit.test_cli import ragtune


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that ended, scored."""
    root = tmp_path_factory.mktemp("ci")
    spec = parse(raw_spec(name="mine", systems=[{"name": "sys", "kind": "tests.kinds.lookup"}]))
    folder = run(spec, out=root, store=root / "s").folder
    score(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be tampered with."""
    return Path(shutil.copytree(whole, tmp_path / "mine"))


def changed(path: Path, **facts: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def of(values: dict[str, list[float]], headline: str = "em", **facts: Any) -> Snapshot:
    """A run of one system, each question a cluster of its own."""
    ids = [f"q{i}" for i in range(max(map(len, values.values()), default=0))]
    columns = {name: Values(ids, ids, [row]) for name, row in values.items()}
    machine = {"cpu": "x", "cores": 2, "threads": 2, "gpus": []}
    system = SystemSnapshot("done", 1, columns, dict.fromkeys(ids, 0.1), {"peak_rss_growth_bytes": [63e6]})
    return replace(Snapshot("r", "d", "s", machine, {}, headline, {"sys": system}), **facts)


def test_a_run_that_was_stopped_is_not_scored_from_the_records_of_the_run_before(folder: Path) -> None:
    about = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(
        json.dumps({k: v for k, v in about.items() if k not in ("seal", "files")} | {"status": "incomplete"})
    )
    (folder / "scores.json").unlink()
    with pytest.raises(UserError, match="stopped before it ended"):
        score(folder)


def test_forged_records_are_not_drawn(folder: Path) -> None:
    records = folder / "records.jsonl"
    records.write_text(records.read_text().replace('"text":', '"text" :'))
    with pytest.raises(UserError, match="not the records that the run wrote"):
        report(folder, again=True)


def test_the_measure_that_a_run_is_ranked_by_is_gated_by_default() -> None:
    old = of({"em": [0.0] * 100, "label_accuracy": [1.0] * 100}, "label_accuracy")
    new = of({"em": [0.0] * 100, "label_accuracy": [0.0] * 100}, "label_accuracy")
    assert decisions.verdict(decisions.gate(new, old)) == "fail"
    assert decisions.verdict(decisions.gate(old, old)) == "pass"


def test_a_baseline_that_lost_its_quality_is_no_pass() -> None:
    old, new = of({"em": [1.0] * 100}), of({"em": [0.0] * 100})
    bare = replace(old, systems={"sys": replace(old.systems["sys"], values={})})
    assert decisions.verdict(decisions.gate(new, bare)) == "fail"


def test_nothing_compared_is_no_pass_in_any_output() -> None:
    allowed = Rules(rules=(Rule(metric="faithfulness", margin=0.02, missing="pass"),))
    results = decisions.gate(of({"em": [1.0] * 100}), of({"em": [1.0] * 100}), allowed)
    assert decisions.verdict(results) == "inconclusive"
    assert outputs.markdown(results, name="r").startswith("## ragtune gate: inconclusive")


def test_a_strict_gate_has_failures_in_its_junit() -> None:
    rule = Rules(rules=(Rule(metric="p50_latency_s", margin=0.15),))
    here = of({"em": [1.0] * 100})
    results = decisions.gate(here, replace(here, machine={**here.machine, "cpu": "y"}), rule)
    assert 'failures="1"' in outputs.junit(results, name="r", strict=True)
    assert 'failures="0"' in outputs.junit(results, name="r")


def test_an_earlier_verdict_does_not_outlive_a_gate_that_could_not_run(folder: Path, tmp_path: Path) -> None:
    baseline, told = tmp_path / "old.json", tmp_path / "gate.md"
    snapshot.accept(folder, reason="x", out=tmp_path / "kept")
    shutil.copy(tmp_path / "kept" / "mine.json", baseline)
    assert ragtune("gate", str(folder), "--baseline", str(baseline), "--markdown", str(told)).returncode == 0
    assert told.read_text().startswith("## ragtune gate: pass")
    changed(baseline, schema_version=2)
    assert ragtune("gate", str(folder), "--baseline", str(baseline), "--markdown", str(told)).returncode == 2
    assert not told.exists()


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"schema_version": True}, "schema True"),
        ({"schema_version": "1"}, "schema '1'"),
    ],
)
def test_a_baseline_of_another_schema_is_named(folder: Path, tmp_path: Path, facts: Any, said: str) -> None:
    path = snapshot.accept(folder, reason="x", out=tmp_path / "kept")
    changed(path, **facts)
    with pytest.raises(UserError, match=said):
        snapshot.read(path)


@pytest.mark.parametrize("facts", [{"seeds": -5}, {"status": "fine"}, {"rounds": -1}])
def test_a_baseline_that_no_run_can_have_is_refused(folder: Path, tmp_path: Path, facts: Any) -> None:
    path = snapshot.accept(folder, reason="x", out=tmp_path / "kept")
    systems = json.loads(path.read_text())["systems"]
    changed(path, systems={"sys": systems["sys"] | facts})
    with pytest.raises(UserError, match="no baseline"):
        snapshot.read(path)


def test_a_file_that_is_no_baseline_is_written_anew(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("null")
    assert snapshot.accepted_on(folder, tmp_path) == "another day"


def test_times_over_an_unknown_work_are_compared_as_the_clock_saw_them() -> None:
    beside = {"latency_beside": {f"q{i}": 1.0 for i in range(100)}}
    new, old = (of({"em": [1.0] * 100}) for _ in range(2))
    new, old = (replace(s, systems={"sys": replace(s.systems["sys"], **beside)}) for s in (new, old))
    (found,) = decisions.gate(new, old, Rules(rules=(Rule(metric="p50_latency_s", margin=0.15),)))
    assert found.state in ("pass", "inconclusive")


def test_repeats_are_other_runs_of_the_same_spec() -> None:
    runs = [of({"em": [1.0] * 10}, seal=f"s{n}") for n in range(3)]
    assert floors(runs)
    with pytest.raises(UserError, match="given twice"):
        floors([runs[0], runs[0], runs[1]])
    with pytest.raises(UserError, match="different specs"):
        floors([*runs[:2], replace(runs[2], spec="other")])


def test_noise_below_the_least_that_counts_refuses_no_margin() -> None:
    systems = of({"em": [1.0]}).systems  # 63 MB, of which 5 MB are 8%
    check_margins(DEFAULT, {"peak_rss_growth_bytes": 0.06}, systems)
    with pytest.raises(UserError, match="below the noise"):
        check_margins(DEFAULT, {"peak_rss_growth_bytes": 0.09}, systems)


@pytest.mark.parametrize(
    "rule",
    [{"metric": "abstains_wrongly", "max": 5}, {"metric": "em", "min": -1}, {"metric": "p50_latency_s", "margin": 15}],
)
def test_a_bound_that_never_fails_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"share is from 0 to 1|never fails"):
        Rule(**rule)


@pytest.mark.parametrize("name", ["../../../pwned", "a/b", "..", ".hidden", "a\\b"])
def test_a_run_from_elsewhere_writes_nothing_outside_its_folder(folder: Path, tmp_path: Path, name: str) -> None:
    about = json.loads((folder / "run.json").read_text())
    about.pop("seal")
    for facts in ({"name": name}, {"systems": {name: about["systems"]["sys"]}}):
        (folder / "run.json").write_text(json.dumps(about | facts))
        with pytest.raises(UserError):
            snapshot.accept(folder, reason="x", out=tmp_path / "a" / "b" / "c")


@pytest.mark.parametrize(
    ("form", "file"),
    [
        *(("csv", f"{name}.csv") for name in ("scores", "figures", "pairs")),
        *(("json", f"{name}.table.json") for name in ("scores", "figures", "pairs")),
        *(("parquet", f"{name}.parquet") for name in ("scores", "figures", "pairs")),
    ],
)
def test_a_table_is_not_written_through_a_link(folder: Path, tmp_path: Path, form: str, file: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (folder / file).symlink_to(victim)
    FORMATS[form](folder)
    assert victim.read_text() == "precious" and not (folder / file).is_symlink()


def test_baselines_are_in_the_order_of_their_days(folder: Path, tmp_path: Path) -> None:
    path = snapshot.accept(folder, reason="x", out=tmp_path)
    for name, day in (("a", "2026-02-01"), ("c", "2026-03-01"), ("b", "2025-01-01")):
        (tmp_path / f"{name}.json").write_text(
            json.dumps(json.loads(path.read_text()) | {"accepted": day, "name": name})
        )
    path.unlink()
    assert [baseline.name for baseline in snapshot.accepted(tmp_path)] == ["c", "a", "b"]


def test_what_is_asked_again_is_computed_again(tmp_path: Path) -> None:
    """The model behind an endpoint may change under its name."""
    spec = parse(raw_spec(name="mine", systems=[{"name": "sys", "kind": "tests.kinds.lookup"}]))
    first = run(spec, out=tmp_path, store=tmp_path / "s")
    second = run(spec, out=tmp_path, store=tmp_path / "s")
    third = run(spec, out=tmp_path, store=tmp_path / "s", again=True)
    assert (first.computed > 0, second.computed, third.computed) == (True, 0, first.computed)
