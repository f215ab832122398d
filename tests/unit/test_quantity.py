"""Numbers as people and models write them."""

from __future__ import annotations

import pytest

from bench.metrics.quantity import numeric, quantities


@pytest.mark.parametrize(
    ("said", "reference", "question", "right"),
    [
        ("$1,577 million", "$1577.00 million", "", 1),
        ("1.577 billion USD", "$1,577 million", "", 1),
        (
            "The capital expenditure was $1.58 billion in FY2018.",
            "$1577.00",
            "FY2018 capital expenditure in USD millions?",
            1,
        ),
        ("1577", "$1577.00", "What was it in USD millions?", 1),
        ("1.577 million", "$1577.00", "What was it in USD millions?", 0),
        ("In 2018 it was 9.", "2018", "Which year?", 1),
        ("The 2018 value is 7.", "7", "What is the value of 2018?", 1),
        ("The 2018 value is 8.", "2018", "What is the value of 2018?", 0),
        ("12.3%", "12.3 percent", "", 1),
        ("0.123", "12.3%", "", 1),
        ("12.3", "12.3%", "", 1),
        ("123%", "12.3%", "", 0),
        ("-40 C", "40 C", "", 0),
        ("\u221240 C", "-40 C", "", 1),
        ("(1,200)", "-1200", "", 1),
        ("15 bar", "1.5 bar", "", 0),
        ("1.50 bar", "1.5 bar", "", 1),
        ("14 rpm", "14 bar", "", 0),
        ("14", "14 rpm", "", 1),
        ("about 14 revolutions", "14", "", 1),
        ("It runs at 14 rpm when warm.", "14 rpm", "", 1),
        ("\u20ac5", "$5", "", 0),
        ("5 euros", "\u20ac5", "", 1),
        ("3 seconds", "3 s", "", 1),
        ("2,000,000", "2 million", "", 1),
        ("2 000 000", "2 million", "", 1),
        ("$2.0bn", "2 billion dollars", "", 1),
        ("101 kg", "100 kg", "", 1),
        ("102 kg", "100 kg", "", 0),
        ("101", "100", "", 0),  # counts and years are exact
        ("2019", "2020", "", 0),
        ("1999", "2009", "", 0),
        ("in 2019", "2019", "", 1),
        ("1,577", "1577", "", 1),
        ("$12.5M", "12.5 million", "", 1),
        ("$12.5m", "$12.5 million", "", 1),
        ("12.5M", "12.5 million", "", 1),
        ("12.5 m", "12.5 million", "", 0),
        ("$3bn", "$3B", "", 1),
        ("fourteen", "14", "", 0),
        ("", "14", "", 0),
        ("9 or 14", "14", "", 1),
        ("0", "0", "", 1),
        ("The rated torque (1000 Nm) is on page 2.", "1000 Nm", "", 1),
        ("Net loss was (1,200).", "-1200", "", 1),
        ("30 pounds (14 kg)", "14 kg", "", 1),
        ("(1,200)", "1200", "", 0),
        ("minus 1000 Nm", "1000 Nm", "", 0),
        ("minus 40 C", "-40", "", 1),
        ("14 million", "14 mm", "", 0),
        ("14 millimetres", "14 mm", "", 1),
        ("$14 mm", "14 million dollars", "", 1),
        ("300 kelvin", "300 K", "", 1),
        ("300000", "300 K", "", 0),
        ("300k", "300,000", "", 1),
        ("20 years", "20 months", "", 0),
        ("5 years old", "5 years", "", 1),
        ("100 years", "101 years", "", 0),  # they are counted
        ("in the year 1990", "1990", "", 1),
        ("5 mW", "5 MW", "", 0),
        ("5 MW", "5 megawatts", "", 1),
        ("1,00,000", "100000", "", 1),
        ("1e6", "1000000", "", 1),
        ("1.000.000", "1000000", "", 1),
        ("\u00bd", "0.5", "", 1),
        ("1\u00bd hours", "1.5 h", "", 1),
        ("It is not 14 but 15.", "14", "", 0),
        ("It is not 14 but 15.", "15", "", 1),
        ("0.5", "0", "", 0),
    ],
)
def test_by_value(said: str, reference: str, question: str, right: float) -> None:
    assert numeric(said, [reference], question) == right, quantities(said)


def test_what_is_no_number_is_not_scored() -> None:
    assert numeric("14", ["fourteen"]) is None and numeric("14", ["14", "Ms Ito"]) is None
    assert numeric("14", ["from 9 to 14"]) is None  # a range is two numbers
    assert numeric("14", ["It ran at 14 rpm in the old hall of the works"]) is None  # a sentence


def test_any_reference_will_do() -> None:
    assert numeric("9", ["14", "9"]) == 1.0
