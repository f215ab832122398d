"""Which pages of a training world an exercise shows: some that are easily mixed up, or that a search finds for one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.world.language import KINDS, READING, ask, filled, noun
from bench.world.world import Entity, World

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PAGES = 300  # of each training world


def every(world: World, kind: str) -> Iterator[Entity]:
    """The entities of a kind."""
    return (world.entity(world.index(kind, n)) for n in range(world.count(kind)))


def neighbours(rng: random.Random, world: World, count: int) -> list[int]:
    """Entities that are easily mixed up, or that belong together.

    They are siblings by name, what a page refers to, and strangers.
    """
    found: dict[int, None] = {}
    while len(found) < count:
        anchor = world.index("machine", rng.randrange(world.count("machine")))
        drawn = [anchor]
        if rng.random() < 0.6:
            drawn.append(world.index("machine", world.ordinal(anchor) ^ 1))
        drawn += referred(rng, world, anchor)
        if rng.random() < 0.2:
            drawn.append(rng.randrange(world.pages))
        found.update(dict.fromkeys(i for i in drawn if i < world.pages))
    return list(found)[:count]


def referred(rng: random.Random, world: World, index: int) -> list[int]:
    """What a page refers to, most of it."""
    kind = KINDS[world.kind(index)]
    facts = [(kind.attributes[a].link, value) for a, value in world.entity(index).facts.items()]
    ends = [world.named(link, value) for link, value in facts if link]
    return [i for i in ends if i is not None and rng.random() < 0.6]


def retrieved(rng: random.Random, world: World, count: int) -> list[int]:
    """Entities whose pages a search finds for a question on some of them, and what those refer to.

    The question is on one entity, on two that can be compared, or on all machines that have a value.
    """
    found: dict[int, None] = {}
    while len(found) < count:
        anchors, question = rng.choices((on_one, on_two, on_all), (70, 18, 12))[0](rng, world)
        others = [i for i in nearest(world, question, 8) if i not in anchors]
        more = referred(rng, world, anchors[0]) if len(anchors) == 1 else []
        found.update(dict.fromkeys([*anchors, *more, *others[: rng.choice((1, 2, 3, 3, 7))]]))
    return list(found)[:count]


def on_one(rng: random.Random, world: World) -> tuple[list[int], str]:
    """An entity, and a question on it."""
    entity = world.entity(rng.randrange(PAGES))
    attribute = rng.choice([*entity.facts, *entity.missing])
    return [entity.index], ask(rng, READING.single, entity.kind, attribute, entity.subject)


def on_two(rng: random.Random, world: World) -> tuple[list[int], str]:
    """Two machines, and the question which of them is higher."""
    attribute, entities = rng.choice([(a, e) for a, e in counted(world).items() if len(e) > 1])
    first, second = (world.entity(i) for i in rng.sample(entities, 2))
    what = noun(rng, "machine", attribute)
    asked = filled(rng, READING.compare, noun=what, subject=first.subject, rival=second.subject)
    return [first.index, second.index], asked


def on_all(rng: random.Random, world: World) -> tuple[list[int], str]:
    """Two or three machines that have a value, and the question which machines have it."""
    shared = [(a, v, e) for (a, v), e in holders(world).items() if 2 <= len(e) <= 3]
    attribute, value, entities = rng.choice(shared)
    return entities, filled(rng, READING.collect, noun=noun(rng, "machine", attribute), value=value)


@lru_cache(2)
def counted(world: World) -> dict[str, list[int]]:
    """Attribute that one machine can have more of than another -> the machines that have it."""
    found: dict[str, list[int]] = {}
    for entity in every(world, "machine"):
        for attribute in entity.facts:
            if KINDS["machine"].attributes[attribute].counted:
                found.setdefault(attribute, []).append(entity.index)
    return found


@lru_cache(2)
def holders(world: World) -> dict[tuple[str, str], list[int]]:
    """(attribute, value) -> the machines that have it."""
    found: dict[tuple[str, str], list[int]] = {}
    for entity in every(world, "machine"):
        for fact in entity.facts.items():
            found.setdefault(fact, []).append(entity.index)
    return found


def nearest(world: World, question: str, k: int) -> list[int]:
    """The `k` entities whose pages the micro embedder puts first for a question."""
    scores = vectors(world) @ encoder().encode(question, show_progress_bar=False)
    return [int(i) for i in (-scores).argsort()[:k]]


@lru_cache(2)
def vectors(world: World) -> np.ndarray:
    """Unit vectors of a world's pages, (PAGES, dimensions)."""
    return np.asarray(encoder().encode([world.text(i) for i in range(PAGES)], show_progress_bar=False))


@lru_cache(1)
def encoder() -> SentenceTransformer:
    """The micro embedder, with which the plant is searched too."""
    from sentence_transformers import SentenceTransformer  # seconds of import

    return SentenceTransformer(str(Path(__file__).parent / "embedder"), device="cpu", local_files_only=True)
