"""V8: what a measure without a judge can tell of an answer's ground, and what it cannot."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from bench.core.vocabulary import Hit
from bench.metrics import grounding
from bench.metrics.citations import Cited, alce, sentences
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


PAGES = ("Torque 14 Nm.", "Oil: Lases.", "Nothing.")


def test_sentences_keep_the_marks_that_follow_them() -> None:
    said = "The torque is 14 Nm [1]. It takes Lases. [2][1] It costs no. 5 coins. [9]\nBye!"
    found = sentences("q?", said, PAGES)
    assert [(s.text, s.passages) for s in found] == [
        ("q? The torque is 14 Nm.", PAGES[:1]),
        ("q? It takes Lases.", (PAGES[1], PAGES[0])),
        ("q? It costs no. 5 coins.", ()),
        ("q? Bye!", ()),
    ]
    assert len(sentences("q?", "\u7b54\u6848\u662f\u4e09\u3002[1]\u5b8c\u3002", PAGES)) == 2
    assert sentences("q?", " [1] . ", PAGES) == []


def test_citations_count_as_alce_defines_them() -> None:
    """By hand: one page supports alone; two support together alone; one of two is not needed; unsupported; uncited."""
    a, b, c = PAGES
    alone = Cited("alone", (a,))
    together = Cited("together", (a, b))  # neither says it by itself
    spare = Cited("spare", (a, c))  # c adds nothing
    wrong = Cited("wrong", (b,))
    silent = Cited("silent", ())
    said = [alone, together, spare, wrong, silent]
    entails = {(a, "alone"), (f"{a}\n{b}", "together"), (f"{a}\n{c}", "spare"), (a, "spare")}
    entailed = {pair: float(pair in entails) for one in said for pair in one.pairs()}
    recall, precision = alce(said, entailed)
    assert recall == pytest.approx(3 / 5)
    assert precision == pytest.approx((1 + 2 + 1 + 0) / 6)
    assert alce([], {}) == (None, None) and alce([silent], {}) == (0.0, None)


@pytest.mark.parametrize(
    ("answer", "cites", "bare"),
    [
        ("yes [1]", [1], "yes"),
        ("yes [1][2]", [1, 2], "yes"),
        ("yes [1, 2]", [1, 2], "yes"),
        ("yes [1-3].", [1, 2, 3], "yes."),
        ("yes [Doc 1]", [1], "yes"),
        ("yes [Passage 1; Passage 2]", [1, 2], "yes"),
        ("yes [^1]", [1], "yes"),
        ("yes\u30101\u3011", [1], "yes"),
        ("yes \u30102\u2020source\u3011", [2], "yes"),
        ("yes [9]", [9], "yes"),  # of a passage that was not shown
        ("the interval [0, 1]", [0, 1], "the interval [0, 1]"),
        ("[2, 7]", [2, 7], "[2, 7]"),
        ("see [the manual]", [], "see [the manual]"),
    ],
)
def test_marks_as_models_write_them(answer: str, cites: list[int], bare: str) -> None:
    assert grounding.marks(answer) == cites
    assert grounding.without_marks(answer, 4) == bare
