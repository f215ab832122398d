"""Text, grounding and retrieval measures on cases worked by hand."""

import math

import pytest

from bench.core.vocabulary import Hit
from bench.metrics import grounding, retrieval, text
from bench.metrics.abstention import abstains


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


def test_abstention_and_labels() -> None:
    assert abstains("Unknown.", ["unknown"])
    assert not abstains("unknown valve", ["unknown"])
    assert text.label("Yes.", ["yes", "no"]) == "yes"
    assert text.label("the answer is no", ["yes", "no"]) == "no"
    assert text.label("yes and no", ["yes", "no"]) is None


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
    got = retrieval.measures({"q1": (["a", "b", "c", "d"], ["b", "z"]), "q2": (["a"], ["q"])}, 4)
    assert got["recall_at_k"] == {"q1": 0.5, "q2": 0.0}
    assert got["mrr"] == {"q1": 0.5, "q2": 0.0}
    ideal = 1 + 1 / math.log2(3)
    assert math.isclose(got["ndcg"]["q1"], (1 / math.log2(3)) / ideal, rel_tol=1e-12)


def test_rank_decides_not_the_document_id() -> None:
    """trec_eval breaks ties by id, descending; a retriever's order must survive it."""
    first, last = (retrieval.measures({"q": (ids, ["z"])}, 4)["mrr"]["q"] for ids in (["z", "y", "a"], ["a", "y", "z"]))
    assert first == 1.0 and math.isclose(last, 1 / 3)


def test_chunks_of_one_passage_count_once() -> None:
    got = retrieval.measures({"q": (["p", "p", "r"], ["r"])}, 4)
    assert got["mrr"]["q"] == 0.5


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
    ],
)
def test_strict_exact_match_keeps_numbers_signs_and_units(said: str, reference: str, same: float) -> None:
    assert text.strict(said, [reference]) == same


def test_numeric_references() -> None:
    assert all(map(text.is_numeric, ("9 Nm", "-40 C", "1,200", "about 9 bar", "1976")))
    assert not any(map(text.is_numeric, ("Ms Ito", "hall of fame", "", "the turbine that was built in 1976")))
