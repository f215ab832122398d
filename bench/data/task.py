"""The Task: what a run is about, whatever format it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

from bench.core.digest import digest_of_parts
from bench.core.lazy import Mapped
from bench.core.vocabulary import JSON, Example, Material, Passage

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Task:
    """A corpus, its questions in three splits, and what a later version of the corpus changes."""

    name: str
    corpus: Sequence[Passage]
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]
    updates: tuple[Passage, ...] = ()
    paraphrases: tuple[Passage, ...] = ()
    strata: Mapping[str, str] = field(default_factory=dict)  # what each stratum asks, where the dataset says
    language: str = "en"
    notes: tuple[str, ...] = ()  # what was repaired or left out when it was read

    @property
    def material(self) -> Material:
        """What a system may be built from: everything but the test split."""
        return Material(self.corpus, self.train, self.dev, self.paraphrases)

    @property
    def updated(self) -> Material:
        """The material once the corpus holds the updates; the training pairs stay."""
        new = {p.id: p for p in self.updates}
        return replace(self.material, corpus=Mapped(self.corpus, lambda p: new.get(p.id, p)))

    @cached_property
    def words(self) -> int:
        """Of all its passages."""
        return sum(len(p.text.split()) for p in self.corpus)

    @property
    def digest(self) -> str:
        """sha256 of the content."""
        splits = (map(_told, split) for split in (self.train, self.dev, self.test))
        other = (self.language,) if self.language != "en" else ()
        return digest_of_parts([self.corpus, *splits, self.updates, self.paraphrases, *other])


def _told(example: Example) -> JSON:
    """What a digest is of: what an example does not say is left out, as if there were no such field."""
    told = {f.name: getattr(example, f.name) for f in _FIELDS}
    return {key: value for key, value in told.items() if value or key not in ("spans", "grades", "withdrawn")}


_FIELDS = fields(Example)
