"""Training pairs after an update, against what the generator knows of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.files import write_jsonl
from bench.core.vocabulary import Example, Question
from bench.data.after_update import CHANGED, UNCHANGED, carried, renewed, rewritten
from bench.data.formats import native
from bench.data.prepare import check
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("answer", "old", "new", "right"),
    [
        ("14 Nm", "The torque is 14 Nm.", "The torque is 16 Nm.", "16 Nm"),
        ("14 Nm", "The torque is 14 Nm.", "By decree, the torque is 16 kN m.", "16 kN m"),
        ("Lena Ro", "Ask Lena Ro, or Bo.", "Ask Ida Vel Ka, or Bo.", "Ida Vel Ka"),
        ("Bo", "Ask Lena Ro, or Bo.", "Ask Ida Vel Ka, or Bo.", "Bo"),
        ("3.5 bar", "At 3.5 bar; 14 days.", "At 4.25 bar; 14 days.", "4.25 bar"),
        ("14 Nm", "The torque is 14 Nm.", "The torque is.", None),  # taken away
        ("9 Nm", "The torque is 14 Nm.", "The torque is 16 Nm.", None),  # never stood there
        ("", "a b", "a c", None),
        ("14 Nm", "It is 14 Nm.", "It was removed.", None),  # more or fewer words, of which none is the answer's
        ("14", "Bolt 14 takes 14 Nm.", "Bolt 14 takes 16 Nm.", None),  # which of the two
        ("Mo", "Oiled on Mo, cleaned on Mo.", "Oiled on Mo, cleaned on Mo.", "Mo"),
    ],
)
def test_what_stands_in_its_place(answer: str, old: str, new: str, right: str | None) -> None:
    assert carried(answer, old, new) == right


@pytest.mark.parametrize("name", ["plant", "plant-mini"])
def test_every_updated_fact_is_found(name: str) -> None:
    """The test split has the new answers from the generator; they are found from the pages alone."""
    task = native.read_folder(ROOT / "datasets" / name)
    old, new = ({p.id: p.text for p in pages} for pages in (task.corpus, task.updates))
    changed = [e for e in task.test if e.updated]
    assert changed and [e.answers for e in rewritten(changed, old, new)] == [e.updated for e in changed]


def test_pairs_follow_the_update_and_nothing_else_moves() -> None:
    task = native.read_folder(ROOT / "datasets" / "plant")
    then = renewed(task)
    pages = {p.id: p.text for p in then.corpus}
    moved = {p.id for p in task.updates}
    old = {e.question.id: e for e in task.train}
    differing = [e for e in then.train if e != old[e.question.id]]
    assert len(differing) > 20 and all(set(e.question.gold) & moved for e in differing)
    for e in differing:
        assert (
            e.answers
            and e.question == old[e.question.id].question
            and any(e.answers[0] in pages[g] for g in e.question.gold)
        )
    left = set(old) - {e.question.id for e in then.train}
    assert all(set(old[q].question.gold) & moved for q in left) and len(left) < len(differing)
    assert not [p for p in then.paraphrases if p.group in moved] and len(then.paraphrases) > 1000
    of = {s: [e for e in then.test if e.stratum == s] for s in (CHANGED, UNCHANGED)}
    assert len(of[CHANGED]) == len(of[UNCHANGED]) == 32 and not then.updates
    assert {e.answers for e in of[CHANGED]} == {e.updated for e in task.test if e.updated}


def test_a_fact_may_be_withdrawn_or_new(tmp_path: Path) -> None:
    """Abstaining is right of a withdrawn one from then on, and of a new one until then."""
    pages = {"p1": "The torque is 14 Nm.", "p2": "The speed is 9 rpm."}
    write_jsonl(tmp_path / "corpus.jsonl", [{"id": k, "text": v} for k, v in pages.items()])
    write_jsonl(tmp_path / "updates.jsonl", [{"id": "p1", "text": "The mass is 3 kg."}])
    rows: list[dict[str, object]] = [
        {"id": "q1", "question": "Which torque?", "answers": ["14 Nm"], "gold": ["p1"], "updated": []},
        {"id": "q2", "question": "Which mass?", "answers": [], "group": "p1", "updated": ["3 kg"]},
        {"id": "q3", "question": "Which speed?", "answers": ["9 rpm"], "gold": ["p2"]},
        {"id": "q4", "question": "Which price?", "answers": []},
    ]
    write_jsonl(tmp_path / "test.jsonl", rows)
    task = check(native.read_folder(tmp_path))
    native.write_folder(tmp_path / "again", task)
    assert native.read_folder(tmp_path / "again").test == task.test
    then = renewed(task)
    assert [(e.question.id, e.answers, e.stratum) for e in then.test] == [
        ("q1", (), CHANGED),
        ("q2", ("3 kg",), CHANGED),
        ("q3", ("9 rpm",), UNCHANGED),
    ]
    assert not any(e.changes for e in then.test)
    unmarked = [{k: v for k, v in row.items() if k != "updated"} for row in rows]
    write_jsonl(tmp_path / "test.jsonl", unmarked)
    assert native.read_folder(tmp_path).digest != task.digest


def test_choices_are_not_carried() -> None:
    pair = Example(Question("q", "?", gold=("p",), choices=("yes", "no")), ("no",))
    assert rewritten([pair], {"p": "There is no leak."}, {"p": "There is a leak."}) == []


def test_no_reference_stays_none() -> None:
    pair = Example(Question("q", "?", gold=("p",)), None)
    assert rewritten([pair], {"p": "a"}, {"p": "b"}) == [pair]
