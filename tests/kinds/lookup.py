"""A system that is right by construction: it parses the pages of a fictional world. `stale` ones ignore updates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.core.store import Store
from bench.core.system import System, SystemConfig
from bench.core.vocabulary import Answer, Material, Passage, Question
from bench.world.language import KINDS, order
from tests.pages import asked_about, facts_of


class Config(SystemConfig):
    stale: bool = False
    styled: bool = False  # writes work orders as the house does


def place(question: str, attribute: str) -> int:
    """Where a question names an attribute of a machine."""
    return max(question.lower().find(n) for n in KINDS["machine"].attributes[attribute].nouns)


@dataclass
class Lookup:
    config: Config
    corpus: tuple[Passage, ...]

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        return [Answer(self._say(q.text)) for q in questions]

    def _say(self, question: str) -> str:
        pages = [
            p for p in self.corpus if f"{p.title} " in f"{question.rstrip('?.')} ".replace(",", " ").replace(":", " ")
        ]
        if not pages:
            return "unknown"
        found = [facts_of(pages[0])[a] for a in asked_about(pages[0], question) if a in facts_of(pages[0])]
        if self.config.styled and "work order" in question.lower():
            found = sorted(found, key=lambda v: [place(question, a) for a, w in facts_of(pages[0]).items() if w == v])
            return order(pages[0].title, *found)
        return ", ".join(found) or "unknown"

    def refresh(self, material: Material) -> None:
        if not self.config.stale:
            self.corpus = material.corpus

    def index_recall(self, questions: Sequence[Question]) -> list[float] | None:
        return None


def build(config: Config, material: Material, store: Store) -> System:
    return Lookup(config, material.corpus)
