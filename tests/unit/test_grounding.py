"""V8: what a measure without a judge can tell of an answer's ground, and what it cannot."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from bench.core.vocabulary import Hit
from bench.metrics import grounding
from bench.metrics.grounding import BLIND, k_precision
from bench.world.language import STATEMENTS, filled, noun
from bench.world.world import World

WORLD = World("grounding", 60)


def answers(kind: str) -> list[float | None]:
    """K-Precision of one sentence on each of 60 pages, shown that page."""
    scores = []
    for i in range(60):
        rng = random.Random(i)
        e, other = WORLD.entity(i), WORLD.entity((i + 7) % 60)
        a = rng.choice(list(e.facts))
        words = {"noun": noun(rng, e.kind, a), "subject": e.subject, "value": e.facts[a]}
        page = f"{WORLD.text(i)} {filled(rng, STATEMENTS[:1], **words)}"
        said = {
            "verbatim": filled(rng, STATEMENTS[:1], **words),
            "swapped": filled(rng, STATEMENTS[:1], **{**words, "subject": other.subject, "value": "Qorvex 1234"}),
            "unsupported": "Quarterly turnover rose because customers liked brighter packaging.",
            "empty": "",
            "negated": filled(rng, STATEMENTS[:1], **words).replace(" is ", " is not "),
            "paraphrase": f"Our records put it at {e.facts[a]}, which nobody disputes.",
        }[kind]
        scores.append(k_precision(said, [page]))
    return scores


def known(kind: str) -> list[float]:
    return [s for s in answers(kind) if s is not None]


def auc(above: list[float], below: list[float]) -> float:
    return fmean((a > b) + 0.5 * (a == b) for a in above for b in below)


def test_more_ground_is_a_higher_score() -> None:
    verbatim, swapped, unsupported = known("verbatim"), known("swapped"), known("unsupported")
    assert fmean(verbatim) == 1.0 > fmean(swapped) > fmean(unsupported)
    assert auc(verbatim, swapped + unsupported) >= 0.95 and auc(swapped, unsupported) >= 0.95


def test_an_empty_answer_is_not_grounded() -> None:
    assert answers("empty") == [None] * 60


@pytest.mark.parametrize("kind", ["negated", "paraphrase"])
def test_what_words_cannot_tell_is_named(kind: str) -> None:
    """A denied fact scores as high as a stated one, a true paraphrase lower than a false copy; the page says so."""
    if kind == "negated":
        assert fmean(known("negated")) > fmean(known("swapped"))
    else:
        assert fmean(known("paraphrase")) < fmean(known("swapped"))
    assert kind in BLIND


def test_a_right_sentence_rests_on_the_passage_that_holds_its_answer() -> None:
    hits = [Hit("c1", "p1", "The pump runs at 14 rpm.", 1.0), Hit("c2", "p2", "The valve is closed.", 0.5)]
    said = "According to the manual, the speed is 14 rpm."
    assert grounding.citation(said, hits, ["p1"], ["14 rpm"]) == (1.0, 1.0)
    assert grounding.citation("It is 9 rpm.", hits, ["p1"], ["14 rpm"]) == (None, 0.0)
    assert grounding.citation("14 rpm [2]", hits, ["p1"], ["14 rpm"]) == (0.0, 0.0)  # a mark says what it rests on
