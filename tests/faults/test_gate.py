"""The gate on simulated runs: what it must catch, what it must leave alone, and what is never a pass."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from pydantic import ValidationError

from bench import parse
from bench.core.errors import UserError
from bench.execution.run import run
from bench.gate import outputs
from bench.gate import snapshot as baselines
from bench.gate.decisions import confirmed, gate, verdict
from bench.gate.noise import check_margins, floors, run_noise
from bench.gate.rules import DEFAULT, Rule, Rules, load
from bench.gate.snapshot import RunNoise, Snapshot, SystemSnapshot, Values
from bench.scoring.schema.gate import GateFile, Result
from bench.verdict.score import score
from tests.conftest import raw_spec

QUALITY = Rules(rules=(Rule(metric="em", margin=0.02),))
TIME = Rules(rules=(Rule(metric="p50_latency_s", margin=0.05),))
MEMORY = Rules(rules=(Rule(metric="peak_rss_bytes", margin=0.03),))
QUIET = {m: RunNoise(0.01, 20) for m in ("p50_latency_s", "peak_rss_growth_bytes")}
MACHINE = {"cpu": "x", "cores": 2, "threads": 2, "gpus": []}


def snapshot(em: Any = None, latency: Any = None, memory: Any = None, **changes: Any) -> Snapshot:
    values = {}
    if em is not None:
        rows = np.atleast_2d(np.asarray(em, dtype=float))
        ids = [f"q{i}" for i in range(rows.shape[1])]
        values["em"] = Values(ids, [f"c{i // 2}" for i in range(len(ids))], rows.tolist())
    seconds = {f"q{i}": float(v) for i, v in enumerate(latency if latency is not None else ())}
    figures = {"peak_rss_growth_bytes": list(memory)} if memory is not None else {}
    system = SystemSnapshot("done", 1, values, seconds, figures)
    return replace(Snapshot("run", "data", "spec", MACHINE, {}, "em", {"rag": system}, {}, QUIET), **changes)


def state(new: Snapshot, old: Snapshot, rules: Rules) -> str:
    (found,) = gate(new, old, rules)
    return found.state


def answers(rng: np.random.Generator, n: int = 1000, share: float = 0.7) -> np.ndarray:
    return (rng.random(n) < share).astype(float)


def shaken(rng: np.random.Generator, x: np.ndarray, flips: float = 0.03) -> np.ndarray:
    """Another run of the same: some answers flip, in either direction alike."""
    moved = rng.choice(np.flatnonzero(x == 1), int(flips * x.size), replace=False)
    gained = rng.choice(np.flatnonzero(x == 0), int(flips * x.size), replace=False)
    y = x.copy()
    y[moved], y[gained] = 0.0, 1.0
    return y


def test_repeats_of_the_same_run_do_not_fail() -> None:
    rng = np.random.default_rng(1)
    failed = 0
    for _ in range(400):
        x = answers(rng, 400)
        latency = rng.lognormal(-3, 0.3, 30)
        again = latency * rng.lognormal(0, 0.05, 30)
        old = snapshot(x, latency, [1e8])
        new = snapshot(
            (rng.random(400) < np.where(x == 1, 0.95, 0.12)).astype(float), again, [1e8 * rng.uniform(0.99, 1.01)]
        )
        found = gate(new, old, Rules(rules=(*QUALITY.rules, *TIME.rules, *MEMORY.rules)))
        failed += any(r.state == "fail" for r in found)
    assert failed / 400 <= 0.05


def test_planted_losses_are_caught() -> None:
    rng = np.random.default_rng(2)
    caught = {"em": 0, "latency": 0, "memory": 0}
    for _ in range(200):
        x = answers(rng)
        worse = shaken(rng, x)
        worse[rng.choice(np.flatnonzero(worse == 1), 50, replace=False)] = 0.0  # five points of a thousand questions
        caught["em"] += state(snapshot(worse), snapshot(x), QUALITY) == "fail"
        base = rng.lognormal(-3, 0.3, 30)
        noise = rng.lognormal(0, 0.05, 30)
        caught["latency"] += state(snapshot(latency=base * noise * 1.10), snapshot(latency=base), TIME) == "fail"
        caught["memory"] += (
            state(snapshot(memory=[1.05e8 * rng.uniform(0.995, 1.005)]), snapshot(memory=[1e8]), MEMORY) == "fail"
        )
    assert all(n / 200 >= 0.9 for n in caught.values()), caught


@pytest.mark.parametrize(
    ("seconds", "factor", "said"), [(0.011, 1.3, "pass"), (0.011, 1.6, "fail"), (0.1, 1.3, "fail")]
)
def test_an_increase_below_the_least_that_counts_fails_nothing(seconds: float, factor: float, said: str) -> None:
    """Three milliseconds of eleven are nobody's concern, and what is so short differs more from run to run."""
    rules = Rules(rules=(Rule(metric="p50_latency_s", margin=0.15, least=0.005),))
    base = np.random.default_rng(3).lognormal(np.log(seconds), 0.02, 60)
    (found,) = gate(snapshot(latency=base * factor), snapshot(latency=base), rules)
    assert found.state == said and found.rule == "p50_latency_s within 15% or 0.005 s"


@pytest.mark.parametrize("rule", [{"max": 1.0, "least": 0.1}, {"metric": "em", "margin": 0.02, "least": 0.1}])
def test_a_least_increase_stands_beside_a_margin_of_times_or_memory(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="`least` stands beside"):
        Rule.model_validate({"metric": "p50_latency_s", **rule})


@pytest.mark.heavy
@pytest.mark.parametrize("sd", [0.05, 0.15])
def test_noise_of_runs_fails_nothing(sd: float) -> None:
    """Ten stochastic systems of which nothing changed; each run is slower or faster as a whole, as machines are."""
    rng, failed, repeats = np.random.default_rng(int(100 * sd)), 0, 100
    rules = Rules(rules=(Rule(metric="em", margin=0.02), Rule(metric="p50_latency_s", margin=0.1)))

    def once(shares: np.ndarray, seconds: np.ndarray) -> Snapshot:
        systems = {}
        for i in range(10):
            em = (rng.random(200) < shares[i]).astype(float)
            latency = seconds * rng.lognormal(0, 0.02, 30) * rng.lognormal(0, sd)
            systems[f"s{i}"] = snapshot(em, latency).systems["rag"]
        return snapshot(systems=systems, noise={})

    for _ in range(repeats):
        shares, seconds = np.where(rng.random((10, 200)) < 0.7, 0.95, 0.1), rng.lognormal(-3, 0.3, 30)
        runs = [once(shares, seconds) for _ in range(3)]
        old = replace(runs[0], noise=run_noise(runs))
        failed += verdict(gate(once(shares, seconds), old, rules)) == "fail"
        assert "fail" not in {r.state for r in gate(runs[1], runs[0], TIME)}  # without calibration nothing fails
    assert failed / repeats <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / repeats)


def test_a_slower_run_is_caught_on_a_quiet_machine() -> None:
    """Ten systems on a machine whose runs differ by 2%: a quarter more latency in one of them is found."""
    rng, caught = np.random.default_rng(9), 0
    for _ in range(60):
        seconds = rng.lognormal(-3, 0.3, 30)

        def once(slower: float, seconds: np.ndarray = seconds) -> Snapshot:
            systems = {}
            for i in range(10):
                factor = (slower if i == 3 else 1.0) * rng.lognormal(0, 0.02)
                systems[f"s{i}"] = snapshot(latency=seconds * rng.lognormal(0, 0.02, 30) * factor).systems["rag"]
            return snapshot(systems=systems, noise={})

        runs = [once(1.0) for _ in range(3)]
        found = gate(
            once(1.25),
            replace(runs[0], noise=run_noise(runs)),
            Rules(rules=(Rule(metric="p50_latency_s", margin=0.1),)),
        )
        caught += [r.system for r in found if r.state == "fail"] == ["s3"]
    assert caught / 60 >= 0.9


def test_an_improvement_is_told() -> None:
    rng = np.random.default_rng(3)
    x = answers(rng)
    better = x.copy()
    better[np.flatnonzero(x == 0)[:60]] = 1.0
    assert state(snapshot(better), snapshot(x), QUALITY) == "improved"
    assert state(snapshot(latency=[0.05] * 30), snapshot(latency=[0.1] * 30), TIME) == "improved"
    assert verdict(gate(snapshot(better), snapshot(x), QUALITY)) == "pass"


def test_too_few_questions_are_inconclusive() -> None:
    rng = np.random.default_rng(4)
    x = answers(rng, 60)
    found = gate(snapshot(shaken(rng, x, 0.1)), snapshot(x), QUALITY)
    assert [r.state for r in found] == ["inconclusive"] and verdict(found) == "inconclusive"


@pytest.mark.parametrize("broken", ["no system", "failed", "no metric", "nan", "fewer questions", "empty"])
def test_what_is_missing_or_broken_is_never_a_pass(broken: str) -> None:
    x = answers(np.random.default_rng(5), 200)
    old = new = snapshot(x)
    if broken == "no system":
        new = replace(old, systems={"other": old.systems["rag"]})
    elif broken == "failed":
        new = replace(old, systems={"rag": replace(old.systems["rag"], status="failed")})
    elif broken == "no metric":
        new = snapshot()
    elif broken == "nan":
        new = snapshot(np.where(np.arange(200) == 7, np.nan, x))
    elif broken == "fewer questions":
        new = snapshot(x[:150])
    else:
        with pytest.raises(UserError, match="no system"):
            gate(replace(old, systems={}), old, QUALITY)
        return
    found = gate(new, old, QUALITY)
    assert found[0].state in ("missing", "errored") and verdict(found) == "fail"
    assert verdict([]) == "fail"


def test_other_data_is_refused_and_other_hardware_is_not_compared() -> None:
    x = answers(np.random.default_rng(6), 200)
    old = snapshot(x, [0.1] * 30, [1e8])
    with pytest.raises(UserError, match="different datasets"):
        gate(replace(old, dataset="other"), old, QUALITY)
    elsewhere = snapshot(x, [0.2] * 30, [2e8], machine={**MACHINE, "cpu": "y"})
    found = {
        r.rule.split()[0]: r.state
        for r in gate(elsewhere, old, Rules(rules=(*QUALITY.rules, *TIME.rules, *MEMORY.rules)))
    }
    assert found == {"em": "pass", "p50_latency_s": "not comparable", "peak_rss_growth_bytes": "not comparable"}
    assert verdict(gate(elsewhere, old, TIME)) == "inconclusive"  # nothing was checked


def test_budgets_need_no_baseline_figure() -> None:
    x = np.ones(200)
    x[:100] = 0
    found = gate(
        snapshot(x, [0.5] * 200),
        snapshot(x),
        Rules(
            rules=(
                Rule(metric="em", min=0.8),
                Rule(metric="em", min=0.55),  # which its interval holds
                Rule(metric="em", min=0.4),
                Rule(metric="p95_latency_s", max=0.8),
                Rule(metric="p95_latency_s", max=0.3),
            )
        ),
    )
    assert [r.state for r in found] == ["fail", "inconclusive", "pass", "pass", "fail"]


def test_judges_warn_unless_told_otherwise() -> None:
    def judged(value: float) -> Snapshot:
        rows = [[value] * 150 + [1.0] * 150]
        values = Values([f"q{i}" for i in range(300)], [f"c{i}" for i in range(300)], rows)
        return replace(snapshot(), systems={"rag": SystemSnapshot("done", 1, {"faithfulness": values}, {}, {})})

    rule = Rule(metric="faithfulness", margin=0.02)
    assert state(judged(0.0), judged(1.0), Rules(rules=(rule,))) == "warn"
    assert state(judged(0.0), judged(1.0), Rules(rules=(rule.model_copy(update={"warn": False}),))) == "fail"


@pytest.mark.parametrize(
    ("again", "after"),
    [
        ("fail", "fail"),
        ("warn", "fail"),
        ("missing", "fail"),
        ("errored", "fail"),
        ("pass", "inconclusive"),
        ("inconclusive", "inconclusive"),
    ],
)
def test_a_judge_that_does_not_answer_again_acquits_nobody(again: Any, after: str) -> None:
    first = Result("faithfulness within 0.020", "rag", "fail", 1.0, 0.5, -0.5, None, None, "p")
    assert [r.state for r in confirmed([first], [replace(first, state=again)])] == [after]
    warned = replace(first, state="warn")
    assert confirmed([warned], [replace(first, state=again)])[0].state == ("warn" if after == "fail" else "pass")


def test_a_stratum_is_all_that_its_rule_looks_at() -> None:
    strata = ["easy"] * 200 + ["hard"] * 200

    def stratified(hard: float, strata: list[str] | None) -> Snapshot:
        plain = snapshot(em=[1.0] * 200 + [hard] * 200)
        values = replace(plain.systems["rag"].values["em"], strata=strata)
        return replace(plain, systems={"rag": SystemSnapshot("done", 1, {"em": values}, {}, {})})

    old, new = (stratified(hard, strata) for hard in (1.0, 0.0))
    found = {
        t: state(new, old, Rules(rules=(Rule(metric="em", margin=0.02, stratum=t),))) for t in ("easy", "hard", "none")
    }
    assert found == {"easy": "pass", "hard": "fail", "none": "missing"}
    older = stratified(1.0, None)  # a baseline that does not say
    assert state(new, older, Rules(rules=(Rule(metric="em", margin=0.02, stratum="easy"),))) == "missing"
    with pytest.raises(ValueError, match="of questions"):
        Rule(metric="p50_latency_s", margin=0.1, stratum="easy")


def test_margins_below_the_noise_are_refused() -> None:
    repeats = [snapshot(latency=[0.1 * (1 + 0.04 * n)] * 30) for n in range(3)]
    noise = floors(repeats)
    assert noise["p50_latency_s"] == pytest.approx(0.08 / 1.04, rel=1e-6)
    with pytest.raises(UserError, match="below the noise"):
        check_margins(TIME, noise)
    check_margins(Rules(rules=(Rule(metric="p50_latency_s", margin=0.10),)), noise)
    with pytest.raises(UserError, match="too few"):
        floors(repeats[:2])


HOSTILE = "]]></failure><script>alert(1)</script> | [x](javascript:1) \x00\x1b `code` ::error::"


def test_outputs_hold_whatever_a_name_says() -> None:
    x = answers(np.random.default_rng(7), 100)
    many = {f"{HOSTILE} {n}": snapshot(x).systems["rag"] for n in range(100)}
    new = replace(snapshot(x), systems={n: snapshot(1 - x).systems["rag"] for n in many}, name=HOSTILE)
    results = gate(
        new,
        replace(snapshot(x), systems=many),
        Rules(rules=tuple(Rule(metric="em", margin=0.01 + n / 100) for n in range(10))),
    )
    tree = ElementTree.fromstring(outputs.junit(results, name=HOSTILE))
    suite = tree.find("testsuite")
    assert suite is not None and int(suite.get("tests", 0)) == len(suite) == 1000
    assert {"failures", "errors", "skipped", "tests", "name", "time"} <= set(suite.keys())
    assert sum(c.find("failure") is not None for c in suite) == int(suite.get("failures", 0))
    told = outputs.markdown(results, name=HOSTILE)
    assert len(told.encode()) < 65536 and "<script>" not in told and "more rules" in told
    lines = outputs.workflow_commands(results)
    assert len(lines) == 10 and all("\n" not in line and line.startswith("::") for line in lines)
    whole = GateFile(scores="", baseline=HOSTILE, verdict=verdict(results), results=tuple(results))
    assert GateFile.model_validate_json(outputs.as_json(whole)) == whole


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("gate")
    spec = {"measure": {"latency_questions": 12, "warmup": 1}}
    systems = [{"name": "sys", "kind": "tests.kinds.lookup"}]
    good = run(parse(raw_spec(name="good", systems=systems, **spec)), out=root / "r", store=root / "s").folder
    bad = run(
        parse(raw_spec(name="bad", systems=[{"name": "sys", "kind": "tests.kinds.echo"}], **spec)),
        out=root / "r",
        store=root / "s",
    ).folder
    return good, bad


def test_a_run_is_accepted_and_a_worse_one_fails(runs: tuple[Path, Path], tmp_path: Path) -> None:
    good, bad = runs
    assert baselines.accepted_on(good, tmp_path) is None
    file = baselines.accept(good, reason="the first", out=tmp_path)
    assert baselines.accepted_on(good, tmp_path) == json.loads(file.read_text())["accepted"]
    assert [r.state for r in gate(baselines.read(good), baselines.read(file), QUALITY)] == ["pass"]
    assert [r.state for r in gate(baselines.read(bad), baselines.read(file), QUALITY)] == ["fail"]
    with pytest.raises(UserError, match="reason"):
        baselines.accept(good, reason=" ", out=tmp_path)


def test_the_page_of_a_run_shows_its_gate(runs: tuple[Path, Path]) -> None:
    from typer.testing import CliRunner

    from bench.cli.main import app
    from bench.report import report

    good, bad = runs
    score(bad)
    assert 'id="gate"' not in report(bad).read_text()
    assert CliRunner().invoke(app, ["gate", str(bad), "--baseline", str(good)]).exit_code == 1
    page = (bad / "index.html").read_text()
    assert 'id="gate"' in page and "against the baseline good" in page and "em within 0.020" in page
    assert report(bad).read_text() == page
    gated = json.loads((bad / "gate.json").read_text())
    for text in (json.dumps({**gated, "scores": "of others"}), "{}"):
        (bad / "gate.json").write_text(text)
        assert 'id="gate"' not in report(bad).read_text()


def test_the_page_over_runs_shows_how_systems_moved(runs: tuple[Path, Path]) -> None:
    from typer.testing import CliRunner

    from bench.cli.main import app

    root = runs[0].parent
    for folder in runs:
        score(folder)
    baselines.accept(runs[0], reason="the first", out=root / "baselines")
    (root / "baselines" / "none.json").write_text("[]")  # passed over
    assert CliRunner().invoke(app, ["report", str(root)]).exit_code == 0
    page = (root / "index.html").read_text()
    assert "2 runs in the order of time" in page and "dashed: the baseline good" in page
    accepted = baselines.read(root / "baselines" / "good.json")
    row = accepted.systems["sys"].values["em"].rows[0]
    assert accepted.central["sys"]["quality"] == pytest.approx(sum(row) / len(row))


def test_a_truncated_baseline_is_told(runs: tuple[Path, Path], tmp_path: Path) -> None:
    file = baselines.accept(runs[0], reason="x", out=tmp_path)
    file.write_text(file.read_text()[:-200])
    with pytest.raises(UserError, match="no baseline"):
        baselines.read(file)
    with pytest.raises(UserError, match="no run and no baseline"):
        baselines.read(tmp_path / "nothing.json")


@pytest.mark.parametrize("lost", ["values", "latency_s", "figures"])
def test_a_baseline_that_lost_its_values_is_told(lost: str, runs: tuple[Path, Path], tmp_path: Path) -> None:
    file = baselines.accept(runs[0], reason="x", out=tmp_path)
    raw = json.loads(file.read_text())
    del next(iter(raw["systems"].values()))[lost]
    file.write_text(json.dumps(raw))
    with pytest.raises(UserError, match=f"no baseline.*{lost}"):
        baselines.read(file)


@pytest.mark.parametrize("wrong", ['"0.5"', "true", "NaN", "null"])
def test_a_baseline_holds_numbers(wrong: str, runs: tuple[Path, Path], tmp_path: Path) -> None:
    file = baselines.accept(runs[0], reason="x", out=tmp_path)
    raw = json.loads(file.read_text())
    latency = next(iter(raw["systems"].values()))["latency_s"]
    latency[next(iter(latency))] = json.loads(wrong)
    file.write_text(json.dumps(raw))
    with pytest.raises(UserError, match="no baseline"):
        baselines.read(file)


def test_rules_are_read_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("rules:\n  - metric: em\n    margin: 0.02\n  - metric: p95_latency_s\n    max: 0.8\n")
    assert [r.title for r in load(file).rules] == ["em within 0.020", "p95_latency_s at most 0.8"]
    file.write_text("rules:\n  - metric: emm\n    margin: 0.02\n")
    with pytest.raises(UserError, match=r"rules.yaml:2.*unknown metric 'emm'"):
        load(file)
    assert load(None) is DEFAULT


def test_the_command_has_its_exit_codes(runs: tuple[Path, Path], tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from bench.cli.main import app

    good, bad = map(str, runs)
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n  - {metric: em, margin: 0.02}\n")
    call = CliRunner().invoke
    files = [f"--{kind}={tmp_path / kind}" for kind in ("junit", "markdown", "json")]
    assert call(app, ["gate", good, "--baseline", good, "--rules", str(rules), *files]).exit_code == 0
    assert all((tmp_path / kind).stat().st_size > 50 for kind in ("junit", "markdown", "json"))
    failed = call(app, ["gate", bad, "--baseline", good, "--rules", str(rules)], env={"GITHUB_ACTIONS": "true"})
    assert failed.exit_code == 1 and "gate: fail" in failed.output and "::error title=ragtune gate::" in failed.output
    better = json.loads(baselines.accept(runs[0], reason="x", out=tmp_path).read_text())
    row = better["systems"]["sys"]["values"]["em"]["rows"][0]
    row[row.index(0.0)] = 1.0  # one answer more was right before: too little to tell
    (tmp_path / "better.json").write_text(json.dumps(better))
    open_ = ["gate", good, "--baseline", str(tmp_path / "better.json"), "--rules", str(rules)]
    assert call(app, open_).exit_code == 3 and call(app, [*open_, "--inconclusive", "pass"]).exit_code == 0
    assert isinstance(call(app, ["gate", good]).exception, UserError)
