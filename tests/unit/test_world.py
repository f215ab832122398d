"""Generated worlds: the same bytes for one seed, true gold passages, true silence, and no leak by construction."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import tracemalloc
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bench.core.digest import file_digest
from bench.core.vocabulary import Example, Passage
from bench.data.formats import native
from bench.metrics import text
from bench.world import world
from bench.world.dataset import write
from bench.world.language import KINDS, TEST, TRAIN
from bench.world.questions import STRATA, Quiz
from bench.world.world import World, walk
from tests.conftest import ROOT
from tests.pages import asked_about, facts_of, kind_of

QUIZZES = [
    Quiz(World("plant-1", 360), 600, 60, 400, restated=4),
    Quiz(World("mini-1", 100), 60, 12, 40, paraphrases=2, restated=1),
    Quiz(
        World("other", 700, facts=6, wordings=3, siblings=5, skew=0.5, updated=0.2), 500, 40, 300, 4, unanswerable=0.3
    ),
    Quiz(World("bare", 600, facts=2, siblings=1, updated=0.3), 200, 0, 60, 1, unanswerable=0.0),
]


@pytest.fixture(scope="module", params=QUIZZES, ids=lambda q: q.world.seed)
def quiz(request: pytest.FixtureRequest) -> Quiz:
    return request.param


examples = cache(Quiz.examples)


def pages(quiz: Quiz) -> dict[str, Passage]:
    return {p.id: p for p in quiz.corpus()}


def sizes(quiz: Quiz) -> tuple[int, int, int]:
    train, dev, test = examples(quiz)
    return len(train), len(dev), len(test)


@pytest.mark.parametrize(("name", "quiz"), [("plant", QUIZZES[0]), ("plant-mini", QUIZZES[1])])
def test_committed_datasets_are_what_their_seed_gives(name: str, quiz: Quiz, tmp_path: Path) -> None:
    about = write(tmp_path / name, quiz)
    kept = ROOT / "datasets" / name
    assert about == json.loads((kept / "dataset.yaml").read_text())
    assert {f: file_digest(kept / f) for f in about["sha256"]} == about["sha256"]
    assert {p.name for p in kept.glob("*.jsonl")} - {"rehearsal.jsonl"} == set(about["sha256"])
    assert about["generated_by"] in (kept / "README.md").read_text().replace("\n", " ")


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    code = "from bench.world.world import World; print(World('x', 50).text(7))"
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={"PYTHONHASHSEED": str(n), "PYTHONPATH": str(ROOT)},
        ).stdout
        for n in (1, 2)
    ]
    assert said[0] == said[1] == World("x", 50).text(7) + "\n" != World("y", 50).text(7) + "\n"


def test_golden_digest_of_a_large_world() -> None:
    import hashlib

    hashed = hashlib.sha256()
    for p in itertools.islice(World("golden", 1_000_000, skew=0.3).passages(), 0, 2000):
        hashed.update(f"{p.id}\t{p.title}\t{p.text}\n".encode())
    assert hashed.hexdigest() == "918dee33180325059e203f50a09431302d304557a4677227ee03bfb691b82e24"


def test_splits_have_the_sizes_and_strata_asked_for(quiz: Quiz) -> None:
    train, dev, test = examples(quiz)
    assert (len(train), len(dev), len(test)) == (quiz.train, quiz.dev, quiz.test)
    counts = {s: sum(e.stratum == s for e in test) for s in STRATA}
    assert counts == quiz.sizes() and sum(counts.values()) == quiz.test
    assert abs(counts["unanswerable"] - quiz.unanswerable * quiz.test) <= 1
    assert {e.stratum for e in train} <= {"asked", "unanswerable", "house_style"}
    ids = [e.question.id for e in (*train, *dev, *test)]
    assert len(ids) == len(set(ids))


def test_every_gold_passage_supports_its_answer(quiz: Quiz) -> None:
    known = pages(quiz)
    for split in examples(quiz):
        for e in split:
            shown = [known[g] for g in e.question.gold]
            assert all(facts_of(p) for p in shown)
            if e.stratum in ("asked", "corpus_only", "updated", "general"):
                assert stated(shown[0], e) and shown[0].title in e.question.text
            elif e.stratum == "two_hop":
                near, far = shown
                assert near.title in e.question.text
                assert f"{KINDS[kind_of(far)].lead} {far.title}" not in e.question.text
                assert far.title in facts_of(near).values() and stated(far, e)
            elif e.stratum == "comparison":
                first, second = (number_asked(p, e) for p in shown)
                assert e.answers == (shown[0 if first > second else 1].title,) and first != second
            elif e.stratum == "list":
                (attribute,) = asked_about(shown[0], e.question.text)
                value = facts_of(shown[0])[attribute]
                assert e.question.text.endswith(f" {value}.")
                having = {p.title for p in known.values() if facts_of(p).get(attribute) == value}
                assert all(set(a.split(", ")) == having for a in e.answers) and 2 <= len(having) <= 3
            elif e.stratum == "house_style":
                assert text.matches(e.answers[0], e.form) and text.holds(e.answers[0], e.facts) == 1
                assert set(e.facts) <= set(facts_of(shown[0]).values())
            else:
                assert (e.stratum, e.answers) == ("unanswerable", ())


def test_what_is_unanswerable_stands_nowhere(quiz: Quiz) -> None:
    known = pages(quiz)
    rows = [e for split in examples(quiz) for e in split if e.stratum == "unanswerable"]
    assert bool(rows) == bool(quiz.unanswerable)
    for e in rows:
        assert e.answers == () and e.question.gold == ()
        (page,) = [p for p in known.values() if p.id == e.group]
        assert page.title in e.question.text
        nouns = {n for a in asked_about(page, e.question.text) for n in KINDS[kind_of(page)].attributes[a].nouns}
        subject = f"{KINDS[kind_of(page)].lead} {page.title}".lower()
        others = [s for p in known.values() for s in re.split("[.\n]", p.text) if subject in s.lower()]
        assert nouns and not [s for s in others if any(n in s for n in nouns)]


def test_no_test_fact_is_in_training(quiz: Quiz) -> None:
    train, dev, test = examples(quiz)
    taught = {(e.group, e.answers) for e in train if e.answers}
    for e in test:
        known = (e.group, e.answers) in taught
        assert known == (e.stratum in ("asked", "updated")), e
    passages_taught = {e.group for e in (*train, *dev)}
    elsewhere = {g for e in test if e.stratum not in ("asked", "updated") for g in (e.group, *e.question.gold)}
    assert not passages_taught & elsewhere
    assert not {e.group for e in dev} & {e.group for e in (*train, *test)}  # dev has entities of its own


def test_training_and_test_are_worded_apart(quiz: Quiz) -> None:
    train, dev, test = examples(quiz)

    def shapes(templates: tuple[str, ...]) -> list[re.Pattern[str]]:
        """Each template as a pattern, its first letter as a sentence has it."""
        loose = [re.sub(r"\\\{\w+\\\}", ".+", re.escape(t)) for t in templates]
        return [re.compile(f"(?i){t}") for t in loose]

    own = {"train": [w for f in vars(TRAIN).values() for w in f], "test": [w for f in vars(TEST).values() for w in f]}
    assert not set(own["train"]) & set(own["test"])
    for rows, side in ((train, "train"), (dev, "train"), (test, "test")):
        patterns = shapes(tuple(own[side]))
        assert all(any(p.fullmatch(e.question.text) for p in patterns) for e in rows)
    assert not {e.question.text for e in (*train, *dev)} & {e.question.text for e in test}


def test_each_taught_fact_is_asked_in_as_many_wordings_as_paraphrases(quiz: Quiz) -> None:
    asked: dict[tuple[str, object], set[str]] = {}
    for e in examples(quiz)[0]:
        if e.stratum == "asked":
            asked.setdefault((e.group, e.answers), set()).add(e.question.text)
    counts = sorted(map(len, asked.values()))
    assert counts[1:] == [quiz.paraphrases] * (len(counts) - 1)  # the last fact may be cut short


def test_version_2_differs_exactly_in_the_updates(quiz: Quiz) -> None:
    w, known = quiz.world, pages(quiz)
    new = {p.id: p for p in w.updates()}
    assert new and {p.id for p in w.updates()} == {w.key(i) for i in range(w.pages) if w.change(i)}
    for i in range(w.pages):
        before, after = facts_of(known[w.key(i)]), facts_of(w.passage(i, version=2))
        moved = [a for a in before if before[a] != after[a]]
        assert len(moved) == (w.key(i) in new) and before.keys() == after.keys()
    for e in examples(quiz)[2]:
        assert bool(e.updated) == (e.stratum == "updated")
        if e.updated:
            assert e.updated[0] in facts_of(new[e.group]).values() and e.updated != e.answers
        else:
            assert not {e.group, *e.question.gold} & new.keys()


def test_worlds_of_different_sides_share_no_name() -> None:
    plant, elsewhere, training = (set(world.words(side)) for side in ("plant", "elsewhere", "training"))
    assert not plant & elsewhere and not (plant | elsewhere) & training
    assert min(len(plant), len(elsewhere)) > 3000 and len(training) > 20000


@pytest.mark.parametrize("size", [30, 137, 1_000_000])
def test_names_are_unique_in_their_kind_and_found_again(size: int) -> None:
    w = World("names", size, siblings=3)
    assert sum(w.count(k) for k in KINDS) == size
    rng = w.rng("draw")
    drawn = range(size) if size < 1000 else rng.sample(range(size), 20000)
    names = [(w.kind(i), w.name(i)) for i in drawn]
    assert len(set(names)) == len(names)
    for i in itertools.islice(drawn, 500):
        assert w.index(w.kind(i), w.ordinal(i)) == i
        assert w.kind(i) == "machine" or w.named(w.kind(i), w.name(i)) == i
    assert w.named("person", "Nobody") is None


def test_siblings_and_skew_do_what_they_say() -> None:
    alike = [World("s", 100, siblings=n) for n in (1, 4)]
    stems = [len({w.name(w.index("machine", n)).split()[0] for n in range(w.count("machine"))}) for w in alike]
    assert stems == [70, 18]
    even, uneven = World("s", 1000), World("s", 1000, skew=0.8)

    def first_tenth(w: World) -> float:
        rng = w.rng("t")
        return sum(w.ordinal(w.target(rng, "person")) < 10 for _ in range(4000)) / 4000

    assert first_tenth(even) == pytest.approx(0.1, abs=0.02)
    assert first_tenth(uneven) == pytest.approx(0.1**0.2, abs=0.03)


def test_walk_meets_every_number_once() -> None:
    import random

    for size in (1, 2, 7, 30, 400):
        for seed in range(5):
            assert sorted(walk(random.Random(seed), size)) == list(range(size))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pages": 29}, "30 to 1,000,000"),
        ({"facts": 1}, "2 to 8 facts"),
        ({"wordings": 24}, "wordings"),
        ({"siblings": 0}, "siblings"),
        ({"skew": 1.0}, "skew"),
        ({"updated": 1.5}, "updated"),
    ],
)
def test_impossible_worlds_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        World(**{"seed": "x", "pages": 50, **change})


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((600, 0, 400, 3), "hold .* ask for more pages"),
        ((10, 0, 40, 3), "fewer paraphrases"),
        ((60, 0, 40, 9), "1 to 8 training wordings"),
        ((0, 0, 40, 3), "train and test are at least 1"),
        ((60, 0, -5, 3), "train and test are at least 1"),
    ],
)
def test_too_small_a_world_says_so_and_writes_nothing(sizes: tuple[int, ...], words: str, tmp_path: Path) -> None:
    train, dev, test, paraphrases = sizes
    with pytest.raises(ValueError, match=words):
        write(tmp_path / "w", Quiz(World("x", 200), train, dev, test, paraphrases))
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("change", [{"facts": 2}, {"facts": 8}, {"skew": 0.9}, {"updated": 0.0}, {"siblings": 9}])
def test_every_kind_of_world_can_be_asked_about(change: dict[str, Any]) -> None:
    quiz = Quiz(World("kinds", 400, **change), 600, 60, 400)
    assert sizes(quiz) == (600, 60, 400) and (quiz.sizes()["updated"] == 0) == (change.get("updated") == 0.0)


def test_defaults_suit_any_seed() -> None:
    assert {sizes(Quiz(World(f"seed {n}", 360), 600, 60, 400)) for n in range(6)} == {(600, 60, 400)}


@pytest.mark.parametrize("size", [30, 49, 60])
def test_a_small_world_has_a_second_version(size: int) -> None:
    for n in range(20):
        w = World(f"small {n}", size, updated=0.9)
        assert all(facts_of(p) != facts_of(w.passage(int(p.id[1:]))) for p in w.updates())


def test_restated_pages_say_the_same_in_other_sentences() -> None:
    w = World("again", 60)
    said = {(p.group, p.id): p for p in w.restated(4)}
    assert len(said) == 240
    for page in w.passages():
        editions = [p for (group, _), p in said.items() if group == page.id]
        assert all(facts_of(p) == facts_of(page) for p in editions)
        lines = [re.split(r"\. |\n", p.text)[1:] for p in (page, *editions)]
        about = [n for x in KINDS[kind_of(page)].attributes.values() for n in x.nouns]
        sentences = [{s for s in of if any(n in s for n in about) and page.title in s} for of in lines]
        assert sum(map(len, sentences)) == len(set().union(*sentences))  # no sentence twice


def test_a_world_written_again_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    write(tmp_path / "w", QUIZZES[1])
    about = write(tmp_path / "w", Quiz(World("second", 100), 60, 0, 40, paraphrases=2))
    assert (
        {p.name for p in (tmp_path / "w").glob("*.jsonl")}
        == set(about["sha256"])
        == {"corpus.jsonl", "train.jsonl", "test.jsonl", "updates.jsonl"}
    )


def peak_of(pages: int, folder: Path) -> int:
    quiz = Quiz(World("memory", pages, skew=0.8), 60, 10, 60, 2)
    tracemalloc.start()
    try:
        write(folder / str(pages), quiz)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.heavy
def test_memory_does_not_grow_with_the_world(tmp_path: Path) -> None:
    peak_of(200, tmp_path)  # what is made once
    small, large = (peak_of(n, tmp_path) for n in (300, 3000))
    assert large < small * 1.5 + 200_000  # ten times the pages, whose text alone is 0.9 MB


@pytest.mark.slow
def test_memory_is_constant_at_a_hundred_thousand_passages(tmp_path: Path) -> None:
    """The corpus on disk is 30 MB; the generator holds less than 3 MB of it."""
    assert peak_of(100_000, tmp_path) < 3_000_000
    assert sum(1 for _ in native.read_folder(tmp_path / "100000").corpus) == 110_000


def stated(page: Passage, e: Example) -> bool:
    return (
        any(facts_of(page).get(a) == e.answers[0] for a in asked_about(page, e.question.text)) if e.answers else False
    )


def number_asked(page: Passage, e: Example) -> int:
    (value,) = {facts_of(page)[a] for a in asked_about(page, e.question.text) if a in facts_of(page)}
    return int(value.split()[0])
