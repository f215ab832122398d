"""Readings by which a verdict, a claim or the page once said what is false; each through a run's real files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import report
from bench.core.vocabulary import Answer
from bench.stats.comparisons import Panel, compare
from bench.verdict.claim_terms import level
from tests.made_up import Asked, Made, Says, asked, right, scored, showing

HALF = [Asked(f"q{i}", answers=("yes",) if i % 2 else ()) for i in range(300)]
FREE = {"cpu_hour_usd": 0.0}
PRICED = {"prompt_tokens_usd_per_million": 3.0, "completion_tokens_usd_per_million": 15.0}


def always(text: str) -> Says:
    """The same answer to every question."""
    return lambda question, seed: Answer(text)


BASE = Made(always("neither"), kind="closed_book")


def rag(says: Says, **config: object) -> Made:
    return Made(says, kind="rag", config=dict(config))


def spoken(says: Says) -> Says:
    """With the tokens that an endpoint counts."""
    return lambda question, seed: replace(says(question, seed), prompt_tokens=2000, completion_tokens=50)


def test_who_says_what_he_does_not_know_is_not_ahead_of_who_says_so(tmp_path: Path) -> None:
    def hedger(question: Asked, seed: int) -> Answer:
        return Answer("yes" if question.answers else "I don't know for certain. It is 14 rpm.")

    def honest(question: Asked, seed: int) -> Answer:
        return Answer("yes" if question.answers else "I'm sorry, but the answer is not in the provided documents.")

    systems = {"hedger": rag(hedger), "honest": rag(honest), "base": BASE}
    found = scored(tmp_path, systems, HALF, margin=0.05).recommendation
    assert found.choice == "honest" and found.outcome == "winner"


def test_who_only_abstains_is_of_no_use(tmp_path: Path) -> None:
    questions = [Asked(f"q{i}", answers=("yes",) if i % 10 < 3 else ()) for i in range(300)]
    mute = scored(tmp_path / "mute", {"mute": rag(always("I don't know")), "base": BASE}, questions, margin=0.02)
    assert mute.recommendation.outcome == "nothing works"
    assert mute.recommendation.sentence.startswith(
        "Nothing works on the questions that have an answer: mute, which leads there, is right on 0.00 of them."
    )
    some = {"reader": rag(lambda q, s: Answer("yes" if q.answers else "I don't know")), "base": BASE}
    assert scored(tmp_path / "some", some, questions, margin=0.02).recommendation.outcome == "winner"


@pytest.mark.parametrize(("difference", "said"), [(-0.015, {"confirmed", "inconclusive"}), (-0.06, {"refuted"})])
def test_a_loss_within_the_margin_refutes_no_claim_of_being_level(difference: float, said: set[str]) -> None:
    """Three thousand questions, so that a loss of 0.015 is shown; the margin is 0.02."""
    for seed in range(8):
        ids = [f"q{i}" for i in range(3000)]
        mine, other = right(0.7 + difference, f"a{seed}"), right(0.7, f"a{seed}")
        columns = {
            name: np.array([[float(says(Asked(q), 1).text == "yes") for q in ids]])
            for name, says in (("a", mine), ("b", other))
        }
        pair = compare(Panel(columns, ids), margin=0.02)[0]
        found = level(pair, "em")
        assert found is not None and found.status in said, found
        assert found.status == "inconclusive" or not found.takes


def test_what_is_free_is_not_dearer_than_what_is_nearly_free(tmp_path: Path) -> None:
    served = Made(spoken(right(0.84, "r")), kind="rag", config={"model.base_url": "http://x/v1"})
    systems = {"local": rag(right(0.78, "r")), "served": served, "base": BASE}
    for hour in (0.0, 0.0001):
        prices = {**PRICED, "cpu_hour_usd": hour}
        needs = {"weights": {"cost": 0.05}}
        found = scored(tmp_path / str(hour), systems, asked(1500), prices=prices, needs=needs, margin=0.02)
        assert found.recommendation.choice == "local", found.recommendation.sentence


@pytest.mark.parametrize("prices", [FREE, {**FREE, "storage_gb_month_usd": 0.02}, {**FREE, **PRICED}])
def test_a_machine_that_costs_nothing_has_its_page(prices: dict[str, float], tmp_path: Path) -> None:
    served = Made(spoken(right(0.9, "r")), kind="rag", config={"model.base_url": "http://x/v1"})
    systems = {"a": rag(right(0.8, "r")), "b": served if PRICED.keys() & prices.keys() else rag(right(0.7, "r"))}
    scored(tmp_path, {**systems, "base": BASE}, asked(100), prices=prices)
    assert report(tmp_path).exists()


def test_a_yes_without_a_mark_cites_nothing(tmp_path: Path) -> None:
    shown = showing(right(0.8), "The pump runs, yes and no.")
    plain = scored(tmp_path / "plain", {"rag": Made(shown, kind="rag"), "base": BASE}, asked())
    assert plain.systems["rag"].scores["citation_recall"].mean == 0.0
    assert {c.id: c.status for c in plain.claims}["rag-source"] == "refuted"
    marked = Made(lambda q, s: replace(shown(q, s), text=f"{shown(q, s).text} [1]"), kind="rag")
    cites = scored(tmp_path / "marked", {"rag": marked, "base": BASE}, asked())
    assert {c.id: c.status for c in cites.claims}["rag-source"] == "confirmed"
