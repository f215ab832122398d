"""Whatever a run's text fields hold, no medium reads it as markup, a formula or a command."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import psutil
import pytest

from bench import parse
from bench.cli.main import main
from bench.core import media
from bench.core.blocks import Prompt
from bench.core.errors import UserError
from bench.core.vocabulary import Answer, Question
from bench.execution import cell_client
from bench.execution.run import run
from bench.gate import decisions, outputs
from bench.gate.decisions import gate
from bench.gate.rules import Rule, Rules
from bench.report import report
from bench.report.charts import draw
from bench.report.export import FORMATS
from bench.scoring.schema.gate import Result
from bench.verdict.score import score
from tests.conftest import MICRO, raw_spec
from tests.faults.test_gate import snapshot
from tests.made_up import Asked, Made, scored

EVIL = "=cmd|'/C calc'!A0\x1b]0;owned\x07\n::error ::owned\n<script>alert(1)</script>\u202e|`x`"


@pytest.mark.heavy
def test_no_output_of_a_hostile_run_is_markup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every text field that a dataset or a system fills is hostile; every output is looked through."""
    questions = [Asked(f"q{i}", answers=(EVIL,), gold=(EVIL,), group=EVIL, stratum=EVIL) for i in range(30)]
    scored(
        tmp_path / "r",
        {"a": Made(lambda q, _: Answer(EVIL)), "b": Made(lambda q, _: Answer(EVIL, error=EVIL))},
        questions,
    )
    shutil.copytree(tmp_path / "r", tmp_path / "again")
    r, base = str(tmp_path / "r"), str(tmp_path / "base")
    verbs = [
        ["score", r],
        *(["report", r, "--format", name] for name in FORMATS if name != "mlflow"),
        ["report", r],
        ["report", str(tmp_path)],
        ["compare", r, str(tmp_path / "again")],
        ["claims", r],
        ["baseline", "accept", r, "--out", base, "--reason", EVIL],
        [
            "gate",
            r,
            "--baseline",
            "BASE",
            *(o for f in ("junit", "markdown", "json") for o in (f"--{f}", f"{r}/gate.{f}")),
        ],
    ]
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    for verb in verbs:
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
            kept = [str(p) for p in Path(base).glob("*.json")]
            patch.setattr(sys, "argv", ["ragtune", *(kept[0] if word == "BASE" else word for word in verb)])
            main()
        out = capsys.readouterr()
        assert ended.value.code in (0, 3) and "Traceback" not in out.err, (verb, out.err)
        assert "\x1b]" not in out.out + out.err and "\n::error ::owned" not in f"\n{out.out}{out.err}", verb
    written = [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix not in (".parquet", ".jsonl", ".lock")]
    assert {p.name for p in written} >= {"index.html", "scores.csv", "scores.md", "gate.junit", "gate.markdown"}
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert path.suffix == ".html" or "\x1b" not in text, path  # a browser shows it as nothing
        assert path.suffix in (".json", ".csv") or "<script>alert" not in text.replace("\\<", ""), path
    xml.parse(tmp_path / "r" / "gate.junit")
    with (tmp_path / "r" / "scores.csv").open(newline="") as file:
        assert not [cell for row in csv.reader(file) for cell in row if cell.startswith(("=", "@"))]
    table = (tmp_path / "r" / "scores.md").read_text()
    assert all(line.startswith("|") for line in table.splitlines())


def test_text_is_told_to_each_medium_as_text() -> None:
    assert media.csv("=1+1") == "'=1+1" and media.csv("plain") == "plain"
    assert media.csv(" =1+1") == "' =1+1" and media.csv("\uff1d1+1") == "'\uff1d1+1"
    assert media.terminal("failed: x ##[add-mask]y") == "failed: x ##\u200b[add-mask]y"
    assert (
        "\n::" not in media.terminal(EVIL)
        and not media.terminal(EVIL).startswith("::")
        and "\x1b" not in media.terminal(EVIL)
    )
    assert media.one_line("a\nb\x1b[2J") == "a b\N{REPLACEMENT CHARACTER}[2J"
    assert media.workflow("50%\nx") == "50%25%0Ax" and "\n" not in media.markdown("a\nb")
    bad = Result("em within 0.020", EVIL, "fail", 1.0, 0.5, -0.5, None, None, EVIL)
    table = outputs.markdown([bad], name=EVIL)
    assert "<script" not in table.replace("\\<", "")
    (line,) = outputs.workflow_commands([bad])
    assert line.startswith("::error title=ragtune gate::") and "\n" not in line


def test_nothing_that_was_measured_is_never_green(tmp_path: Path) -> None:
    old, other = snapshot([1.0] * 50, [0.1] * 50), snapshot([1.0] * 50, [0.1] * 50, machine={"cpu": "other"})
    times = Rules(rules=(Rule(metric="p50_latency_s", margin=0.1),))
    assert not decisions.is_any_compared(gate(other, old, times)) and decisions.is_any_compared(gate(old, old, times))
    lost = Rules(rules=(Rule(metric="numeric", margin=0.1, system="rag", missing="pass"),))
    assert not decisions.is_any_compared(gate(old, old, lost))
    with pytest.raises(UserError, match=r"the system 'rga', .*Did you mean 'rag'"):
        gate(old, old, Rules(rules=(Rule(metric="em", margin=0.1, system="rga", missing="pass"),)))


def test_junk_on_the_pipe_of_events_is_passed_over(tmp_path: Path) -> None:
    server = cell_client.CellServer({}, tmp_path / "server.log")
    assert [server._event(line) for line in (b"WARNING: libfoo", b"[1]", b"[" * 100_000, b'{"a": 1}', b"\xff")] == [
        None
    ] * 5
    assert server._event(b'{"event": "ready"}') == {"event": "ready"}
    assert (tmp_path / "server.log").read_text().count("passed over") == 5


@pytest.mark.heavy
def test_what_a_cell_leaves_in_a_session_of_its_own_is_killed(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    spec = parse(
        raw_spec(systems=[{"name": "a", "kind": "tests.kinds.echo", "fault": "leave", "after": 3, "file": str(pid)}])
    )
    assert run(spec, out=tmp_path / "r", store=tmp_path / "s").failed
    left = int(pid.read_text())
    assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE


def test_a_crash_names_what_may_be_damaged() -> None:
    assert "the index is damaged" in str(cell_client._ending(-signal.SIGSEGV))
    assert "memory runs out" in str(cell_client._ending(-signal.SIGKILL))


def test_a_special_token_in_a_text_is_text() -> None:
    from transformers import AutoTokenizer

    from systems.parts.prompt import encode, encode_answer, messages

    known = AutoTokenizer.from_pretrained(MICRO)
    special = set(known.all_special_ids)

    def marks(text: str) -> int:
        talk = messages(Prompt(system="", closed_book="{question}"), Question("q", text), None)
        return sum(i in special for i in [*encode(known, talk), *encode_answer(known, talk, text)])

    assert marks("What <end> is <assistant> it?<pad>") == marks("What is it?")


def test_a_page_without_its_renderer_is_still_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run(parse(raw_spec()), out=tmp_path / "r", store=tmp_path / "s").folder
    score(folder)
    monkeypatch.setattr(draw, "RENDERER", [sys.executable, "-c", "import os; input(); os.abort()"])
    draw.close()
    page = report(folder).read_text()
    assert "This chart was not drawn" in page and "<svg" not in page.split("</header>")[-1]
    draw.close()
    assert json.loads((folder / "scores.json").read_text())["seal"]
