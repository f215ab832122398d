"""What became of an answer, what a figure is of, and who is named first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.core.vocabulary import Answer, Hit
from bench.execution.run_file import read_run
from bench.report import decision
from bench.report.caveats import caveats
from bench.report.charts.quality import tradeoff
from bench.scoring import money
from bench.verdict.disagreements import OUTCOMES, outcome
from tests.conftest import ROOT
from tests.made_up import Made, asked, right, scored


@pytest.mark.parametrize(
    ("gold", "shown", "answers", "what"),
    [
        (("p",), ("p", "q"), ("x",), "right"),
        (("p", "r"), ("p", "q"), ("x",), "right without support"),
        (("p",), None, ("x",), "right"),  # it shows no passages
        (("p",), ("q",), (), "right"),  # it abstains rightly
    ],
)
def test_a_right_answer_has_its_passages_or_lacks_support(gold: Any, shown: Any, answers: Any, what: str) -> None:
    record: Any = SimpleNamespace(answer=Answer("x", showing(shown)), gold=gold, answers=answers)
    assert outcome(record, 1.0, ()) == what


def test_one_candidate_is_not_sure_to_be_highest(tmp_path: Path) -> None:
    found = scored(tmp_path, {"a": Made(right(0.9))}, asked(100)).recommendation
    assert found.probability == 1.0 and decision.sure(found, many_seeds=False) == ""


def test_what_is_asked_one_at_a_time_alone_is_priced_by_that(tmp_path: Path) -> None:
    found = scored(tmp_path, {"a": Made(right(0.9), latency_s=0.36)}, asked(16), prices={"cpu_hour_usd": 1.0})
    a = found.measured["a"]
    assert not a.speed.batched_n and a.speed.p50_s
    assert a.cost.thousand_questions_usd == pytest.approx(1000 * a.speed.p50_s / 3600)
    assert any(c.startswith("a: all questions were asked one at a time") for c in caveats(read_run(tmp_path), found))


def test_an_update_of_a_hybrid_is_that_of_its_index() -> None:
    def took(family: str, *, trained: bool, elsewhere: bool = False, again: float | None = None) -> float | None:
        build = SimpleNamespace(total_s=100.0)
        system: Any = SimpleNamespace(
            family=family, trained=trained, trained_elsewhere=elsewhere, refresh_s=0.08, build=build
        )
        return money.refresh_s(system, again)

    assert took("retrieval", trained=False) == took("both", trained=True) == 0.08
    assert took("tuning", trained=True) == 100.0 and took("tuning", trained=True, again=27.0) == 27.0
    assert took("tuning", trained=True, elsewhere=True) is None


def showing(passages: Any) -> Any:
    """Hits of these passages; None of a system that shows none."""
    return None if passages is None else tuple(Hit(p, p, "x", 1.0) for p in passages)


@pytest.mark.parametrize(
    ("said", "shown", "answers", "what"),
    [
        ("no", ("p", "r"), ("x",), "misread"),
        ("no", ("p",), ("x",), "partly retrieved"),
        ("no", ("q",), ("x",), "not retrieved"),
        ("no", None, ("x",), "wrong"),
        ("unknown", ("q",), ("x",), "abstained"),
        ("no", ("q",), (), "should have abstained"),
        (None, ("p", "r"), ("x",), "failed"),
    ],
)
def test_what_became_of_an_answer_that_is_not_right(said: Any, shown: Any, answers: Any, what: str) -> None:
    answer = Answer("", error="out of time") if said is None else Answer(said, showing(shown))
    record: Any = SimpleNamespace(answer=answer, gold=("p", "r"), answers=answers)
    assert outcome(record, 0.0, ("unknown",)) == what and what in OUTCOMES


def test_who_shares_the_highest_score_is_named_too(tmp_path: Path) -> None:
    says = right(0.7)
    systems = {"a": Made(says), "b": Made(right(0.2)), "c": Made(says, latency_s=0.005)}
    found = scored(tmp_path, systems, asked(100))
    drawn = tradeoff(found.measured, found.recommendation, "Exact match")
    assert drawn is not None and drawn.title.startswith("a and c score highest; c answers fastest")


def test_a_reader_that_goes_away_is_no_failure() -> None:
    """`ragtune gate ... | head` must not exit as a regression does."""
    told = subprocess.Popen(
        [sys.executable, "-c", "from bench.cli.main import main; main()", "schema"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )
    assert told.stdout is not None
    told.stdout.read(10)
    told.stdout.close()
    assert told.wait(60) == 141
