"""Readings of a run that its sentence must not pass over: weights, leaks, failed verdicts, seeds, and few questions."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.core.vocabulary import Answer, Hit
from bench.gate.decisions import gate
from bench.gate.rules import Rule, Rules
from bench.gate.snapshot import RunNoise, Snapshot, SystemSnapshot, Values
from bench.report import decision, report
from bench.spec.model import Volumes
from bench.verdict.score import read_scores
from tests.made_up import Asked, Made, asked, right, scored, showing

JUDGE = {"base_url": "http://localhost:1/v1", "model": "m", "metrics": ["answer_accuracy"], "max_failed": 0.1}
QUICK = {"weights": {"latency": 0.3}}


def told(folder: Path, systems: dict[str, Made], questions: Any = None, **more: Any) -> str:
    return scored(folder, systems, questions or asked(), **more).recommendation.sentence


def test_what_is_weighed_is_said_and_who_leads_without_it(tmp_path: Path) -> None:
    systems = {"dear": Made(right(0.9, "x"), latency_s=1.0), "quick": Made(right(0.6, "x"), latency_s=0.01)}
    said = told(tmp_path, systems, needs=QUICK)
    assert said.startswith("Use quick: exact match 0.6")
    assert "ahead of every other system that meets the needs once latency is weighed." in said
    assert re.search(r"By exact match alone dear is highest, 0\.\d\d\.", said)
    leaked = [f"q{i}" for i in range(100)]
    assert told(tmp_path / "leaked", systems, needs=QUICK, leaked=leaked) == said  # weighed there as on the whole
    both = told(tmp_path / "both", systems, needs={"weights": {"latency": 0.3, "memory": 0.1}})
    assert "once latency and memory are weighed" in both
    plain = told(tmp_path / "plain", systems)
    assert plain.startswith("Use dear") and "weighed" not in plain and "alone dear" not in plain


def test_what_stands_below_the_sentence_does_not_deny_it(tmp_path: Path) -> None:
    """How sure it is, and what would change it, where it is not for want of data that a verdict is open."""
    every = [f"q{i}" for i in range(300)]
    systems = {"memoriser": Made(right(1.1), tuned=True, seeds=3), "honest": Made(right(0.6))}
    seen = scored(tmp_path / "seen", systems, asked(), leaked=every).recommendation
    assert decision.sure(seen, many_seeds=True) == "" and decision.changes(seen, Volumes()) == []
    page = report(tmp_path / "seen").read_text()
    assert "No verdict: training has seen every question" in page and "How sure" not in page
    leaked = [f"q{i}" for i in range(240)]
    memoriser = Made(lambda q, s: Answer("yes" if q.id in leaked else "no"))
    apart = scored(tmp_path / "apart", {"m": memoriser, "honest": Made(right(0.62))}, asked(), leaked=leaked)
    told = decision.sure(apart.recommendation, many_seeds=False)
    assert told.endswith("questions that all systems have, all parts taken together.")
    weighed = {"dear": Made(right(0.9, "x"), latency_s=1.0), "quick": Made(right(0.6, "x"), latency_s=0.01)}
    scored(tmp_path / "weighed", weighed, asked(), needs=QUICK)
    page = report(tmp_path / "weighed").read_text()
    assert "quick is ahead, with what is weighed beside quality, in" in page and "quick scores highest" not in page


def test_a_contradiction_of_what_is_weighed_says_so(tmp_path: Path) -> None:
    """The quick one has seen most of the questions; on the others no latency makes up for what it does not know."""
    leaked = [f"q{i}" for i in range(240)]
    quick = lambda q, s: Answer("yes" if q.id in leaked else "no")
    systems = {"dear": Made(right(0.95, "x"), latency_s=0.02), "quick": Made(quick, latency_s=0.01)}
    said = told(tmp_path, systems, needs={"weights": {"latency": 0.9}}, leaked=leaked)
    assert said.startswith("No winner: quick is ahead on all questions together, latency weighed, but on the 60 ")


def test_where_training_has_seen_everything_nothing_is_known(tmp_path: Path) -> None:
    every = [f"q{i}" for i in range(300)]
    systems = {"memoriser": Made(right(1.1), tuned=True, seeds=3), "honest": Made(right(0.6))}
    found = scored(tmp_path, systems, asked(), leaked=every).recommendation
    assert found.outcome == "undecided" and found.sentence.startswith("No verdict: training has seen every question")
    untrained = {"a": Made(right(0.9, "a")), "b": Made(right(0.6, "b"))}
    assert told(tmp_path / "untrained", untrained, leaked=every).startswith("Use a")


def test_what_is_only_remembered_is_not_better_than_the_base_model(tmp_path: Path) -> None:
    leaked = [f"q{i}" for i in range(270)]
    tuned = lambda q, s: Answer("yes") if q.id in leaked else right(0.2, "b")(q, 1)
    systems = {"base": Made(right(0.2, "b"), kind="closed_book"), "lora": Made(tuned, tuned=True, seeds=3)}
    found = scored(tmp_path, systems, asked(), leaked=leaked).recommendation
    assert found.outcome == "contradicted" and "on the 30 questions that training has not seen, base" in found.sentence


def test_a_rival_whose_verdicts_failed_does_not_miss_a_need(tmp_path: Path) -> None:
    a = Made(lambda q, s: Answer("yes"), judged=lambda q, s: 0.65)
    most = Made(lambda q, s: Answer("no"), judged=lambda q, s: None if int(q.id[1:]) % 5 else 0.0)
    needs = {"metric": "answer_accuracy", "min_quality": 0.5}
    said = told(tmp_path / "most", {"a": a, "b": most}, needs=needs, judge=JUDGE)
    assert said.startswith("No verdict: answer accuracy (judge) is not decisive for b.")
    every = Made(lambda q, s: Answer("no"), judged=lambda q, s: None)
    said = told(tmp_path / "all", {"a": a, "b": every}, needs={"metric": "answer_accuracy"}, judge=JUDGE)
    assert said.startswith("No verdict: answer accuracy (judge) is not decisive for b.")
    base = replace(most, kind="closed_book")
    said = told(tmp_path / "base", {"a": a, "base": base}, needs={"metric": "answer_accuracy"}, judge=JUDGE)
    assert said.startswith("No verdict: answer accuracy (judge) is not decisive for base.")


def test_a_rival_that_was_not_measured_is_not_said_to_miss(tmp_path: Path) -> None:
    remote = Made(right(0.9), config={"model.base_url": "http://localhost:1/v1"})
    systems = {"local": Made(right(0.5)), "remote": remote}
    said = told(tmp_path, systems, needs={"usd_per_month": 1e6}, prices={"cpu_hour_usd": 1.0})
    assert "No other system is shown to meet the needs: remote was not measured for usd_per_month." in said


def test_seeds_are_no_questions(tmp_path: Path) -> None:
    """Two questions prove nothing, and five show no equivalence, however many trainings say the same."""
    tuned = Made(right(1.1), tuned=True, seeds=2)
    assert told(tmp_path / "two", {"lora": tuned, "rag": Made(right(0.0))}, asked(2)).startswith("No clear winner")
    same = {name: Made(right(0.8, "x"), tuned=True, seeds=3) for name in ("adapter", "merged")}
    found = scored(tmp_path / "same", same, asked(5), margin=0.01)
    assert [pair.verdict for pair in found.compared["em"]] == ["inconclusive"]
    odd = lambda q, s: Answer("yes" if q.id in ("q1", "q2", "q3", "q4") or int(q.id[1:]) > 50 else "no")
    even = lambda q, s: Answer("yes" if int(q.id[1:]) > 50 else "no")
    four = {"odd": Made(odd, tuned=True, seeds=3), "even": Made(even, tuned=True, seeds=3)}
    (pair,) = scored(tmp_path / "four", four, asked(100)).compared["em"]
    assert pair.verdict == "inconclusive" and pair.p == pytest.approx(0.125)  # four against none, by McNemar


def test_a_seed_that_does_not_answer_counts_against_its_system(tmp_path: Path) -> None:
    """Each of three seeds abstains on two thirds of the questions, every question being answered by one of them."""
    hits = (Hit("c", "p", "yes", 1.0),)
    mute = lambda q, s: Answer("yes" if int(q.id[1:]) % 3 == s - 1 else "unknown", hits)
    failing = lambda q, s: Answer("yes", hits) if int(q.id[1:]) % 3 == s - 1 else Answer("", error="oom")
    for name, says in (("mute", mute), ("failing", failing)):
        systems = {name: Made(says, tuned=True, seeds=3), "steady": Made(showing(right(0.9), "yes"))}
        found = scored(tmp_path / name, systems, asked(), needs={"metric": "k_precision"})
        assert found.recommendation.choice == "steady" and found.recommendation.sentence.startswith("Use steady")
        assert found.measured[name].scores["k_precision"].mean == 1.0  # of what was answered, as the table says
        assert any(f"To rank {name}" in line for line in found.recommendation.caveats)


def test_too_few_questions_are_not_called_no_difference(tmp_path: Path) -> None:
    systems = {"a": Made(right(1.1)), "b": Made(right(0.0))}
    said = told(tmp_path / "five", systems, asked(5))
    assert "a difference was seen, but 5 questions are too few to show it" in said
    documents = [Asked(f"q{i}", group=f"d{i % 5}") for i in range(300)]
    nearly = {"a": Made(lambda q, s: Answer("no" if q.id == "q0" else "yes")), "b": Made(right(0.0))}
    said = told(tmp_path / "documents", nearly, documents)
    assert "a difference was seen, but 5 groups of questions are too few to show it" in said
    said = told(tmp_path / "zero", {"zero": Made(right(0.0))}, asked(5))
    assert said.startswith("Nothing is shown to work: the highest is zero, exact match 0.00")
    assert told(tmp_path / "many", {"zero": Made(right(0.0))}).startswith("Nothing works: the highest is zero")


def test_a_run_whose_gaps_are_filled_can_be_written_and_read(tmp_path: Path) -> None:
    """One question alone in its stratum is answered by one of two seeds."""

    def says(question: Asked, seed: int) -> Answer:
        if question.id == "q0":
            return Answer("yes" if seed == 1 else "unknown")
        return Answer("blue" if seed == 1 and int(question.id[1:]) % 2 == 0 else "yes")

    questions = [Asked("q0", stratum="rare"), *asked(40)[1:]]
    scored(tmp_path, {"both": Made(showing(says, "yes"), tuned=True, seeds=2)}, questions)
    found = read_scores(tmp_path).measured["both"].scores["k_precision"]
    assert found is not None and 0.0 <= found.low <= found.mean <= found.high <= 1.0
    rare = found.strata["rare"]
    assert rare is not None and (rare.low, rare.high) != (float("-inf"), float("inf"))


def test_a_learning_curve_of_a_measure_that_tuning_lacks_is_none(tmp_path: Path) -> None:
    scenario = {"name": "data", "of": "lora", "what": "training questions", "value": 16}
    systems = {
        "rag": Made(showing(right(0.8)), kind="rag"),
        "lora": Made(right(0.7), kind="lora", tuned=True),
        "data.lora-16": Made(right(0.6), kind="lora", tuned=True, scenario=scenario),
    }
    found = scored(tmp_path / "shown", systems, asked(), needs={"metric": "k_precision"})
    assert found.scenarios.data is None
    assert scored(tmp_path / "plain", systems, asked()).scenarios.data is not None


def snapshot(latency: dict[str, float], noise: RunNoise | None = None) -> Snapshot:
    system = SystemSnapshot("done", 1, {}, latency, {})
    noises = {"p95_latency_s": noise} if noise else {}
    return Snapshot("run", "data", "spec", {"cpu": "x"}, {}, "em", {"s": system}, {}, noises)


def test_a_gate_on_a_high_percentile_looks_at_it() -> None:
    """Twelve of 200 questions take twice as long: the 95th percentile doubles, and the median does not move."""
    before = {f"q{i}": 1.0 for i in range(200)}
    after = before | {f"q{i}": 2.0 for i in range(12)}
    rules = Rules(rules=(Rule(metric="p95_latency_s", margin=0.15),))
    (found,) = gate(snapshot(after), snapshot(before), rules)
    assert (found.state, found.old, found.new) == ("inconclusive", 1.0, 2.0)  # without a calibration
    every = {f"q{i}": 2.0 + i / 1000 for i in range(200)}
    quiet = RunNoise(0.001, 20)
    (found,) = gate(snapshot(every), snapshot({q: 1.0 + v / 1000 for q, v in every.items()}, quiet), rules)
    assert found.state == "fail"
    (found,) = gate(snapshot(before), snapshot(before, quiet), rules)
    assert found.state == "pass"
    few = {f"q{i}": 1.0 for i in range(8)}
    (found,) = gate(snapshot(few), snapshot(few), rules)
    assert found.state == "errored" and "too few" in found.why


def test_a_gate_sees_that_trainings_crashed() -> None:
    questions = [f"q{i}" for i in range(200)]
    was = SystemSnapshot("done", 3, {"em": Values(questions, questions, [[1.0] * 200] * 3)}, {}, {})
    now = SystemSnapshot("partly failed", 1, {"em": Values(questions, questions, [[1.0] * 200])}, {}, {})
    new, old = (Snapshot("r", "data", "spec", {"cpu": "x"}, {}, "em", {"lora": of}) for of in (now, was))
    rules = Rules(rules=(Rule(metric="em", margin=0.02),))
    (found,) = gate(new, old, rules)
    assert (found.state, found.why) == ("missing", "the system failed on some of its seeds in this run")
    (found,) = gate(new, new, rules)  # a baseline that was accepted like that
    assert found.state == "pass"
