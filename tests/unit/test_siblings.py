"""Numbers and labels that a hostile reader read wrongly: what is said in another unit, language or name is another."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bench.metrics.label import label
from bench.metrics.quantity import numeric
from bench.metrics.text import is_numeric


@pytest.mark.parametrize(
    ("answer", "reference", "language", "score"),
    [
        ("3,9 bar", "3,5 bar", "de", 0.0),
        ("3,5 bar", "3,5 bar", "de", 1.0),
        ("1.200,50 \u20ac", "1200,50 \u20ac", "de", 1.0),
        ("1.200,80 \u20ac", "1.300,50 \u20ac", "de", 0.0),
        ("3,9", "3,5", "en", None),  # a list, or a decimal comma: nobody knows
        ("1.234.999", "1.234.567", "en", 0.0),
        ("20 \u00b0F", "20 \u00b0C", "en", 0.0),
        ("20 degrees celsius", "20 \u00b0C", "en", 1.0),
        ("20 C", "20 \u00b0C", "en", 1.0),
        ("$5", "\u20b95", "en", 0.0),
        ("CHF 5", "$5", "en", 0.0),
        ("14 min", "14 m", "en", 0.0),
        ("3 hPa", "3 h", "en", 0.0),
        ("3 hours", "3 h", "en", 1.0),
        ("5 bar", "5 b", "en", 0.0),
        ("Apollo 11", "Gemini 11", "en", None),
        ("Section 4", "Article 4", "en", None),
        ("June 5", "May 5", "en", None),
        ("COVID-19", "19", "en", 0.0),
        ("about 14 rpm", "approximately 14 rpm", "en", 1.0),
        ("The options are 1, 2, 3, 4, 5", "3", "en", 0.0),
        ("2020-01-05", "5", "en", 0.0),
        ("366 days", "365 days", "en", 0.0),
        ("101 pumps", "100 pumps", "en", 0.0),
        ("$2020", "$2019", "en", 0.0),
        ("1.58 billion", "1,577 million", "en", 1.0),
        ("2.000.000", "2 Millionen", "de", 1),
        ("2", "2 Millionen", "de", 0),
        ("14 Mio. Euro", "14 Millionen Euro", "de", 1),
        ("1 Billion", "1.000 Milliarden", "de", 1),
        ("5 Minuten", "5 min", "de", 1),
        ("3", "3 millones", "es", 0),
        ("1,2 millions", "1200000", "fr", 1),
        ("14\u4e07\u5143", "140000\u5143", "zh", 1),
        ("14", "14\u4e07", "zh", 0),
        ("\u6bcf\u5206\u949f14\u8f6c\u3002", "14\u8f6c", "zh", 1),  # a number within a run of characters
        ("\u7b54\u3048\u306f14\u3067\u3059", "14", "ja", 1),
        ("3", "3 million", "en", 0),
    ],
)
def test_a_number_is_of_its_unit_and_language(answer: str, reference: str, language: str, score: float | None) -> None:
    assert numeric(answer, [reference], "", language) == score


@pytest.mark.parametrize(
    ("reference", "found"),
    [("14 Nm", True), ("$5", True), ("about 5 bar", True), ("fluid 3x", False), ("Article 4", False), ("-40 C", True)],
)
def test_a_name_with_a_number_is_no_number(reference: str, found: bool) -> None:
    assert is_numeric(reference) is found


ABC, YES = ("A", "B", "C"), ("yes", "no", "maybe")


@pytest.mark.parametrize(
    ("answer", "choices", "found"),
    [
        ("I have no idea", YES, None),
        ("No relevant information is given in the passages.", YES, None),
        ("I do not know, no information", YES, None),
        ("There is no doubt", YES, None),
        ("No, it is not.", YES, "no"),
        ("No because it leaks", YES, "no"),
        ("Yes \u2014 no wait, no", YES, "no"),
        ("Answer: A or B", ABC, None),
        ("A\nB\nC", ABC, None),
        ("The answer is b", ABC, "B"),
        ("answer: b.", ABC, "B"),
        ("the answer is a pump", ABC, None),
        ("Hepatitis B", ABC, None),
        ("Vitamin B deficiency", ABC, None),
        ("C'est la vie", ABC, None),
        ("Option B", ABC, "B"),
        ("The answer is B, not A.", ABC, "B"),
        ("\u8fd9\u6761\u8bc4\u8bba\u662f\u6b63\u9762\u7684\u3002", ("\u6b63\u9762", "\u8d1f\u9762"), "\u6b63\u9762"),
        ("\u662f\u7684", ("\u662f", "\u5426"), "\u662f"),
        ("\u4e0d\u662f", ("\u662f", "\u5426"), None),
        ("\uae0d\uc815\uc785\ub2c8\ub2e4", ("\uae0d\uc815", "\ubd80\uc815"), "\uae0d\uc815"),
        ("nicht positiv", ("positiv", "negativ"), None),
        ("No es positivo", ("positivo", "negativo"), None),
        ("Es positivo", ("positivo", "negativo"), "positivo"),
    ],
)
def test_a_label_is_named_and_not_met_by_chance(answer: str, choices: Sequence[str], found: str | None) -> None:
    assert label(answer, choices) == found
