"""Systems whose truth is known: right, right by chance, silent, taught the test, shown the gold passage, or stale."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.core.store import Store
from bench.core.system import System, SystemConfig
from bench.core.vocabulary import Answer, Hit, Material, Question


class Config(SystemConfig):
    does: Literal["right", "chance", "silent", "taught", "shown", "stale"]
    share: float = 1.0  # of the questions that `chance` gets right
    salt: str = ""  # which ones
    shows: bool = False  # the passage that it read
    moody: bool = False  # says something else when it is asked alone

    @property
    def privileged(self) -> bool:
        return self.does == "shown"


@dataclass
class Known:
    config: Config
    material: Material

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        if self.config.moody and len(questions) == 1:
            return [Answer("nonsense")]
        return [self._answer(q) for q in questions]

    def _answer(self, q: Question) -> Answer:
        item = re.findall(r"item \d+", q.text)[0]
        page = next(p for p in self.material.corpus if f"{item} " in p.text)
        truth = page.text.split(" is ")[1].rstrip(".")
        said = {
            "right": truth,
            "stale": truth,
            "silent": "unknown",
            "chance": truth if random.Random(f"{self.config.salt}/{item}").random() < self.config.share else "nonsense",
            "taught": next(
                (e.answers[0] for e in self.material.train if e.answers and e.question.text == q.text), "unknown"
            ),
            "shown": truth if q.gold else "nonsense",
        }[self.config.does]
        return Answer(said, (Hit(page.id, page.id, page.text, 1.0),) if self.config.shows else None)

    def refresh(self, material: Material) -> None:
        if self.config.does != "stale":
            self.material = material

    def index_recall(self, questions: Sequence[Question]) -> list[float] | None:
        return None


def build(config: Config, material: Material, store: Store) -> System:
    return Known(config, material)
