"""Readings by which a statistician had a verdict, a claim or a need say more than the answers do."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.vocabulary import Answer, Hit
from bench.report import decision
from bench.spec.model import Volumes
from tests.made_up import Asked, Made, Says, asked, right, scored

BASE = Made(right(-1), kind="closed_book")
ENDPOINT = {"model.base_url": "http://x/v1"}


def test_three_seeds_of_which_one_diverged_decide_no_need(tmp_path: Path) -> None:
    diverged = Made(lambda q, s: Answer("yes" if s < 3 else "no"), kind="lora", tuned=True, seeds=3)
    systems = {"lora": diverged, "rag": Made(right(0.75, "z"), kind="rag"), "base": BASE}
    found = scored(tmp_path, systems, asked(300), margin=0.05, needs={"min_quality": 0.7})
    score = found.measured["lora"].scores["em"]
    assert score is not None and (score.low, score.high) == (0.0, 1.0)
    assert [need.state for need in found.recommendation.needs["lora"]] == ["not decided"]


def test_a_tuned_embedder_has_seen_what_it_was_tuned_on(tmp_path: Path) -> None:
    questions = asked(300)
    tuned = Made(right(0.98, "a"), kind="rag", config={"embedder.tuned": {}})
    systems = {"tuned": tuned, "rag": Made(right(0.8, "b"), kind="rag"), "base": BASE}
    leaked = scored(tmp_path / "leaked", systems, questions, margin=0.05, leaked=[q.id for q in questions])
    assert leaked.recommendation.outcome != "winner"
    once = scored(tmp_path / "once", systems, questions, margin=0.05)
    assert once.recommendation.outcome == "provisional"


def test_what_is_shown_training_questions_has_seen_them(tmp_path: Path) -> None:
    """One seed is enough of it, for nothing was trained."""
    questions = asked(300)
    shown = Made(right(0.98, "a"), kind="rag_few_shot", config={"shots": 4, "choose": "nearest"})
    systems = {"shown": shown, "rag": Made(right(0.8, "b"), kind="rag"), "base": BASE}
    leaked = scored(tmp_path / "leaked", systems, questions, margin=0.05, leaked=[q.id for q in questions])
    assert leaked.recommendation.outcome != "winner"
    assert scored(tmp_path / "once", systems, questions, margin=0.05).recommendation.outcome == "winner"


def test_a_unit_in_words_is_right(tmp_path: Path) -> None:
    questions = [Asked(f"q{i}", answers=(f"{i + 2} \N{DEGREE SIGN}C",)) for i in range(300)]
    spells = Made(lambda q, s: Answer((q.answers or ("",))[0].replace("\N{DEGREE SIGN}C", "degrees Celsius")))
    half = Made(lambda q, s: Answer((q.answers or ("",))[0] if int(q.id[1:]) % 2 else "1 \N{DEGREE SIGN}C"))
    found = scored(tmp_path, {"spells": spells, "half": half, "base": BASE}, questions, margin=0.05).recommendation
    assert found.choice == "spells" and found.outcome == "winner"


def test_the_same_words_are_as_right_with_passages_as_without(tmp_path: Path) -> None:
    questions = [Asked(f"q{i}", answers=(f"x[{i}]",)) for i in range(300)]

    def exact(question: Asked, seed: int) -> Answer:
        known = (question.answers or ("",))[0]
        return Answer(known, (Hit("c", "p", known, 1.0),))

    other = Made(lambda q, s: Answer((q.answers or ("",))[0] if int(q.id[1:]) % 2 else "y"))
    systems = {"rag": Made(exact, kind="rag"), "other": other, "base": BASE}
    found = scored(tmp_path, systems, questions, margin=0.05)
    assert found.recommendation.choice == "rag" and found.recommendation.quality["rag"] == 1.0


def test_a_question_that_is_asked_fifteen_times_tells_once(tmp_path: Path) -> None:
    """Of three hundred questions one system would be ahead by .15; of the twenty that they are nobody can tell."""
    questions = [Asked(f"q{i}", text=f"Which valve is number {i % 20}?") for i in range(300)]

    def knows(texts: range) -> Says:
        return lambda question, _: Answer("yes" if int(question.id[1:]) % 20 in texts else "no")

    systems = {"one": Made(knows(range(11))), "other": Made(knows(range(12, 20))), "base": BASE}
    found = scored(tmp_path, systems, questions, margin=0.05)
    score = found.measured["one"].scores["em"]
    assert score is not None and (score.n, score.clusters) == (300, 20)
    assert found.recommendation.outcome == "undecided"
    # in thirty documents of ten questions, one of which is the same in all: these stay thirty
    documents = [Asked(f"d{i}", gold=(), group=f"g{i // 10}", text="Why?" if i % 10 == 0 else "") for i in range(300)]
    score = scored(tmp_path / "documents", systems, documents, margin=0.05).measured["one"].scores["em"]
    assert score is not None and score.clusters == 30
    apart = [replace(q, gold=(f"p{i}",)) for i, q in enumerate(questions)]  # of passages of their own: other questions
    score = scored(tmp_path / "apart", systems, apart, margin=0.05).measured["one"].scores["em"]
    assert score is not None and score.clusters == 300


def test_that_choices_name_no_source_refutes_nothing(tmp_path: Path) -> None:
    questions = [Asked(f"q{i}", answers=("yes",), choices=("yes", "no", "maybe")) for i in range(300)]

    def chooses(question: Asked, seed: int) -> Answer:
        said = "yes" if random.Random(question.id).random() < 0.9 else "no"
        return Answer(said, (Hit("c", "p", "told here", 1.0),))

    found = scored(tmp_path, {"rag": Made(chooses, kind="rag"), "base": BASE}, questions, margin=0.05)
    assert {c.status for c in found.claims if c.id == "rag-source"} <= {"not tested"}


def test_an_endpoint_that_nothing_was_built_for_has_a_price_a_month(tmp_path: Path) -> None:
    def spoken(says: Says) -> Says:
        return lambda q, s: replace(says(q, s), prompt_tokens=3000, completion_tokens=10)

    systems = {
        "a": Made(spoken(right(0.9, "a")), config=ENDPOINT),
        "base": Made(spoken(right(0.1, "c")), kind="closed_book", config=ENDPOINT),
    }
    prices = {"prompt_tokens_usd_per_million": 1.0, "completion_tokens_usd_per_million": 2.0}
    found = scored(tmp_path, systems, asked(300), margin=0.05, prices=prices, needs={"usd_per_month": 5000})
    cost = found.recommendation.costs["a"]
    assert cost.thousand_questions_usd == pytest.approx(3.02) and cost.usd_per_month == pytest.approx(302.0)
    assert found.recommendation.outcome == "winner"


def test_cents_a_month_change_no_decision(tmp_path: Path) -> None:
    systems = {
        "a": Made(right(0.9, "x"), latency_s=0.04),
        "b": Made(right(0.7, "x"), latency_s=0.005),
        "base": BASE,
    }
    found = scored(tmp_path, systems, asked(300), margin=0.05, prices={"cpu_hour_usd": 0.01}).recommendation
    assert not [line for line in decision.changes(found, Volumes()) if "$" in line]


@pytest.mark.parametrize(("limit", "state"), [(24e9, "missed"), (26e9, "met")])
def test_a_card_must_hold_the_whole_process(tmp_path: Path, limit: float, state: str) -> None:
    memory = {
        "start_rss_bytes": 1,
        "peak_rss_growth_bytes": 1,
        "peak_gpu_allocated_bytes": 23_500_000_000,
        "peak_gpu_reserved_bytes": 25_200_000_000,
        "peak_gpu_process_bytes": 25_900_000_000,
    }
    on_gpu = Made(right(0.9), kind="rag", cell={"memory": memory, "notes": {"device": "cuda"}})
    found = scored(tmp_path, {"a": on_gpu, "base": BASE}, asked(300), margin=0.05, needs={"memory_bytes": limit})
    assert [need.state for need in found.recommendation.needs["a"]] == [state]
