"""Retrieval that got worse: slower, larger and less often right than `systems.rag`, by as much as it is told."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.core.store import Store
from bench.core.system import Family, System
from bench.core.vocabulary import Answer, Material, Question
from systems import rag

FAMILY: Family = "retrieval"
SUMMARY = "retrieval with losses"


class Config(rag.Config):
    slower: float = 0.0  # of the time of an answer
    more_bytes: int = 0  # held from the build on
    wrong: float = 0.0  # share of the questions that get an empty answer


@dataclass
class Lossy:
    system: Any
    config: Config
    held: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.system, name)

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        begin = time.perf_counter()
        found = self.system.answer(questions)
        until = time.perf_counter() + self.config.slower * (time.perf_counter() - begin)
        while time.perf_counter() < until:
            pass
        return [replace(a, text="") if self._loses(q) else a for q, a in zip(questions, found, strict=True)]

    def _loses(self, question: Question) -> bool:
        drawn = int(hashlib.sha256(question.id.encode()).hexdigest()[:8], 16) / 2**32
        return drawn < self.config.wrong


def build(config: Config, material: Material, store: Store) -> System:
    return Lossy(rag.build(config, material, store), config, np.ones(config.more_bytes, dtype=np.uint8))
