"""Attacks and damage that once went through: each is told in one line, or changes nothing."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
import yaml

from bench import parse
from bench.cli.main import main
from bench.core import files
from bench.core.digest import sealed
from bench.core.errors import UserError
from bench.core.files import read_json
from bench.core.store import Store
from bench.core.yaml_text import composed
from bench.data.formats import beir, native
from bench.execution.run import run
from bench.gate import snapshot
from bench.metrics import text
from bench.metrics.label import label
from bench.report import report
from bench.spec import kinds
from bench.spec.cells import cells
from bench.verdict.score import score
from tests.conftest import MINI, ROOT, raw_spec

BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
)


# other code


def test_other_code_of_a_kind_is_another_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = parse(raw_spec(systems=[{"name": "a", "kind": "tests.kinds.echo"}]))
    (cell,) = cells(spec)
    before = cell.identity("task", spec.measure)
    changed = tmp_path / "echo.py"
    changed.write_text("other = 1")
    monkeypatch.setattr("tests.kinds.echo.__file__", str(changed))
    assert cell.identity("task", spec.measure) != before


@pytest.mark.parametrize("changed", ["near.py", "deep/further.py"])
def test_other_code_that_a_kind_imports_is_another_cell(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = f"own_{changed[:4].strip('.')}"  # a module stays imported
    kind = (ROOT / "tests/kinds/echo.py").read_text() + "\n\ndef later() -> None:\n    from . import near\n"
    for name, code in {
        "__init__.py": "",
        "kind.py": kind,
        "near.py": f"import numpy\nfrom {own}.deep.further import x\n",
        "deep/__init__.py": "",
        "deep/further.py": "x = 1\n",
    }.items():
        (tmp_path / own / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / own / name).write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = kinds.source(f"{own}.kind")
    assert before == kinds.source(f"{own}.kind") != kinds.source("tests.kinds.echo")
    (tmp_path / own / changed).write_text("x = 2\n")
    assert kinds.source(f"{own}.kind") != before


# one system's records under another's name


def test_names_that_a_matrix_writes_alike_are_refused() -> None:
    entry = {"name": "a", "kind": "tests.kinds.echo", "matrix": {"prefix": ["a/b", "a b"]}}
    with pytest.raises(UserError, match=r"two systems come to the name 'a.prefix=a-b'"):
        cells(parse(raw_spec(systems=[entry])))


@pytest.mark.parametrize("older", [True, False])
@pytest.mark.parametrize("change", ["twice", "gone", "changed", "garbage", "no question"])
def test_records_that_are_not_whole_are_answered_again(tmp_path: Path, change: str, older: bool) -> None:
    """What becomes of a cell's file after it was written: the next run mends it."""
    if older and change == "changed":
        pytest.skip("a cell without digests does not tell")
    spec = parse(
        raw_spec(systems=[{"name": "a", "kind": "tests.kinds.echo"}, {"name": "b", "kind": "tests.kinds.echo"}])
    )
    folder = run(spec, out=tmp_path / "r", store=tmp_path / "s").folder
    whole = (folder / "records.jsonl").read_text()
    path = folder / "cells" / "a-s1" / "records.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    other = {
        "twice": [*lines, lines[0]],
        "gone": lines[:-1],
        "changed": [line.replace('"text": "', '"text": "another ') for line in lines],
        "garbage": [*lines[:3], "{{\n", *lines[3:]],
        "no question": [*lines[:3], "{}\n", *lines[3:]],
    }
    path.write_text("".join(other[change]))
    shutil.rmtree(folder / "cells" / "b-s1")  # so that there is something to do
    (folder / "run.json").unlink()
    if older:  # a cell of a ragtune that kept no digests of what it wrote
        result = json.loads((folder / "cells" / "a-s1" / "result.json").read_text())
        (folder / "cells" / "a-s1" / "result.json").write_text(json.dumps({**result, "files": None}))
        outcome = run(spec, out=tmp_path / "r", store=tmp_path / "s")
        assert "each question exactly once" in outcome.failed["a-s1"]
    again = run(spec, out=tmp_path / "r", store=tmp_path / "s")
    assert again.status == "complete"
    said = [(row["system"], row["question"], row["answer"]["text"]) for row in map(json.loads, whole.splitlines())]
    now = (json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines())
    assert [(row["system"], row["question"], row["answer"]["text"]) for row in now] == said


# damage believed


def test_a_changed_figure_is_not_published(tmp_path: Path) -> None:
    folder = run(parse(raw_spec()), out=tmp_path / "r", store=tmp_path / "s").folder
    before = score(folder)
    raw = read_json(folder / "scores.json")
    name = next(iter(before.measured))
    raw["systems"][name]["scores"]["em"]["mean"] = 0.123
    (folder / "scores.json").write_text(json.dumps(raw))
    with pytest.raises(UserError, match="changed after they were computed"):
        report(folder)
    assert score(folder) == before and report(folder).exists()


def test_a_changed_figure_of_a_run_is_not_believed(tmp_path: Path) -> None:
    spec = parse(raw_spec())
    folder = run(spec, out=tmp_path / "r", store=tmp_path / "s").folder
    raw = read_json(folder / "run.json")
    next(iter(raw["cells"].values()))["memory"]["peak_rss_growth_bytes"] += 1
    (folder / "run.json").write_text(json.dumps(raw))
    for use in (score, snapshot.of_run):
        with pytest.raises(UserError, match=r"not what the run wrote: the file was changed.*run the spec again"):
            use(folder)
    (folder / "run.json").unlink()
    assert run(spec, out=tmp_path / "r", store=tmp_path / "s").computed == 0 and score(folder)


def test_a_million_lines_are_never_held_at_once(tmp_path: Path) -> None:
    """A file is read a line at a time: what is held while it is read does not grow with it."""
    path = tmp_path / "test.jsonl"
    with path.open("w") as file:
        file.writelines(json.dumps({"id": n, "question": "q" * 200}) + "\n" for n in range(50_000))
    tracemalloc.start()
    try:
        count = sum(1 for _ in files.read_jsonl(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 50_000 and peak < 1e6 < path.stat().st_size


def test_a_store_that_can_only_be_read_is_used(tmp_path: Path) -> None:
    """And what a process that is gone left half made in one is swept away by the next that writes there."""
    store = Store(tmp_path / "s")
    recipe = {"kind": "thing", "version": 1}
    folder, _ = store.get(recipe, lambda folder: (folder / "a").write_text("x") and {})
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    part = files.part_of(folder.with_name("other"))
    left = part.with_name(part.name.replace(f".{os.getpid()}.", f".{gone.stdout.strip()}."))
    left.mkdir()
    for path in (folder, folder.parent, tmp_path / "s"):
        path.chmod(0o555)
    try:
        found, artefact = Store(tmp_path / "s").get(recipe, lambda _: pytest.fail("built again"))
        assert found == folder and artefact.hit and not list(folder.parent.glob("*.lock.new"))
    finally:
        for path in (tmp_path / "s", folder.parent, folder):
            path.chmod(0o755)
    Store(tmp_path / "s").get({"kind": "thing", "version": 2}, lambda folder: {})
    assert not left.exists() and folder.exists()


def test_records_that_were_cut_short_are_not_scored(tmp_path: Path) -> None:
    folder = run(parse(raw_spec()), out=tmp_path / "r", store=tmp_path / "s").folder
    lines = (folder / "records.jsonl").read_text().splitlines(keepends=True)
    (folder / "records.jsonl").write_text("".join(lines[:-20]))
    for use in (score, snapshot.of_run):
        with pytest.raises(UserError, match=r"not the records that the run wrote.*Run the spec again"):
            use(folder)
    assert run(parse(raw_spec()), out=tmp_path / "r", store=tmp_path / "s").status == "complete"
    assert (folder / "records.jsonl").read_text().splitlines(keepends=True) == lines and score(folder)


@pytest.mark.parametrize("name", ["run.json", "cells/a-s1/result.json", "cells/a-s1/job.json"])
@pytest.mark.parametrize("holds", ["{", "[1]", "[" * 100_000])
def test_damaged_state_is_set_aside_and_made_again(tmp_path: Path, name: str, holds: str) -> None:
    spec = parse(raw_spec(systems=[{"name": "a", "kind": "tests.kinds.echo"}]))
    folder = run(spec, out=tmp_path / "r", store=tmp_path / "s").folder
    (folder / name).write_text(holds)
    if name.endswith("job.json"):
        (folder / "cells" / "a-s1" / "result.json").unlink()
    assert run(spec, out=tmp_path / "r", store=tmp_path / "s").status == "complete"
    assert name.endswith("job.json") or (folder / f"{name}.damaged").read_text() == holds
    assert isinstance(read_json(folder / name), dict)


@pytest.mark.parametrize("turn", [False, True])
@pytest.mark.parametrize("thin", [{}, {"load_s": "soon"}, {"environment": 5}, {"yardstick_s": "x"}])
def test_a_result_that_says_too_little_is_made_again(tmp_path: Path, turn: bool, thin: dict[str, object]) -> None:
    spec = parse(
        raw_spec(systems=[{"name": "a", "kind": "tests.kinds.echo"}], measure={"rounds": 1, "latency_questions": 4})
    )
    folder = run(spec, out=tmp_path / "r", store=tmp_path / "s").folder
    path = folder / "cells" / "a-s1" / ("turns/1/result.json" if turn else "result.json")
    known = read_json(path)
    kept = {key: known[key] for key in ("status", "identity")} if not thin else known
    path.write_text(json.dumps({**kept, **thin}))
    (folder / "run.json").unlink()
    assert run(spec, out=tmp_path / "r", store=tmp_path / "s").status == "complete"
    assert score(folder) and ("load_s" in known or turn)


@pytest.mark.parametrize("deep", [False, True])
def test_scores_without_their_seal_are_computed_again(tmp_path: Path, deep: bool) -> None:
    folder = run(parse(raw_spec()), out=tmp_path / "r", store=tmp_path / "s").folder
    before = score(folder)
    raw = read_json(folder / "scores.json")
    if deep:  # a key of another version, nested deeper than a digest can follow
        raw["more"] = json.loads("[" * 700 + "]" * 700)
    else:
        raw.pop("seal")
    next(iter(raw["systems"].values()))["scores"]["em"]["mean"] = 0.123
    (folder / "scores.json").write_text(json.dumps(raw))
    assert score(folder) == before


def test_scores_that_were_forged_with_their_seal_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is sealed again is read back, as it must be; `score --again` computes it and says that it differs."""
    folder = str(run(parse(raw_spec()), out=tmp_path / "r", store=tmp_path / "s").folder)
    for forged, told, code in ((True, "differ", 1), (False, "are the same", 0)):
        score(Path(folder))
        raw = read_json(Path(folder) / "scores.json")
        if forged:
            next(iter(raw["systems"].values()))["scores"]["em"]["mean"] = 0.123
            raw.pop("seal")
            (Path(folder) / "scores.json").write_text(json.dumps(raw | {"seal": sealed(raw)}))
        for options, wanted in (([], 0), (["--again"], code)):
            with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as e:
                patch.setattr("sys.argv", ["ragtune", "score", folder, *options])
                main()
            assert e.value.code == wanted
        assert f"The stored scores {told}" in capsys.readouterr().out


def test_an_artefact_with_a_damaged_manifest_is_built_again(tmp_path: Path) -> None:
    spec = parse(raw_spec(systems=[{"name": "a", "kind": "tests.kinds.echo"}]))
    run(spec, out=tmp_path / "r", store=tmp_path / "s")
    for manifest in (tmp_path / "s").rglob("manifest.json"):
        manifest.write_text("[")
    assert run(spec, out=tmp_path / "r2", store=tmp_path / "s").status == "complete"


# bombs


@pytest.mark.parametrize(
    ("holds", "said"),
    [
        (BOMB, "more than 100,000 values"),
        ("a: &a [*a]", "more than 100,000 values"),
        ("a: " + "[" * 500 + "]" * 500, "deeper than 60 levels"),
        ("a: " + "x" * 1_100_000, "too many"),
    ],
)
def test_yaml_that_explodes_is_refused(
    tmp_path: Path, holds: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=said):
        composed(holds, "spec.yaml")
    path = tmp_path / "spec.yaml"
    path.write_text(holds)
    assert exits(["validate", str(path)], capsys).count("\n") == 1
    folder = tmp_path / "d"
    shutil.copytree(MINI, folder)
    (folder / "dataset.yaml").write_text(holds)
    with pytest.raises(UserError, match=said):
        native.read_folder(folder)


def exits(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command that fails says on stderr, its exit code being 2."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["ragtune", *arguments])
        with pytest.raises(SystemExit) as e:
            main()
    assert e.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_what_is_packed_unpacks_to_so_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LONGEST_LINE", 1000)
    monkeypatch.setattr(files, "LARGEST", 5000)
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as bomb:
        bomb.write('{"id": "' + "0" * 100_000 + '"}\n')
    with pytest.raises(UserError, match="a line of more than 1,000 characters"):
        list(files.read_jsonl(tmp_path / "a.jsonl"))
    with pytest.raises(UserError, match="unpacks to more than 100 times its size"):
        files.content_digest(tmp_path / "a.jsonl.gz")
    (tmp_path / "b.json").write_text(" " * 6000)
    with pytest.raises(UserError, match="more than 5,000 bytes"):
        files.read_json(tmp_path / "b.json")


@pytest.mark.parametrize("holds", ["[" * 1_200_000, '{"schema_version": 1, "systems": 3}', '{"a": ' + "9" * 5000 + "}"])
def test_a_baseline_from_elsewhere_is_no_danger(tmp_path: Path, holds: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(holds)
    with pytest.raises(UserError, match="no baseline"):
        snapshot.read(path)


@pytest.mark.parametrize(
    ("part", "value"),
    [("noise", 1e200), ("latency", 5e-324), ("figure", 5e-324), ("yardstick", 0.0), ("yardstick", 1e-9)],
)
def test_a_baseline_has_figures_that_a_machine_can_have(tmp_path: Path, part: str, value: float) -> None:
    folder = run(parse(raw_spec()), out=tmp_path / "r", store=tmp_path / "s").folder
    path = snapshot.accept(folder, reason="x", out=tmp_path)
    raw = read_json(path)
    system = next(iter(raw["systems"].values()))
    if part == "noise":
        raw["noise"] = {"p50_latency_s": {"sd": value, "df": 2}}
    elif part == "latency":
        system["latency_s"] = dict.fromkeys(system["latency_s"] or ["q"], value)
    elif part == "figure":
        system["figures"]["train_s"] = [value]
    else:
        system["yardstick_s"] = {"answering": value}
    path.write_text(json.dumps(raw))
    with pytest.raises(UserError, match=r"no baseline: .* can have"):
        snapshot.read(path)


@pytest.mark.parametrize(
    "holds", [b"q1\tp1\t\xb2\n", b"q1\tp1\t" + b"9" * 5000 + b"\n", b"q1\tp1\t--1\n", b"\xff\xfe\n"]
)
def test_judgements_of_beir_that_are_none(tmp_path: Path, holds: bytes) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"_id": "p1", "text": "t"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "q?"}\n')
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_bytes(b"query-id\tcorpus-id\tscore\n" + holds)
    with pytest.raises(UserError, match=r"a whole score|cannot be read"):
        beir.read(beir.Beir(format="beir", path=str(tmp_path)), None)
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "q?"}\n' * 2)
    with pytest.raises(UserError, match=r"queries.jsonl:2: duplicate query id 'q1'"):
        beir.read(beir.Beir(format="beir", path=str(tmp_path)), None)


def test_a_long_answer_is_labelled_at_once() -> None:
    assert label("a. " * 20_000, ("a. ", "b. ")) in (None, "a. ")


def test_a_form_that_takes_years_is_refused_or_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(MINI, tmp_path / "d")
    row = {"id": "x", "question": "q?", "answers": ["a"], "form": "(a|aa)+$"}
    with (tmp_path / "d" / "test.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    with pytest.raises(UserError, match="takes too long to match"):
        native.read_folder(tmp_path / "d")
    monkeypatch.setattr(text, "LONGEST_S", 0.05)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            text.matches("a" * 40 + "!", "(a|aa)+$")
    assert not text.matches("a" * 40 + "!", "(a+)+$") and text.matches("aaa", "(a+)+")


# files that are none


@pytest.mark.parametrize("what", ["pipe", "dangling link", "folder", "nul", "long", "digits"])
def test_what_is_no_file_is_one_line(tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "d"
    shutil.copytree(MINI, folder)
    train = folder / "train.jsonl"
    train.unlink()
    data = str(folder)
    if what == "pipe":
        os.mkfifo(train)
    elif what == "dangling link":
        train.symlink_to(tmp_path / "nowhere")
    elif what == "folder":
        train.mkdir()
    elif what == "nul":
        data = "a\0b"
    elif what == "long":
        data = "a" * 5000
    else:
        train.write_text('{"id": ' + "9" * 5000 + ', "question": "q?"}\n')
    spec = tmp_path / "s.yaml"
    spec.write_text(yaml.safe_dump(raw_spec(dataset={"path": data})))
    assert exits(["validate", str(spec)], capsys).count("\n") == 1


@pytest.mark.parametrize("name", ["cells", "cells/a-s1", "run.json", "cells/a-s1/turns", "cells/a-s1/records.jsonl"])
def test_a_run_writes_through_no_link(tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept.txt").write_text("kept")
    spec = parse(raw_spec(systems=[{"name": "a", "kind": "tests.kinds.echo"}]))
    link = tmp_path / "r" / spec.name / name
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    with pytest.raises(UserError, match="this is a link"):
        run(spec, out=tmp_path / "r", store=tmp_path / "s")
    assert [p.name for p in elsewhere.iterdir()] == ["kept.txt"]
