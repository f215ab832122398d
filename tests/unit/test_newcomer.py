"""What a newcomer got wrong, and what they are told: file, line, what was wrong, what to write instead."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from bench.core.errors import UserError
from bench.core.files import parsed, read_json, read_text
from bench.execution.run import run
from bench.gate.rules import load as load_rules
from bench.gate.snapshot import read as read_baseline
from bench.report import report
from bench.report.export import csv
from bench.spec.init import write
from bench.spec.load import load, parse
from bench.verdict.score import read_scores, score
from tests.conftest import MINI, raw_spec


def refused(folder: Path, *overrides: str, **changes: object) -> str:
    """What is said of a spec in a file."""
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(raw_spec(**changes)))
    with pytest.raises(UserError) as caught:
        load(path, overrides)
    return str(caught.value)


def test_what_was_set_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    assert refused(tmp_path, "retrieval.k=x").startswith("--set retrieval.k=x: `retrieval.k`:")
    assert refused(tmp_path, "retrieval.kk=3").startswith("--set retrieval.kk=3: unknown key `retrieval.kk`.")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": 1}, "`seeds`: this is a list, such as [1], not 1."),
        ({"seeds": []}, "`seeds`: it needs 1 item at least"),
        ({"name": "xq-\u00e9"}, "`name`: it begins with a letter from A to Z or a digit"),
        ({"dataset": {"format": "squadd", "path": str(MINI)}}, "there is no format 'squadd'. Did you mean `squad`?"),
    ],
)
def test_errors_are_in_plain_words(changes: dict[str, object], said: str, tmp_path: Path) -> None:
    assert said in refused(tmp_path, **changes)


def test_a_rules_file_is_no_spec(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    with pytest.raises(UserError, match=r"no such rules file.*leave --rules out"):
        load_rules(path)
    path.write_text("[]")
    with pytest.raises(UserError, match="a rules file is a mapping, such as `rules:"):
        load_rules(path)
    path.write_text("rules:\n- {metric: em, margn: 0.02}\n")
    with pytest.raises(UserError, match="margn") as caught:
        load_rules(path)
    assert caught.value.others == ()  # that no rule is left is not told besides


def test_a_baseline_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    for text, said in (("{", "no baseline: malformed JSON"), ('{"schema_version": 1}', "no baseline: ")):
        path.write_text(text)
        with pytest.raises(UserError) as caught:
            read_baseline(path)
        assert said in str(caught.value) and "Error" not in str(caught.value) and ".." not in str(caught.value)


def test_a_name_without_ascii_becomes_one(tmp_path: Path) -> None:
    folder = tmp_path / "\u00dcbung"
    folder.mkdir()
    data, spec = folder / "xq \u00e9.jsonl", tmp_path / "s.yaml"
    data.write_text(json.dumps({"question": "Who?", "answer": "Bo", "context": "Bo did it."}) + "\n")
    write(spec, data=str(data), questions=None, model="micro", embedder="micro")
    text = spec.read_text(encoding="utf-8")
    assert "name: xq-e\n" in text and "\u00dcbung/xq \u00e9.jsonl" in text


def test_init_refuses_what_holds_nothing(tmp_path: Path) -> None:
    data = tmp_path / "empty.csv"
    data.write_text("question,answer,context\n")
    with pytest.raises(UserError, match="no passage or no question"):
        write(tmp_path / "s.yaml", data=str(data), questions=None, model="micro", embedder="micro")
    assert not (tmp_path / "s.yaml").exists()


def test_json_that_nobody_can_read_in_one_way(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"f:3.*the key 'answer' stands twice in one object"):
        parsed('{"answer": 1, "x": {}, "answer": 2}', "f", line=3)
    with pytest.raises(UserError, match=r"malformed JSON: Invalid control character\."):
        parsed('{"a": "b\n"}', "f", line=5)
    with pytest.raises(UserError, match=r"This is a JSON array: name the file \.json"):
        parsed("[\n", "f", line=1)
    path = tmp_path / "latin.json"
    path.write_bytes(b'{\n"a": "\xdc"}')
    with pytest.raises(UserError, match=r"latin\.json:2.*Save the file as UTF-8"):
        read_text(path)
    with pytest.raises(UserError):
        read_json(path)


def test_what_to_do_next_does_not_go_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UserError, match=r"not finished.*ragtune run"):
        read_scores(tmp_path)
    with pytest.raises(UserError, match="Give the folder of a run"):
        read_scores(tmp_path / "run.json")


def test_tables_beside_a_page_are_of_the_same_scores(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def scored(several: bool) -> Path:
        systems = [{"name": "a", "kind": "tests.kinds.echo"}, {"name": "b", "kind": "tests.kinds.echo"}]
        spec = parse(raw_spec(systems=systems[: 1 + several]))
        folder = run(spec, out=tmp_path / "r", store=tmp_path / "s").folder
        score(folder)
        report(folder)
        return folder

    folder = scored(False)
    table = csv(folder)
    one = table.read_text()
    assert "replaced" not in caplog.text
    scored(True)
    assert table.read_text() != one and "b," in table.read_text()
    assert not (folder / "scores.md").exists()
    assert "held a complete run of this name with another spec" in caplog.text
