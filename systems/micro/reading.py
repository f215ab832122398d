"""Streams of reading exercises from worlds that are never evaluated: what the micro models learn from."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from bench import worlds

WORDINGS = worlds.TRAIN_WORDINGS + worlds.TEST_WORDINGS


@dataclass(frozen=True)
class Exercise:
    """Passages and the questions asked about them, in turn. Every answer stands in a passage, or is "unknown"."""

    passages: tuple[str, ...]
    turns: tuple[tuple[str, str], ...]


def exercise(seed: str, *, passages: int, turns: int) -> Exercise:
    """One exercise: half of its machines share a name with another one (hard distractors)."""
    rng = random.Random(f"{seed}/text")
    plant = list(itertools.islice(worlds.machines(seed, evaluated=False), max(1, passages)))
    asked = []
    for _ in range(turns):
        machine = rng.choice(plant)
        if not passages or rng.random() < 0.15:
            asked.append((worlds.ask(rng, machine.name, rng.choice(machine.missing), WORDINGS), worlds.UNKNOWN))
        else:
            attribute, fact = rng.choice(machine.facts)
            asked.append((worlds.ask(rng, machine.name, attribute, WORDINGS), fact))
    rng.shuffle(plant)
    return Exercise(tuple(worlds.page(rng, m) for m in plant[:passages]), tuple(asked))


def pages(seed: str) -> Iterator[tuple[str, str]]:
    """Endless (question, page that answers it) pairs, one a machine."""
    rng = random.Random(f"{seed}/text")
    for machine in worlds.machines(seed, evaluated=False):
        attribute, _ = rng.choice(machine.facts)
        yield worlds.ask(rng, machine.name, attribute, WORDINGS), worlds.page(rng, machine)
