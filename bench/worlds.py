"""Fictional worlds: a corpus whose truth is known and that no model can have read.

A world is an invented plant. Each page of its handbook describes one machine ("Resini 63") by a few
attributes. Names are drawn from two disjoint halves of one syllable space: `reserved` names appear only
in worlds that are evaluated, the others only in worlds that models are trained on. The same seed gives
the same bytes on every machine: the generator draws from `random.Random(str)` and nothing else.

Follows the idea of PhantomWiki (fictional universes against leakage) and of the synthetic biographies of
Allen-Zhu & Li, "Physics of Language Models 3.1" (wordings held apart between training and test).
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.types import Example, Passage, Question

UNKNOWN = "unknown"

_ONSETS = ["b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z"]
_VOWELS = ["a", "e", "i", "o", "u"]
HEADS = tuple(o.upper() + v + c for o in _ONSETS for v in _VOWELS for c in ("", "l", "n"))[:180]
TAILS = tuple(
    o + v + c
    for o in ["b", "d", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z"]
    for v in ["a", "e", "i", "o"]
    for c in ("", "k", "s")
)


@dataclass(frozen=True)
class Attribute:
    """A property of a machine: what it is called, and how its values are written."""

    nouns: tuple[str, ...]
    unit: str  # "" for a proper name


ATTRIBUTES: dict[str, Attribute] = {
    "torque": Attribute(("tightening torque", "bolt torque"), "Nm"),
    "pressure": Attribute(("working pressure", "line pressure"), "bar"),
    "interval": Attribute(("service interval", "maintenance interval"), "days"),
    "temperature": Attribute(("running temperature", "bearing temperature"), "degrees"),
    "speed": Attribute(("spindle speed", "drive speed"), "rpm"),
    "oil": Attribute(("gear oil", "lubricant"), ""),
    "supplier": Attribute(("supplier", "spare part vendor"), ""),
    "engineer": Attribute(("lead engineer", "responsible engineer"), ""),
    "hall": Attribute(("assembly hall", "production hall"), ""),
}

STATEMENTS = (
    "The {noun} of the {machine} is {value}.",
    "On the {machine} the {noun} is {value}.",
    "For the {machine} the handbook lists {value} as {noun}.",
    "{machine}, {noun}: {value}.",
    "The {machine} has {value} as its {noun}.",
)
TRAIN_WORDINGS = (
    "What is the {noun} of the {machine}?",
    "Name the {noun} of the {machine}.",
    "Which {noun} does the {machine} have?",
    "For the {machine}, what is the {noun}?",
)
TEST_WORDINGS = (
    "Tell me the {noun} of the {machine}.",
    "The {machine} has which {noun}?",
    "On the {machine}, which {noun} is listed?",
)
OPENINGS = ("Handbook page for the {machine}.", "This page covers the {machine}.", "Notes on the {machine}.")


@dataclass(frozen=True)
class Machine:
    """One entity: the facts its page states, and the attributes that the corpus never mentions."""

    name: str
    facts: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]


def reserved(name: str) -> bool:
    """Whether a name belongs to evaluated worlds. One name in eight does, by hash."""
    return hashlib.sha256(name.encode()).digest()[0] % 8 == 0


def name(rng: random.Random, *, evaluated: bool) -> str:
    while True:
        word = rng.choice(HEADS) + rng.choice(TAILS)
        if reserved(word) == evaluated:
            return word


def value(rng: random.Random, attribute: str, *, evaluated: bool) -> str:
    unit = ATTRIBUTES[attribute].unit
    return f"{rng.randint(10, 99)} {unit}" if unit else name(rng, evaluated=evaluated)


def machines(seed: str, *, evaluated: bool, facts: int = 4, siblings: float = 0.5) -> Iterator[Machine]:
    """Endless machines of one world; `siblings` is the share that reuses the previous name with another number."""
    rng = random.Random(seed)
    seen: set[str] = set()
    stem = name(rng, evaluated=evaluated)
    while True:
        if rng.random() >= siblings:
            stem = name(rng, evaluated=evaluated)
        label = f"{stem} {rng.randint(10, 99)}"
        if label in seen:
            stem = name(rng, evaluated=evaluated)
            continue
        seen.add(label)
        kinds = rng.sample(list(ATTRIBUTES), len(ATTRIBUTES))
        chosen = tuple((kind, value(rng, kind, evaluated=evaluated)) for kind in kinds[:facts])
        yield Machine(label, chosen, tuple(kinds[facts:]))


def statement(rng: random.Random, machine: str, attribute: str, fact: str) -> str:
    noun = rng.choice(ATTRIBUTES[attribute].nouns)
    text = rng.choice(STATEMENTS).format(noun=noun, machine=machine, value=fact)
    return text[0].upper() + text[1:]


def page(rng: random.Random, machine: Machine) -> str:
    """The handbook page: an opening, then one sentence a fact, in any order."""
    facts = rng.sample(machine.facts, len(machine.facts))
    sentences = [statement(rng, machine.name, *fact) for fact in facts]
    return " ".join([rng.choice(OPENINGS).format(machine=machine.name), *sentences])


def ask(rng: random.Random, machine: str, attribute: str, wordings: Sequence[str]) -> str:
    return rng.choice(wordings).format(noun=rng.choice(ATTRIBUTES[attribute].nouns), machine=machine)


@dataclass(frozen=True)
class World:
    """A generated dataset, ready to be written as a native folder."""

    corpus: tuple[Passage, ...]
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]
    updates: tuple[Passage, ...]


def generate(seed: str, *, pages: int, train: int, dev: int, test: int, evaluated: bool = True) -> World:
    """Generate a world with `pages` passages and splits of the given sizes.

    Test strata, in equal parts: `asked` (the fact was asked in training, in other words), `corpus_only`
    (it stands in the corpus and was never asked) and `unanswerable` (the corpus does not say).
    Training asks about the first two thirds of the machines; one training pair in eight is unanswerable.
    Raises ValueError when the world is too small for the splits asked for.
    """
    rng = random.Random(f"{seed}/text")
    plant = list(itertools.islice(machines(seed, evaluated=evaluated), pages))
    corpus = tuple(
        Passage(id=f"p{i:05d}", title=m.name, text=page(rng, m), group=f"p{i:05d}") for i, m in enumerate(plant)
    )
    cut = pages * 2 // 3
    known = [(i, attribute, fact) for i, m in enumerate(plant[:cut]) for attribute, fact in m.facts]
    fresh = [(i, attribute, fact) for i, m in enumerate(plant[cut:], cut) for attribute, fact in m.facts]
    gaps = [(i, attribute, "") for i, m in enumerate(plant) for attribute in m.missing]
    for pool in (known, fresh, gaps):
        rng.shuffle(pool)
    third, silent = test // 3, (train + dev) // 8
    asked = train + dev - silent
    if asked > len(known) or third > len(fresh) or silent + third > len(gaps) or third > train - train // 8:
        raise ValueError(
            f"{pages} pages are too few for {train} training and {test} test questions; ask for more pages"
        )

    def example(split: str, number: int, row: tuple[int, str, str], stratum: str) -> Example:
        index, attribute, fact = row
        wordings = TEST_WORDINGS if split == "test" else TRAIN_WORDINGS
        text = ask(rng, plant[index].name, attribute, wordings)
        gold = (corpus[index].id,) if fact else ()
        return Example(
            Question(id=f"{split}-{number:05d}", text=text, gold=gold),
            answers=(fact,) if fact else (),
            stratum=stratum,
            group=corpus[index].group,
            split=split,
        )

    pairs = [(row, "asked") for row in known[:asked]] + [(row, "unanswerable") for row in gaps[:silent]]
    rng.shuffle(pairs)
    taught = [row for row, stratum in pairs[:train] if stratum == "asked"]
    rows = [(row, "asked") for row in rng.sample(taught, third)]
    rows += [(row, "corpus_only") for row in fresh[: test - 2 * third]]
    rows += [(row, "unanswerable") for row in gaps[silent : silent + third]]
    rng.shuffle(rows)
    changed = rng.sample(range(pages), max(1, pages // 10))
    updates = tuple(_update(rng, plant[i], corpus[i], evaluated=evaluated) for i in sorted(changed))
    return World(
        corpus,
        tuple(example("train", n, row, stratum) for n, (row, stratum) in enumerate(pairs[:train])),
        tuple(example("dev", n, row, stratum) for n, (row, stratum) in enumerate(pairs[train:])),
        tuple(example("test", n, row, stratum) for n, (row, stratum) in enumerate(rows)),
        updates,
    )


def _update(rng: random.Random, machine: Machine, old: Passage, *, evaluated: bool) -> Passage:
    """The same page after one of its facts changed."""
    turned = rng.randrange(len(machine.facts))
    attribute, before = machine.facts[turned]
    after = before
    while after == before:
        after = value(rng, attribute, evaluated=evaluated)
    facts = (*machine.facts[:turned], (attribute, after), *machine.facts[turned + 1 :])
    return Passage(old.id, page(rng, Machine(machine.name, facts, machine.missing)), old.title, old.group)
