"""Fictional worlds: a corpus whose truth is known and that no model can have read.

A world is an invented plant: machines, and the people, suppliers, halls, parts and procedures that their
pages refer to. Entity number `i` follows from the seed and `i` alone, so a world of any size is read in
any order, in constant memory. Names are drawn from disjoint parts of one syllable space: a word of the
plant or of the other evaluated world never appears in a world that models are trained on. The same seed
gives the same bytes on every machine: all chance is `random.Random(str)`.

Follows the idea of PhantomWiki (fictional universes against leakage) and of the synthetic biographies of
Allen-Zhu & Li, "Physics of Language Models 3.1" (several wordings of a fact).
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

from bench.core.vocabulary import Passage
from bench.world.language import (
    JARGON,
    KINDS,
    LISTED,
    OPENINGS,
    PROSE,
    STATEMENTS,
    TABLE_HEAD,
    TABLED,
    filled,
    noun,
    subject,
)

_ONSETS = ["b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z"]
_VOWELS = ["a", "e", "i", "o", "u"]
HEADS = tuple(o.upper() + v + c for o in _ONSETS for v in _VOWELS for c in ("", "l", "n"))[:180]
TAILS = tuple(
    o + v + c
    for o in ["b", "d", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z"]
    for v in ["a", "e", "i", "o"]
    for c in ("", "k", "s")
)
_SLOTS = ("machine",) * 7 + ("person", "supplier")  # of ten neighbours; the tenth is in turn one of the others
_OTHERS = ("hall", "part", "procedure")


Side = Literal["plant", "elsewhere", "training"]


def side(word: str) -> Side:
    """Which worlds may use a name: by hash, one word in eight the plant, one another evaluated world, six training."""
    bucket = hashlib.sha256(word.encode()).digest()[0] % 8
    if bucket == 0:
        return "plant"
    return "elsewhere" if bucket == 1 else "training"


@cache
def words(of: Side) -> tuple[str, ...]:
    """Every name of one side; the words of the plant's jargon name nothing."""
    return tuple(w for w in (head + tail for head in HEADS for tail in TAILS) if side(w) == of and w not in JARGON)


@cache
def words_at(of: Side) -> dict[str, int]:
    """Where each name stands among them."""
    return {w: n for n, w in enumerate(words(of))}


@dataclass(frozen=True)
class Entity:
    """One entity: the facts its page states, and the attributes that the corpus never mentions."""

    index: int
    kind: str
    name: str
    facts: dict[str, str]  # attribute -> value
    missing: tuple[str, ...]

    @property
    def subject(self) -> str:
        """The entity as a sentence names it, such as "the Balrin 45"."""
        return subject(self.kind, self.name)

    def number(self, attribute: str) -> int:
        """The number in a value; -1 for a name, a code and a date, which nothing is higher than."""
        declared = KINDS[self.kind].attributes[attribute]
        return int(re.sub(r"\D", "", self.facts[attribute])) if declared.counted else -1


@dataclass(frozen=True)
class World:
    """A world by its parameters; nothing of it is kept.

    `siblings` machines in a row share a name and differ in the model number: they are each other's hard
    distractors. `skew` in [0, 1) is how unevenly machines refer to the others: the share of references to the
    first fraction x of a kind is x^(1 - skew). `updated` is the share of pages of which version 2 changes one fact.
    """

    seed: str
    pages: int
    facts: int = 4
    wordings: int = 1  # of each fact in its page
    siblings: int = 2
    skew: float = 0.0
    updated: float = 0.15
    side: Side = "plant"

    def __post_init__(self) -> None:
        if not 30 <= self.pages <= 1_000_000:
            raise ValueError(f"a world has 30 to 1,000,000 pages, not {self.pages}")
        if not 2 <= self.facts <= 8 or not 1 <= self.wordings <= len(STATEMENTS):
            raise ValueError(f"a page has 2 to 8 facts in 1 to {len(STATEMENTS)} wordings each")
        if not (0 <= self.skew < 1 and 0 <= self.updated <= 1 and 1 <= self.siblings <= 40):
            raise ValueError("skew is in [0, 1), updated in [0, 1], siblings in 1 to 40")

    def rng(self, *key: object) -> random.Random:
        """A generator for one purpose: the same key gives the same numbers."""
        return random.Random("/".join(map(str, (self.seed, *key))))

    def _walk(self, kind: str) -> tuple[int, int]:
        """(step, start) of a kind's walk over the words."""
        step, start = self._shuffle
        return step, start + list(KINDS).index(kind) * (len(words(self.side)) // len(KINDS))

    @cached_property
    def _shuffle(self) -> tuple[int, int]:
        """(step, start) of the first walk: the step is coprime with the number of words, so that none comes twice."""
        rng, size = self.rng("words"), len(words(self.side))
        step = rng.randrange(size // 3, size)
        while math.gcd(step, size) > 1:
            step += 1
        return step, rng.randrange(size)

    def kind(self, index: int) -> str:
        """The kind of entity `index`."""
        slot = index % 10
        return _SLOTS[slot] if slot < 9 else _OTHERS[index // 10 % 3]

    def ordinal(self, index: int) -> int:
        """Number of entity `index` among its kind."""
        tens, slot = divmod(index, 10)
        if slot < 7:
            return tens * 7 + slot
        return tens if slot < 9 else tens // 3

    def index(self, kind: str, ordinal: int) -> int:
        """Entity number of the `ordinal`-th of a kind."""
        if kind == "machine":
            return ordinal // 7 * 10 + ordinal % 7
        if kind in _SLOTS:
            return ordinal * 10 + _SLOTS.index(kind)
        return ordinal * 30 + _OTHERS.index(kind) * 10 + 9

    def count(self, kind: str) -> int:
        """Entities of a kind."""
        low, high = 0, self.pages
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.index(kind, middle) < self.pages else (low, middle)
        return low

    def word(self, kind: str, number: int) -> str:
        """The `number`-th name of a kind; past the words there are, two of them joined."""
        known = words(self.side)
        step, offset = self._walk(kind)
        again, within = divmod(number, len(known))
        word = known[(offset + within * step) % len(known)]
        return word if not again else f"{word}-{known[(offset + again - 1) % len(known)]}"

    def name(self, index: int) -> str:
        """The name of entity `index`."""
        kind, ordinal = self.kind(index), self.ordinal(index)
        if kind != "machine":
            return self.word(kind, ordinal)  # `named` undoes this
        family, member = divmod(ordinal, self.siblings)
        first = self.rng("number", family).randrange(90)
        return f"{self.word(kind, family)} {10 + (first + member * 7) % 90}"  # 7 is coprime with 90

    def entity(self, index: int, *, version: int = 1) -> Entity:
        """Entity `index` as version 1 or 2 of the world has it. Raises IndexError outside the world."""
        if not 0 <= index < self.pages:
            raise IndexError(f"entity {index} of a world of {self.pages}")
        kind, rng = self.kind(index), self.rng(index)
        stated, missing = self._split(rng, kind)
        facts = {a: self._value(rng, kind, a) for a in stated}
        changed = self.change(index) if version == 2 else None
        if changed:
            facts[changed] = self._another(self.rng("v2", index, "value"), kind, changed, facts[changed])
        return Entity(index, kind, self.name(index), facts, tuple(sorted(missing)))

    def change(self, index: int) -> str | None:
        """The attribute of entity `index` that version 2 changes, if any."""
        rng = self.rng("v2", index)
        if rng.random() >= self.updated:
            return None
        kind = self.kind(index)
        stated, _ = self._split(self.rng(index), kind)
        able = [a for a in stated if self.count(KINDS[kind].attributes[a].link or "machine") > 1]
        return rng.choice(able) if able else None

    def _split(self, rng: random.Random, kind: str) -> tuple[list[str], list[str]]:
        """(the attributes that a page states, those that the corpus never mentions)."""
        known = list(KINDS[kind].attributes)
        chosen, count = rng.sample(known, len(known)), min(self.facts, len(known) - 1)
        return chosen[:count], chosen[count:]

    def _value(self, rng: random.Random, kind: str, attribute: str) -> str:
        declared = KINDS[kind].attributes[attribute]
        if declared.link:
            return self.name(self.target(rng, declared.link))
        if declared.form:
            return declared.drawn(rng)
        return rng.choice(words(self.side))

    def _another(self, rng: random.Random, kind: str, attribute: str, before: str) -> str:
        """A value that is not the one before; whatever it refers to is drawn evenly."""
        link = KINDS[kind].attributes[attribute].link
        old = self.named(link, before) if link else None
        if old is not None:
            size = self.count(link)
            return self.name(self.index(link, (self.ordinal(old) + 1 + rng.randrange(size - 1)) % size))
        while True:
            if (value := self._value(rng, kind, attribute)) != before:
                return value

    def named(self, kind: str, name: str) -> int | None:
        """The entity of a kind that has a name, if there is one. Machines share names, and are not found by them."""
        known = words(self.side)
        first, _, second = name.partition("-")
        step, offset = self._walk(kind)
        numbers = words_at(self.side)
        if first not in numbers or (second and second not in numbers):
            return None
        within = (numbers[first] - offset) * pow(step, -1, len(known)) % len(known)
        again = (numbers[second] - offset + 1) % len(known) if second else 0
        index = self.index(kind, again * len(known) + within)
        return index if index < self.pages else None

    def target(self, rng: random.Random, kind: str) -> int:
        """An entity of a kind to refer to; the first are the more popular under `skew`."""
        size = max(1, self.count(kind))
        ordinal: int = min(size - 1, int(size * rng.random() ** (1 / (1 - self.skew))))
        return self.index(kind, ordinal)

    def text(self, index: int, *, version: int = 1, edition: int = 0) -> str:
        """The page of an entity: an opening and the facts in prose, then those that a list or a table states.

        Every fact stands in each of its wordings, in any order. Other editions say the same in other words.
        """
        entity, rng = self.entity(index, version=version), self.rng("page", index)
        ways = itertools.cycle(rng.sample(STATEMENTS, len(STATEMENTS)))
        stated = [(a, next(ways)) for a in entity.facts for _ in range(self.wordings)]
        if edition:
            rng, first = self.rng("page", index, edition), stated
            stated = [
                (a, t) for a in entity.facts for t in self._reworded(index, a, [t for b, t in first if b == a], edition)
            ]
        rng.shuffle(stated)
        opening = filled(rng, OPENINGS, subject=entity.subject)
        lines = [
            filled(rng, [t], noun=noun(rng, entity.kind, a), subject=entity.subject, value=entity.facts[a])
            for a, t in stated
        ]
        prose, listed, tabled = (
            [line for line, (_, t) in zip(lines, stated, strict=True) if t in of] for of in (PROSE, LISTED, TABLED)
        )
        return "\n".join([" ".join([opening, *prose]), *listed, *(TABLE_HEAD if tabled else ()), *tabled])

    def _reworded(self, index: int, attribute: str, used: list[str], edition: int) -> list[str]:
        """Statements of this edition's own, as long as there are any that no other used."""
        rest = [t for t in STATEMENTS if t not in used] or list(STATEMENTS)
        self.rng("editions", index, attribute).shuffle(rest)
        return [rest[((edition - 1) * self.wordings + n) % len(rest)] for n in range(self.wordings)]

    def key(self, index: int, *, prefix: str = "p") -> str:
        """Id of a page."""
        return f"{prefix}{index:05d}"

    def passage(self, index: int, *, version: int = 1, prefix: str = "p") -> Passage:
        """The page of entity `index` as a passage."""
        key = self.key(index, prefix=prefix)
        return Passage(key, self.text(index, version=version), self.name(index), key)

    def passages(self, *, prefix: str = "p") -> Iterator[Passage]:
        """Every page in order, one at a time."""
        return (self.passage(i, prefix=prefix) for i in range(self.pages))

    def restated(self, times: int) -> Iterator[Passage]:
        """Every page `times` times again in other words, for training on passages."""
        for index in range(self.pages):
            for edition in range(1, times + 1):
                yield Passage(
                    f"{self.key(index)}-{edition}", self.text(index, edition=edition), self.name(index), self.key(index)
                )

    def updates(self) -> Iterator[Passage]:
        """The pages that version 2 changes, as it has them."""
        return (self.passage(i, version=2) for i in range(self.pages) if self.change(i))


def walk(rng: random.Random, size: int) -> Iterator[int]:
    """Every number below `size` once, in an order that takes no memory: steps coprime with the size."""
    step, start = rng.randrange(max(1, size // 3), size + 1), rng.randrange(size)
    while math.gcd(step, size) > 1:
        step += 1
    return ((start + n * step) % size for n in range(size))
