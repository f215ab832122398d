"""What a run ends with at the terminal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.first_screen import first_screen
from bench.core.vocabulary import Answer
from bench.execution.run_file import read_run
from bench.verdict.score import read_scores
from tests.made_up import Asked, Made, right, scored


def screen(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    first_screen(read_run(folder), read_scores(folder), folder / "index.html")
    return capsys.readouterr().out


def test_it_says_who_why_and_where_in_eighty_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions = [Asked(f"q{i}", stratum=("easy", "hard")[i % 2]) for i in range(80)]
    easy_only = Made(lambda q, _: Answer("yes" if q.stratum == "easy" else "no"), kind="lora")
    systems = {"finds": Made(right(1.0), kind="rag"), "half": easy_only}
    scored(tmp_path / "r", systems, questions)
    out = screen(tmp_path / "r", capsys)
    lines = out.splitlines()
    assert all(len(line.rstrip()) <= 80 for line in lines if "file://" not in line)
    assert "80 questions" in lines[0] and "Use finds" in " ".join(lines[1:4])
    (easy,), (hard,) = ([line for line in lines if line.startswith(kind)] for kind in ("easy", "hard"))
    assert easy.split()[1:] == ["40", "1.00", "1.00"] and hard.split()[1:] == ["40", "1.00", "0.00"]
    assert lines.index(hard) < lines.index(easy)  # the widest gap first
    assert f"Report: {(tmp_path / 'r' / 'index.html').as_uri()}" in out


def test_what_is_open_says_what_would_decide_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions = [Asked(f"q{i}", stratum=("easy", "hard")[i % 2]) for i in range(80)]
    finds = Made(lambda q, _: Answer("yes" if int(q.id[1:]) % 7 else "no"), kind="rag")
    tuned = Made(lambda q, _: Answer("yes" if int(q.id[1:]) % 9 else "no"), kind="lora")

    def told(**systems: Made) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        scored(folder, systems, questions)
        return " ".join(screen(folder, capsys).split())

    alike = told(finds=finds, tuned=tuned)
    assert "No clear winner between tuned and finds" in alike and "Until that is known" not in alike
    assert "More data, which could still show that tuned or finds is better." in alike
    assert "Another share of a question type would not" in alike
    slower = told(finds=finds, tuned=replace(tuned, latency_s=0.5))

    assert "Until that is known: finds answers in" in slower and "instead of 499 ms" in slower
    assert "- finds answers in" in slower
