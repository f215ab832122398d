"""The Task: what a run is about, whatever format it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bench.core.digest import digest
from bench.core.vocabulary import Example, Material, Passage

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Task:
    """A corpus, its questions in three splits, and what a later version of the corpus changes."""

    name: str
    corpus: tuple[Passage, ...]
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]
    updates: tuple[Passage, ...] = ()
    paraphrases: tuple[Passage, ...] = ()
    strata: Mapping[str, str] = field(default_factory=dict)  # what each stratum asks, where the dataset says

    @property
    def material(self) -> Material:
        """What a system may be built from: everything but the test split."""
        return Material(self.corpus, self.train, self.dev, self.paraphrases)

    @property
    def updated(self) -> Material:
        """The material once the corpus holds the updates; the training pairs stay."""
        new = {p.id: p for p in self.updates}
        return replace(self.material, corpus=tuple(new.get(p.id, p) for p in self.corpus))

    @property
    def digest(self) -> str:
        """sha256 of the content."""
        return digest([self.corpus, self.train, self.dev, self.test, self.updates, self.paraphrases])
