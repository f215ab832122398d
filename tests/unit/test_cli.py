"""The command line: what a newcomer types, and what they get."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MINI, ROOT


def ragtune(*words: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", **env}
    return subprocess.run(
        [sys.executable, "-m", "bench.cli", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        timeout=120,
        check=False,
    )


def test_help_names_every_verb() -> None:
    done = ragtune("--help")
    assert done.returncode == 0
    for verb in (
        "run",
        "score",
        "report",
        "compare",
        "validate",
        "plan",
        "doctor",
        "init",
        "systems",
        "schema",
        "world",
    ):
        assert f"  {verb} " in done.stdout


def test_harness_imports_nothing_heavy() -> None:
    script = (
        "import sys, bench, bench.cli.main, bench.execution.run, bench.verdict.score, bench.spec.load; "
        "print(sorted({'torch', 'transformers', 'pandas', 'altair', 'scipy.stats'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "first",
    ["bench.execution.run", "bench.verdict.score", "bench.report", "bench.spec.load", "bench.verdict.compare_runs"],
)
def test_public_names_are_functions_whatever_was_imported_first(first: str) -> None:
    names = "Spec, run, score, report, parse, load, compare, scores"
    script = (
        f"import importlib; importlib.import_module({first!r}); from bench import {names}; "
        f"print(all(map(callable, ({names}))))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "True"


@pytest.mark.parametrize("folder", [ROOT, Path("/")], ids=["root of the repository", "/"])
def test_datasets_is_hugging_faces(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import datasets; print(datasets.__file__)"],
        capture_output=True,
        text=True,
        cwd=folder,
        check=True,
    )
    assert Path(done.stdout.strip()).parent.parent.name == "site-packages"
    assert not list((ROOT / "datasets").rglob("*.py"))


def test_validate_and_plan(tmp_path: Path) -> None:
    done = ragtune("validate", "quickstart", cwd=tmp_path)
    assert done.returncode == 0 and "valid. 26 cells, 396 passages" in done.stdout
    done = ragtune("plan", "quickstart", "--json", cwd=tmp_path)
    rows = json.loads(done.stdout)
    assert len(rows) == 26 and not any(r["cached"] for r in rows)
    assert all(r["seconds"] > 0 and r["bytes"] > 0 for r in rows)
    assert [p.name for p in tmp_path.iterdir()] == [".ragtune"]  # the store alone


def test_mistakes_exit_two_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text("name: x\nsystems: 3\n")
    for words in (
        ("run", "nothing.yaml"),
        ("run", "s.yaml"),
        ("report", "."),
        ("compare", ".", "."),
        ("score", "."),
        ("run", "quickstart", "--set", "x"),
    ):
        monkeypatch.setattr("sys.argv", ["ragtune", *words])
        with pytest.raises(SystemExit) as left:
            main.main()
        out, err = capsys.readouterr()
        assert left.value.code == 2 and "Traceback" not in err and out == "", (words, err)
        assert err.startswith("error: ")


def test_init_writes_a_spec_that_validates(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for i in range(4):
        (docs / f"d{i}.md").write_text(f"The valve {i} opens at {i + 3} bar.")
    (tmp_path / "q.jsonl").write_text(
        "".join(
            json.dumps({"question": f"When opens valve {i}?", "answers": [f"{i + 3} bar"], "document": f"d{i}.md"})
            + "\n"
            for i in range(4)
        )
    )
    for name, words in (("a", ("--data", "docs", "--questions", "q.jsonl")), ("b", ("--data", str(MINI)))):
        done = ragtune("init", f"{name}.yaml", *words, "--model", "micro", "--embedder", "micro", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        done = ragtune("validate", f"{name}.yaml", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    again = ragtune(
        "init",
        "a.yaml",
        "--data",
        "docs",
        "--questions",
        "q.jsonl",
        "--model",
        "micro",
        "--embedder",
        "micro",
        cwd=tmp_path,
    )
    assert again.returncode == 2 and "this file exists" in again.stderr


def test_init_without_a_terminal_asks_nothing(tmp_path: Path) -> None:
    rows = [{"QUERY": f"Q{i}?", "final_decision": "yes", "context": "word " * 300} for i in range(4)]
    (tmp_path / "pool.json").write_text(json.dumps(rows))
    done = ragtune("init", "s.yaml", "--data", "pool.json", cwd=tmp_path)
    assert done.returncode == 0 and "records data with 1 passage and 4 questions, 4 of them" in done.stdout, done.stderr
    spec = (tmp_path / "s.yaml").read_text()
    assert "fields: {question: QUERY, answers: final_decision, passages: context}" in spec
    assert re.search("^  k: 4", spec, re.M) and re.search("^  test_share: 0.5", spec, re.M)
    assert "300 at most" in done.stdout and re.search(r"# this machine \(\d+ GB, .*billion parameters", spec)
    nothing = ragtune("init", "t.yaml", cwd=tmp_path)
    assert nothing.returncode == 2 and "Give --data PATH, or --example DIR" in nothing.stderr
    (tmp_path / "odd.json").write_text('[{"a": 1}]')
    odd = ragtune("init", "u.yaml", "--data", "odd.json", cwd=tmp_path)
    assert odd.returncode == 0 and "does not read yet; mend it, or the block `dataset`" in odd.stdout


def test_init_writes_an_example_that_validates(tmp_path: Path) -> None:
    done = ragtune("init", "--example", "small", cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "small" / "ragtune.yaml").exists(), done.stderr
    valid = ragtune("validate", "small/ragtune.yaml", cwd=tmp_path)
    assert valid.returncode == 0 and "6 cells" in valid.stdout and "answer:" in valid.stdout
    again = ragtune("init", "--example", "small", cwd=tmp_path)
    assert again.returncode == 2 and "this folder exists" in again.stderr


def test_systems_and_schema() -> None:
    assert "qlora " in ragtune("systems").stdout
    assert json.loads(ragtune("schema").stdout)["title"] == "ragtune spec"


@pytest.mark.heavy
def test_doctor_examines_everything() -> None:
    done = ragtune("doctor", "--json")
    findings = json.loads(done.stdout)
    assert {
        "Python",
        "libraries",
        "C++ compiler",
        "bitsandbytes (NF4)",
        "hnswlib",
        "ragas (LLM judge)",
        "GPU",
        "Hugging Face hub",
        "disk here",
        "memory",
        "embedded default",
    } == {f["what"] for f in findings}
    assert all(f["remedy"] for f in findings if f["state"] != "ok")
    assert done.returncode == any(f["state"] == "broken" for f in findings)


def test_a_kind_of_the_working_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text((ROOT / "tests/kinds/echo.py").read_text())
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "kind.py").write_text((ROOT / "tests/kinds/echo.py").read_text())
    (tmp_path / "s.yaml").write_text(
        json.dumps(
            {
                "name": "t",
                "dataset": {"path": str(MINI)},
                "model": {"name": "micro"},
                "systems": [{"name": "a", "kind": "pkg.kind"}],
            }
        )
    )
    script = Path(sys.executable).parent / "ragtune"
    done = subprocess.run(
        [str(script), "validate", "s.yaml"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
