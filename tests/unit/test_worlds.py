"""Generated worlds: the same bytes for one seed, and no leak by construction."""

import itertools

import pytest

from bench import native, worlds
from tests.conftest import ROOT

MINI = {"pages": 48, "train": 60, "dev": 12, "test": 36}


@pytest.mark.parametrize(("name", "seed", "sizes"), [
    ("plant-mini", "mini-1", MINI),
    ("plant", "plant-1", {"pages": 400, "train": 600, "dev": 60, "test": 240}),
])  # fmt: skip
def test_committed_worlds_are_what_their_seed_gives(name: str, seed: str, sizes: dict[str, int]) -> None:
    w = worlds.generate(seed, **sizes)
    kept = native.read(ROOT / "datasets" / name)
    assert (kept.corpus, kept.train, kept.dev, kept.test, kept.updates) == (w.corpus, w.train, w.dev, w.test, w.updates)


def test_every_gold_passage_holds_its_answer_and_no_other_does_by_name() -> None:
    w = worlds.generate("x", **MINI)
    pages = {p.id: p for p in w.corpus}
    for e in (*w.train, *w.dev, *w.test):
        if e.answers:
            (gold,) = e.question.gold
            assert e.answers[0] in pages[gold].text and pages[gold].title in e.question.text
        else:
            assert e.question.gold == () and e.stratum == "unanswerable"


def test_training_never_asks_what_corpus_only_and_unanswerable_test() -> None:
    w = worlds.generate("x", **MINI)
    asked = {(e.group, e.answers) for e in w.train}
    for e in w.test:
        assert ((e.group, e.answers) in asked) == (e.stratum == "asked") or e.stratum == "unanswerable"
    assert not {e.question.text for e in w.train} & {e.question.text for e in w.test}


def test_names_of_evaluated_and_training_worlds_are_disjoint() -> None:
    evaluated, trained = (
        {m.name.split()[0] for m in itertools.islice(worlds.machines("s", evaluated=side), 300)}
        for side in (True, False)
    )
    assert evaluated and trained and not evaluated & trained


def test_updates_change_one_fact_of_their_page() -> None:
    w = worlds.generate("x", **MINI)
    pages = {p.id: p for p in w.corpus}
    assert w.updates
    for new in w.updates:
        old = pages[new.id]
        assert new.title == old.title and sorted(new.text) != sorted(old.text)


def test_too_small_a_world_says_so() -> None:
    with pytest.raises(ValueError, match="too few"):
        worlds.generate("x", pages=5, train=60, dev=0, test=30)
