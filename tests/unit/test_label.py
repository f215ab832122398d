"""The choice that an answer names, on a hundred phrasings of what models say. Each is (answer, choice or None)."""

from __future__ import annotations

import pytest

from bench.core.vocabulary import Answer, Record
from bench.metrics import answer as measures
from bench.metrics.label import label

LETTERS = ("A", "B", "C", "D")
YES = ("yes", "no", "maybe")
TEXTS = ("Replace the seal", "Tighten the bolt", "Change the oil")
MARKED = ("A) Replace the seal", "B) Tighten the bolt", "C) Change the oil")
TOPICS = ("World", "Sports", "Business", "Science and Technology")

PHRASINGS: dict[tuple[str, ...], list[tuple[str, str | None]]] = {
    LETTERS: [
        ("A", "A"),
        ("b", "B"),
        ("C.", "C"),
        ("(D)", "D"),
        ("**B**", "B"),
        ("A, not B.", "A"),
        ("Not A but B.", "B"),
        ("Both A and B are correct.", None),
        ("I don't think A is right. B.", "B"),
        ("I don't think it's B", None),
        ("It can't be A, so B.", "B"),
        ("The answer is A", "A"),
        ("The answer is (C).", "C"),
        ("The correct answer is: D", "D"),
        ("Answer: B", "B"),
        ("Final answer: C", "C"),
        ("ANSWER: D", "D"),
        ("The best option is B, because the pump is old.", "B"),
        ("Option C", "C"),
        ("Option C is correct.", "C"),
        ("I would choose D.", "D"),
        ("I'd go with B", "B"),
        ("My answer is A.", "A"),
        ("\\boxed{C}", "C"),
        ("The answer is \\boxed{D}.", "D"),
        ("B) Tighten the bolt", "B"),
        ("B. Tighten the bolt", "B"),
        ("C: the oil", "C"),
        ("D \u2014 the valve", "D"),
        ("A because the seal leaks", "A"),
        ("A is wrong, so the answer is B.", "B"),
        ("A is wrong. B is right.", "B"),
        ("(A) is wrong, (B) is right", "B"),
        ("A is incorrect; C.", "C"),
        ("Option A is wrong, so B", "B"),
        ("A is not correct", None),
        ("A isn't right. D is.", "D"),
        ("A is also false, as is B is ruled out: C", "C"),
        ("It cannot be A or C; the correct choice is D.", "D"),
        ("Let me think. A is too small. The answer is C", "C"),
        ("`B`", "B"),
        ("Choice: A", "A"),
        ("The answer is not A. The answer is B.", "B"),
        ("A pump moves water.", None),
        ("I think that it depends.", None),
        ("A and B are both right.", None),
        ("None of them.", None),
        ("", None),
        ("I don't know", None),
        ("E", None),
        ("Between B and C.", None),
    ],
    YES: [
        ("yes", "yes"),
        ("Yes.", "yes"),
        ("No", "no"),
        ("Maybe.", "maybe"),
        ("Yes, the study shows it.", "yes"),
        ("No, there is no evidence of this.", "no"),
        ("No. Patients said yes to the survey.", "no"),
        ("Yes: no harm was seen.", "yes"),
        ("The answer is no.", "no"),
        ("The answer is yes, although maybe not for all.", "yes"),
        ("Answer: maybe", "maybe"),
        ("**Yes**", "yes"),
        ("YES", "yes"),
        ("no\n\nThe trial was too small.", "no"),
        ("Yes \u2013 in most cases.", "yes"),
        ("In short, yes.", "yes"),
        ("I would say no.", "no"),
        ("My answer is maybe.", "maybe"),
        ("Based on the abstract, the answer is: yes", "yes"),
        ("The final answer is **no**.", "no"),
        ("Maybe, it depends on the dose.", "maybe"),
        ("yes and no", None),
        ("It is unclear.", None),
        ("", None),
        ("The results were significant.", None),
        ("Nothing was found.", None),
        ("yesterday", None),
        ("not yes", None),
    ],
    TEXTS: [
        ("Replace the seal", "Replace the seal"),
        ("replace the seal.", "Replace the seal"),
        ("You should tighten the bolt first.", "Tighten the bolt"),
        ("The answer is: Change the oil", "Change the oil"),
        ("Change the oil, since it is black.", "Change the oil"),
        ("Do not replace the seal; tighten the bolt.", "Tighten the bolt"),
        ("Replace the seal and change the oil.", None),
        ("Call a technician.", None),
        ('"Tighten the bolt"', "Tighten the bolt"),
        ("I'd pick \u201cChange the oil\u201d.", "Change the oil"),
    ],
    MARKED: [
        ("A", "A) Replace the seal"),
        ("B) Tighten the bolt", "B) Tighten the bolt"),
        ("Tighten the bolt", "B) Tighten the bolt"),
        ("The answer is C.", "C) Change the oil"),
        ("The answer is C) Change the oil.", "C) Change the oil"),
        ("b. tighten the bolt", "B) Tighten the bolt"),
        ("Change the oil.", "C) Change the oil"),
        ("(A) Replace the seal", "A) Replace the seal"),
        ("A new pump", None),
        ("A or B", None),
    ],
    TOPICS: [
        ("World", "World"),
        ("sports", "Sports"),
        ("Category: Business", "Business"),
        ("This article is about science and technology.", "Science and Technology"),
        ("The label is Sports.", "Sports"),
        ("The topic is business, not sports.", "Business"),
        ("Classification: World", "World"),
        ("Science and  Technology", "Science and Technology"),
        ("The worldwide market", None),
        ("Politics", None),
        ("Sports or Business", None),
        ("It belongs to Business.", "Business"),
    ],
}
CASES = [(said, choices, right) for choices, rows in PHRASINGS.items() for said, right in rows]


def test_a_hundred_phrasings() -> None:
    """Precision: of the answers in which a choice was seen, the share in which it is the right one."""
    assert len(CASES) >= 100
    seen = [(said, label(said, choices), right) for said, choices, right in CASES]
    named = [row for row in seen if row[1] is not None]
    wrong = [row for row in seen if row[1] != row[2]]
    precision = sum(found == right for _, found, right in named) / len(named)
    recall = sum(found == right for _, found, right in named) / sum(right is not None for _, _, right in seen)
    assert precision >= 0.98 and recall >= 0.95, wrong


@pytest.mark.parametrize(
    ("said", "em", "accuracy"), [("A", 1.0, 1.0), ("", 0.0, 0.0), ("a.", 1.0, 1.0), ("The answer is A", 0.0, 1.0)]
)
def test_the_letter_a_is_no_article(said: str, em: float, accuracy: float) -> None:
    asked = Record("c", "s", 1, "q", "all", "q", "Which?", ("A",), (), LETTERS, Answer(said), 0, 1, 0.0, None)
    assert measures.em(asked, ()) == em and measures.label_accuracy(asked, ()) == accuracy
    assert measures.abstains_wrongly(asked, ()) == 0.0


@pytest.mark.parametrize(
    ("said", "choices", "found"),
    [
        ("b) Paris", ("A", "B", "C"), "B"),
        ("(b) Paris", ("A", "B", "C"), "B"),
        ("There is no reason to say yes.", ("yes", "no", "maybe"), None),
        ("I would eliminate A. It is C.", ("A", "B", "C"), "C"),
        ("4.5", ("1", "2", "3", "4", "5"), None),
        ("4.", ("1", "2", "3", "4", "5"), "4"),
        ("4, because it works.", ("1", "2", "3", "4", "5"), "4"),
    ],
)
def test_small_letters_eliminations_and_halves(said: str, choices: tuple[str, ...], found: str | None) -> None:
    assert label(said, choices) == found
