"""What the documents say can be typed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from bench.cli.main import app
from bench.core.store import Store
from bench.data.formats import FORMATS
from bench.execution.pinning import prepare
from bench.spec import kinds
from bench.spec.load import parse
from systems import predictions
from tests.conftest import ROOT, raw_spec

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.S)
COMMANDS = [line.strip() for block in BLOCKS for line in block.splitlines() if line.strip()]


def test_every_make_target_exists() -> None:
    targets = [c.split()[1] for c in COMMANDS if c.startswith("make ")]
    assert targets[:2] == ["demo", "test"]
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_every_ragtune_verb_exists() -> None:
    verbs = {c.callback.__name__ for c in app.registered_commands if c.callback}
    named = [c.split()[1] for c in COMMANDS if c.startswith(".venv/bin/ragtune")]
    assert named == ["init", "validate", "plan", "run"] and set(named) <= verbs
    assert set(re.findall(r"`ragtune (\w+)", README)) <= verbs


def test_readme_lists_every_kind() -> None:
    table = README.split("## What can be compared")[1].split("\n## ")[0]
    assert {k for k in kinds.builtin() if f"`{k}`" in table} == set(kinds.builtin())


def test_readme_lists_every_format() -> None:
    table = README.split("| your data is | `dataset:` |")[1].split("\n\n")[0]
    assert set(re.findall(r"`format: (\w+)`", table)) == set(FORMATS) - {"native"}


def test_python_of_the_readme_runs(tmp_path: Path) -> None:
    from bench import load, run, scores

    (tmp_path / "my.yaml").write_text(yaml.safe_dump(raw_spec()))
    assert 'scores(run(load("my.yaml")).folder)' in README
    frame = scores(run(load(str(tmp_path / "my.yaml")), out=tmp_path / "r", store=tmp_path / "s").folder)
    assert set(frame.system) == {"echo"} and {"mean", "low", "high", "n"} <= set(frame.columns)


def test_contributing_names_files_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    names = [n for n in re.findall(r"`([\w/.]+\.(?:py|toml|yaml))`", text) if "/" in n]
    assert len(names) > 4 and all((ROOT / n).exists() for n in names)
    assert len(text.splitlines()) < 60  # under a page


MAP = (ROOT / "docs" / "map.md").read_text()


def test_the_map_names_every_package() -> None:
    packages = {p.parent.name for p in (ROOT / "bench").glob("*/__init__.py")} - {"specs"}
    assert packages == set(re.findall(r"\| `bench/(\w+)` \|", MAP))


def test_the_map_walks_numbers_in_at_most_three_files() -> None:
    rows = [line.split("|") for line in MAP.split("| number |")[1].splitlines() if line.count("|") == 4][1:]
    assert len(rows) == 5
    for _, number, template, then, _ in rows:
        found = re.findall(r"`([\w/.]+)` `(\w+)`", template + then)
        assert found[0][0].endswith(".j2") and 2 <= len(found) <= 4, number
        for path, name in found:
            assert name in (ROOT / path).read_text(), (number, path, name)


def test_the_files_that_documents_name_exist() -> None:
    for document in (ROOT / "README.md", ROOT / "docs" / "map.md", *(ROOT / "docs").glob("*.md")):
        for path in re.findall(r"`((?:bench|systems|tests|docs|datasets)/[\w/.-]+)`", document.read_text()):
            assert (ROOT / path).exists(), (document.name, path)


@pytest.mark.parametrize(("run", "columns", "least"), [("quickstart-cpu", 6, 40), ("plant-full-cpu", 4, 25)])
def test_the_card_of_the_plant_says_what_its_runs_measured(run: str, columns: int, least: int) -> None:
    from bench.core.display import interval
    from bench.verdict.score import read_scores

    card = (ROOT / "datasets" / "plant" / "README.md").read_text()
    systems = read_scores(ROOT / "reports" / "published" / run).measured
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in card.splitlines() if line.count("|") == columns + 1]
    rows = [r[-4:] for r in rows if r[-4] in systems]
    assert len(rows) > least
    for system, measure, stratum, figure in rows:
        found = systems[system].scores[measure]
        assert found and figure == interval(found if stratum == "all" else found.strata[stratum]), (system, measure)


def test_the_card_of_the_micro_model_says_what_its_curve_ends_with() -> None:
    import json

    card = (ROOT / "systems" / "micro" / "README.md").read_text()
    told = json.loads((ROOT / "systems/micro/lm/curve.json").read_text())
    last = told["points"][-1]
    assert f"{last['tokens'] / 1e6:.1f} million tokens" in card and f"{last['step']:,} steps" in card
    for row in re.findall(r"\| `(\w+)` \|.*\| ([\d.]+) \|", card):
        assert f"{last[row[0]]:.2f}" == row[1], row
    assert last["step"] == sum(plan["steps"] for plan in told["plans"]) and "curve.svg" in card


def test_no_bound_of_the_validity_table_is_broken() -> None:
    """`make validity` writes it; whoever changes the statistics runs it again."""
    rows = [
        line for line in (ROOT / "docs" / "validity.md").read_text().splitlines() if line.endswith((" yes |", "** |"))
    ]
    assert len(rows) > 50 and all(row.endswith("| yes |") for row in rows)


@pytest.mark.heavy
def test_the_validity_table_has_the_rows_that_its_command_makes() -> None:
    from tests import validity

    made = [f"| {row.what} | {row.setting} |" for part in validity.PARTS for row in validity.simulated(part, runs=1)]
    text = (ROOT / "docs" / "validity.md").read_text()
    assert len(made) > 50 and [row for row in made if row not in text] == []


DATA = (ROOT / "docs" / "data.md").read_text()
SECTIONS = {part.split("\n")[0]: part for part in DATA.split("\n## ")[1:]}


@pytest.mark.parametrize("title", [t for t in SECTIONS if "(`" in t])
def test_every_example_of_data_reads(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a section, saved under their names, are what the section's `dataset` block reads."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for name, text in re.findall(r"```\w+ (\S+\.\w+)\n(.*?)```", SECTIONS[title], re.S):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    form = re.search(r"\(`(\w+)`\)", title)
    blocks = re.findall(r"```yaml dataset\n(.*?)```", SECTIONS[title], re.S)
    for block in blocks:
        spec = parse(raw_spec(dataset=yaml.safe_load(block)), folder=tmp_path)
        prepared = prepare(spec, Store(tmp_path / "store"))
        assert form and spec.dataset.format == form[1] and not prepared.task.notes
        assert all(e.answers is None or not e.answers or e.question.gold for e in prepared.task.test)
    assert blocks


def test_data_describes_every_format() -> None:
    assert {m for title in SECTIONS for m in re.findall(r"\(`(\w+)`\)", title)} == set(FORMATS)


def test_the_answers_of_the_page_are_read(tmp_path: Path) -> None:
    (line,) = re.findall(r"```jsonl answers.jsonl\n(.*?)```", DATA, re.S)
    (tmp_path / "answers.jsonl").write_text(line)
    (answer,) = predictions.read(tmp_path / "answers.jsonl").values()
    assert answer.text == "14 rpm" and answer.latency_s == 0.8 and answer.hits
