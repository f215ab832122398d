"""Units in words, prefixes whose case tells a million from a thousandth, powers of ten, shares that are no percent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.core.vocabulary import Answer, Hit
from bench.metrics.grounding import without_marks
from bench.metrics.quantity import numeric
from tests.golden.test_rules import record


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ("4 degrees Celsius", "4 °C"),
        ("4 degrees Fahrenheit", "4 °F"),
        ("16 gigabytes", "16 GB"),
        ("12 feet", "12 ft"),
        ("30 pounds", "30 lb"),
        ("60 miles per hour", "60 mph"),
        ("60 kilometres per hour", "60 km/h"),
        ("1,450 revolutions per minute", "1450 rpm"),
        ("11 kilovolts", "11 kV"),
        ("250 milligrams", "250 mg"),
        ("250 millilitres", "250 ml"),
        ("101 kilopascals", "101 kPa"),
        ("60 decibels", "60 dB"),
        ("5 kilowatt hours", "5 kWh"),
        ("5 kilowatt-hours", "5 kWh"),
        ("200 ohms", "200 Ω"),
        ("40 square metres", "40 m²"),
        ("2 tons", "2 t"),
        ("8 ounces", "8 oz"),
        ("1.5 × 10^6", "1500000"),
        ("1.5 x 10^3", "1,500"),
        ("1.5·10⁻³", "0.0015"),
        ("12.3%", "0.123"),
    ],
)
def test_the_same_value_in_other_words(said: str, known: str) -> None:
    assert numeric(said, [known]) == 1.0
    assert numeric(f"It is {said}.", [known]) == 1.0


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ("5 Mg", "5 mg"),
        ("5 mA", "5 MA"),
        ("200 mOhm", "200 MOhm"),
        ("5 MHz", "5 mHz"),
        ("16 gigabytes", "16 MB"),
        ("4 degrees Celsius", "4 °F"),
        ("1.5 × 10^6", "1.5"),
        ("10 ppm", "10%"),
        ("10 basis points", "10%"),
        ("1e-13", "5e-13"),
    ],
)
def test_another_value_is_another(said: str, known: str) -> None:
    assert numeric(said, [known]) == 0.0


def test_a_year_in_brackets_is_no_mark() -> None:
    assert without_marks("ISO 9001 [2015]", 1) == "ISO 9001 [2015]"
    assert without_marks("14 rpm [2]", 4) == "14 rpm" == without_marks("14 rpm [7]", 4)


def test_what_a_reference_says_to_the_letter_is_right() -> None:
    from bench.metrics import answer

    shown = Answer("x[7]", (Hit("c", "p", "x[7]", 1.0),))
    one = replace(record("", ("x[7]",)), answer=shown)
    assert answer.em(one, ()) == 1.0 == answer.em_strict(one, ())
