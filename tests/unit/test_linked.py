"""Rows that share something are one, and a question that is asked again is no new evidence."""

from __future__ import annotations

from bench.core.linked import linked, same_question


def test_rows_that_share_a_key_are_one_and_so_are_those_that_a_third_joins() -> None:
    assert linked([["a"], ["b"], ["c", "a"], ["d"], ["b", "c"], []]) == [0, 0, 0, 3, 0, 5]
    assert linked([]) == []


def test_a_question_is_the_same_by_its_words_answers_and_passages() -> None:
    one = same_question("What  is the pressure?", ["5 bar", "5", "Five"], ["p1", "p2"])
    assert one == same_question("what is the PRESSURE? ", ["five", "5", "5 Bar"], ["p2", "p1"])
    assert one != same_question("What is the pressure?", ["5 bar", "5", "Five"], ["p3"])
    assert one != same_question("What is the pressure?", ["6 bar"], ["p1", "p2"])
    assert same_question("Why?", (), ()) != same_question("Why?", ("",), ())
