"""Text, grounding and retrieval measures on cases worked by hand."""

import math
from dataclasses import replace
from typing import Any

import pytest

from bench.core.blocks import Chunking
from bench.core.vocabulary import Answer, Hit, Place, Record
from bench.execution.run_file import read_run
from bench.metrics import grounding, retrieval, text
from bench.metrics.abstention import abstains
from bench.scoring.grade import per_question
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("answer", "references", "em", "f1"),
    [
        ("The 14 rpm.", ["14 rpm"], 1.0, 1.0),
        ("14 bar", ["14 rpm"], 0.0, 0.5),
        ("", ["14 rpm"], 0.0, 0.0),
        ("a cat sat", ["the cat", "cat sat down"], 0.0, 0.8),
        ("Zürich, Switzerland", ["zürich"], 0.0, 2 / 3),
        ("x x y", ["x y y"], 0.0, 2 / 3),
    ],
)
def test_squad(answer: str, references: list[str], em: float, f1: float) -> None:
    got = text.squad(answer, references)
    assert got[0] == em and math.isclose(got[1], f1, abs_tol=1e-12)


def test_rouge_l_is_the_longest_common_subsequence() -> None:
    assert math.isclose(text.rouge_l("a b c d", ["a c d e"]), 0.75, abs_tol=1e-12)
    assert text.rouge_l("", ["a"]) == 0.0


def test_containment_wants_whole_words() -> None:
    assert text.contains("it is 14 rpm now", ["14 rpm"]) == 1.0
    assert text.contains("it is 114 rpm", ["14 rpm"]) == 0.0
    assert text.contains("anything", ["the"]) == 0.0  # a reference that normalises to nothing matches nothing


def test_abstention() -> None:
    assert abstains("Unknown.", ["unknown"])
    assert not abstains("unknown valve", ["unknown"])


def test_form_is_of_the_whole_answer_and_content_of_any_answer() -> None:
    form = r"WO Resini 63 \| DRM [^|]+ \| FREI"
    assert text.matches("WO Resini 63 | DRM 14 Nm | FREI", form) and text.matches(
        " WO Resini 63 | DRM 9 | FREI\n", form
    )
    assert not text.matches("WO Resini 63 | DRM 14 Nm | FREI thanks", form) and not text.matches("14 Nm", form)
    assert text.holds("the torque is 14 Nm", ["14 Nm", "Lases"]) == 0.5
    assert text.holds("WO Resini 63 | DRM 14 Nm | OEL Lases | FREI", ["14 Nm", "Lases"]) == 1.0
    assert text.holds("114 Nm", ["14 Nm"]) == 0.0


HITS = [Hit("c1", "p1", "The torque is 14 Nm.", 2.0), Hit("c2", "p2", "The oil is Lases.", 1.0)]


def test_k_precision() -> None:
    assert grounding.k_precision("14 Nm", [h.text for h in HITS]) == 1.0
    assert grounding.k_precision("14 bar", [h.text for h in HITS]) == 0.5
    assert grounding.k_precision("", ["x"]) is None  # an empty answer is not a grounded one
    assert grounding.k_precision("Lases [2]", ["The oil is Lases."]) == 1.0  # a mark is no word


def test_citations() -> None:
    assert grounding.cited("14 Nm [2]", HITS) == ["p2"]
    assert grounding.cited("14 Nm", HITS) == ["p1"]
    assert grounding.citation("14 Nm", HITS, ["p1"]) == (1.0, 1.0)
    assert grounding.citation("14 Nm [1][2]", HITS, ["p1"]) == (0.5, 1.0)
    assert grounding.citation("99 Nm", HITS, ["p1"]) == (None, 0.0)
    assert grounding.cited("x [7]", HITS) == []


def test_retrieval_measures_by_hand() -> None:
    got = retrieval.measures({"q1": (["a", "b", "c", "d"], {"b": 1, "z": 1}), "q2": (["a"], {"q": 1})}, 4)
    assert got["recall_at_k"] == {"q1": 0.5, "q2": 0.0}
    assert got["mrr"] == {"q1": 0.5, "q2": 0.0}
    assert got["precision_at_k"] == {"q1": 0.25, "q2": 0.0}
    ideal = 1 + 1 / math.log2(3)
    assert math.isclose(got["ndcg"]["q1"], (1 / math.log2(3)) / ideal, rel_tol=1e-12)


def test_rank_decides_not_the_document_id() -> None:
    """trec_eval breaks ties by id, descending; a retriever's order must survive it."""
    first, last = (
        retrieval.measures({"q": (ids, {"z": 1})}, 4)["mrr"]["q"] for ids in (["z", "y", "a"], ["a", "y", "z"])
    )
    assert first == 1.0 and math.isclose(last, 1 / 3)


def test_chunks_of_one_passage_count_once() -> None:
    got = retrieval.measures({"q": (["p", "p", "r"], {"r": 1})}, 4)
    assert got["mrr"]["q"] == 0.5


def test_grades_are_gains_as_in_trec_eval() -> None:
    """trec_eval's ndcg_cut adds the grade itself over the logarithm of the rank; recall counts every grade above 0."""
    got = retrieval.measures({"q": (["a", "b", "c"], {"a": 1, "c": 3, "z": 2})}, 3)
    ideal = 3 + 2 / math.log2(3) + 1 / math.log2(4)
    assert math.isclose(got["ndcg"]["q"], (1 + 3 / math.log2(4)) / ideal, rel_tol=1e-12)
    assert math.isclose(got["recall_at_k"]["q"], 2 / 3)


LONG = "The pump of hall three turns. It runs at 14 rpm when warm. Its oil is Lases."


def chunk(start: int, end: int, passage: str = "p") -> Hit:
    return Hit(f"{passage}#{start}", passage, LONG[start:end], 1.0, start=start)


def test_a_chunk_counts_where_it_holds_the_evidence() -> None:
    """The evidence is characters 30 to 56 of p; another chunk of p, or the same place of another passage, is none."""
    span = ((Place("p", 30, 56),),)
    assert retrieval.of_spans([chunk(0, 30), chunk(56, 76)], span, 4) == {
        "recall_at_k": 0.0,
        "precision_at_k": 0.0,
        "mrr": 0.0,
        "ndcg": 0.0,
    }
    assert retrieval.of_spans([chunk(30, 56, "other")], span, 4)["recall_at_k"] == 0.0
    half = retrieval.of_spans([chunk(0, 30), chunk(20, 43)], span, 4)
    assert half["recall_at_k"] == 0.5 and half["mrr"] == 0.5 and half["precision_at_k"] == 0.25
    assert math.isclose(half["ndcg"], 0.5 / math.log2(3))
    both = retrieval.of_spans([chunk(20, 43), chunk(40, 60)], span, 4)
    assert math.isclose(both["recall_at_k"], 1.0)  # what overlaps is counted once
    assert math.isclose(both["ndcg"], 0.5 + 0.5 / math.log2(3))
    assert retrieval.of_spans([chunk(0, 76)], span, 4)["ndcg"] == 1.0
    assert retrieval.of_spans([chunk(0, 30), chunk(20, 43)], span, 1)["recall_at_k"] == 0.0
    twice = ((Place("p", 0, 10), Place("o", 20, 30)), (Place("o", 40, 50),))  # o holds both, p one of them
    both_in = [chunk(0, 76, "o"), chunk(0, 76, "p")]
    assert retrieval.of_spans(both_in, twice, 2)["ndcg"] == 1.0
    assert retrieval.of_spans(both_in[:1], twice, 1)["ndcg"] == 1.0
    assert 0.5 < retrieval.of_spans(both_in[::-1], twice, 2)["ndcg"] < 1.0


def test_evidence_that_two_passages_hold_is_found_in_either() -> None:
    """Documents are cut with an overlap: the second passage holds the last 10 of the 20 characters."""
    span = ((Place("d#0", 50, 70, 0), Place("d#1", 0, 10, 10)),)
    whole, rest = Hit("d#0", "d#0", "x" * 70, 1.0, start=0), Hit("d#1", "d#1", "x" * 80, 1.0, start=0)
    assert retrieval.of_spans([whole], span, 4)["recall_at_k"] == 1.0
    assert retrieval.of_spans([rest], span, 4)["recall_at_k"] == 0.5
    assert retrieval.of_spans([rest, whole], span, 4)["recall_at_k"] == 1.0


def test_where_the_evidence_is_not_known_the_name_says_document() -> None:
    published = read_run(ROOT / "reports" / "published" / "quickstart-cpu").systems
    entry = next(e for e in published.values() if e.retrieval and e.distractors is None)
    retrieval_block = {**entry.config["retrieval"], "chunking": Chunking().model_dump()}
    cut = entry.model_copy(update={"config": {**entry.config, "retrieval": retrieval_block}})
    asked: dict[str, Any] = {"answers": ("14 rpm",), "gold": ("p",), "choices": (), "batch": 0, "batch_size": 1}
    asked |= {"batch_s": 0.0, "latency_s": None}
    said = Answer("14 rpm", (chunk(0, 30),))
    blind = Record("c", "s", 1, "q", "all", "q", "?", answer=said, **asked)
    located = replace(blind, spans=((Place("p", 30, 56),),))
    (unknown,), (known,) = (per_question([r], cut) for r in (blind, located))
    assert unknown["document_recall_at_k"] == 1.0 and "recall_at_k" not in unknown and "mrr" not in unknown
    assert known["document_recall_at_k"] == 1.0 and known["recall_at_k"] == 0.0
    (uncut,) = per_question([replace(blind, answer=Answer("14 rpm", (Hit("p", "p", LONG, 1.0),)))], entry)
    assert uncut["recall_at_k"] == 1.0 and "document_recall_at_k" not in uncut
    (placeless,) = per_question([replace(located, answer=Answer("14 rpm", (Hit("p", "p", "", 1.0),)))], entry)
    assert placeless["document_recall_at_k"] == 1.0 and "recall_at_k" not in placeless, "what of it was found?"


@pytest.mark.parametrize(
    ("said", "reference", "same"),
    [
        ("1.5 bar", "15 bar", 0.0),
        ("-40 C", "40 C", 0.0),
        ("\u221240 C", "-40 C", 1.0),
        ("1.50 bar", "1.5 bar", 1.0),
        ("1,200 rpm", "1200 rpm", 1.0),
        ("The 9 Nm.", "9 nm", 1.0),
        ("9 Nm", "9 bar", 0.0),
        ("9", "9 Nm", 0.0),
        ("24-10", "24\u201310", 1.0),
        ("24-10", "2410", 0.0),
        ("Ms Ito!", "ms ito", 1.0),
        ("90%", "90", 0.0),
        ("", "9 Nm", 0.0),
        ("C++", "C", 0.0),
        ("C#", "c#", 1.0),
        ("vitamin A", "vitamin", 0.0),
        ("a vitamin", "the vitamin", 1.0),
        ("5 mW", "5 MW", 0.0),
        ("minus 40 C", "-40 C", 1.0),
        ("Zu\u0308rich", "Z\u00fcrich", 1.0),
        ("<5 bar", "5 bar", 0.0),
        ("< 5 bar", "<5 bar", 1.0),
        (">5 bar", "<5 bar", 0.0),
        ("<= -5 bar", "\u2264-5 bar", 1.0),
        ("Valve A -> pump", "valve A pump", 1.0),
    ],
)
def test_strict_exact_match_keeps_numbers_signs_and_units(said: str, reference: str, same: float) -> None:
    assert text.strict(said, [reference]) == same


def test_numeric_references() -> None:
    assert all(map(text.is_numeric, ("9 Nm", "-40 C", "1,200", "about 9 bar", "1976")))
    assert not any(map(text.is_numeric, ("Ms Ito", "hall of fame", "", "the turbine that was built in 1976")))


@pytest.mark.parametrize(
    ("said", "stuck"),
    [
        ("Pinpok " * 9, True),
        ("it is " + "no " * 6, True),
        ("no no no no no", False),
        ("a b a b a b a b", False),
        ("", False),
    ],
)
def test_an_answer_that_repeats_one_word_to_its_end_is_stuck(said: str, stuck: bool) -> None:
    assert text.is_stuck(said) == stuck


def test_strict_exact_match_of_a_reference_that_is_an_article() -> None:
    assert [text.strict(said, ["A"]) for said in ("A", "a.", "", "the", "B")] == [1, 1, 0, 0, 0]
    assert text.strict("", ["..."]) == 0
