"""Scenarios: what a comparison asks beyond the one table. Each is a block of the spec, and makes further cells.

What they make are ordinary systems, derived from those of the spec, that answer a sample of the test questions.
House style, provenance and what an update does to each system need no further cells: they are read from the answers
that every system gives anyway.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from bench.core.blocks import Block, Position, PositiveInt, Retrieval
from bench.core.nested import put
from bench.core.system import Sample, SystemConfig

# what a search of each index can be given more of; one of the user's own may have either
EFFORTS = {
    "faiss_flat": None,
    "faiss_hnsw": "ef_search",
    "faiss_ivf": "nprobe",
    "hnswlib": "ef_search",
    "lancedb": "nprobe",
    "pgvector": "ef_search",
    "qdrant": "ef_search",
    "usearch": "ef_search",
}
Count = Annotated[int, Field(ge=0)]


class Freshness(Block):
    """What training anew brings after an update.

    Training pairs whose answer stood in a changed passage are rewritten to follow it.
    """

    retrain: tuple[str, ...] = Field(min_length=1, description="Tuned systems of this spec.")


class Data(Block):
    """How much data: the same tuning on fewer training questions."""

    system: str = Field(description="A tuned system of this spec.")
    sizes: tuple[PositiveInt, ...] = Field(min_length=1, description="Numbers of training questions.")


class Forgetting(Block):
    """What tuning takes from reading: the tuned models read what an oracle shows, beside the untuned one."""

    reader: str = Field(description="An oracle of this spec.")
    adapters: tuple[str, ...] = Field(min_length=1, description="Tuned systems of this spec.")


class Robustness(Block):
    """How passages are used: distractors, the gold passage's place, and no gold passage at all."""

    reader: str = Field(description="An oracle of this spec.")
    adapters: tuple[str, ...] = Field((), description="Tuned systems of this spec, to read the same.")
    noise: tuple[Count, ...] = Field((0, 1, 3, 7), description="Numbers of distractors.")
    places: tuple[Position, ...] = ("first", "middle", "last")
    absent: bool = Field(True, description="Whether to show distractors alone, where the right answer is to abstain.")


class Sweep(Block):
    """Recall to accuracy: search parameters of an approximate index."""

    system: str = Field(description="A retrieval system of this spec, on HNSW or IVF.")
    ef_search: tuple[PositiveInt, ...] = ()
    nprobe: tuple[PositiveInt, ...] = ()


class Churn(Block):
    """A vector index by itself: its speed at a recall, filtered too, and its recall after many updates in place."""

    system: str = Field(description="A retrieval system of this spec.")
    rounds: PositiveInt = 10
    share: float = Field(0.2, gt=0, le=1, description="Share of the vectors that each round replaces.")


class Scenarios(Block):
    """The scenarios of a spec; unset ones are not run."""

    sample: Sample = Sample()
    freshness: Freshness | None = None
    data: Data | None = None
    forgetting: Forgetting | None = None
    robustness: Robustness | None = None
    recall: tuple[Sweep, ...] = ()
    churn: Churn | None = None


class Scenario(Block):
    """Why a system is there that the spec does not name: what was varied, of which system."""

    name: str
    of: str
    what: str
    value: Any

    @property
    def is_timed(self) -> bool:
        """Whether its table shows a latency."""
        return self.name == "recall"


@dataclass(frozen=True)
class Derived:
    """A system that a scenario adds."""

    scenario: Scenario
    entry: dict[str, Any]


def _derived(name: str, of: str, what: str, value: Any, entry: dict[str, Any]) -> Derived:
    return Derived(Scenario(name=name, of=of, what=what, value=value), entry)


class Unknown(ValueError):
    """A scenario names a system that the spec does not have; `key` is the path to it in the spec."""

    def __init__(self, key: tuple[str | int, ...], name: str):
        super().__init__(name)
        self.key, self.name = key, name


def derived(scenarios: Scenarios, entries: Mapping[str, Mapping[str, Any]]) -> list[Derived]:
    """The systems that the scenarios add to `entries` (name -> entry). Raises Unknown."""
    named: Sequence[tuple[tuple[str | int, ...], str]] = list(_names(scenarios))
    for key, name in named:
        if name not in entries:
            raise Unknown(("scenarios", *key), name)
    found = [*_freshness(scenarios, entries), *_data(scenarios, entries), *_forgetting(scenarios)]
    return [*found, *_robustness(scenarios, entries), *_recall(scenarios, entries), *_churn(scenarios, entries)]


def _names(scenarios: Scenarios) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for key, block in (("data", scenarios.data), ("churn", scenarios.churn)):
        if block:
            yield (key, "system"), block.system
    for number, name in enumerate(scenarios.freshness.retrain if scenarios.freshness else ()):
        yield ("freshness", "retrain", number), name
    for number, sweep in enumerate(scenarios.recall):
        yield ("recall", number, "system"), sweep.system
    readers: tuple[tuple[str, Forgetting | Robustness | None], ...] = (
        ("forgetting", scenarios.forgetting),
        ("robustness", scenarios.robustness),
    )
    for key, reading in readers:
        if reading:
            yield (key, "reader"), reading.reader
            yield from (((key, "adapters", i), name) for i, name in enumerate(reading.adapters))


def _like(entry: Mapping[str, Any], name: str, sample: Sample | None, **changes: Any) -> dict[str, Any]:
    """A copy of an entry under another name, with dotted keys changed."""
    raw = copy.deepcopy(dict(entry)) | {"name": name}
    if sample:
        raw["sample"] = sample.model_dump()
    for key, value in changes.items():
        put(raw, key.split("__"), value, f"scenario {name}")
    return raw


def misfits(scenarios: Scenarios, configs: Mapping[str, SystemConfig]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(key, what is wrong) of each scenario of a system to which it does not apply. `configs`: by the system's name."""
    for number, name in enumerate(scenarios.freshness.retrain if scenarios.freshness else ()):
        if not configs[name].trains:
            yield ("freshness", "retrain", number), f"{name!r} is not trained, so that it cannot be trained anew."
    if scenarios.churn and not isinstance(getattr(configs[scenarios.churn.system], "retrieval", None), Retrieval):
        yield ("churn", "system"), f"{scenarios.churn.system!r} has no index that could be changed in place."
    for number, sweep in enumerate(scenarios.recall):
        retrieval = getattr(configs[sweep.system], "retrieval", None)
        index = retrieval.index if isinstance(retrieval, Retrieval) and retrieval.mode != "bm25" else None
        for what in ("ef_search", "nprobe"):
            if getattr(sweep, what) and (index is None or EFFORTS.get(index, what) != what):
                has = f"whose index is {index}, has no {what}" if index else f"has no vector index, and so no {what}"
                yield ("recall", number, what), f"{sweep.system!r}, {has}."


def _freshness(scenarios: Scenarios, entries: Mapping[str, Mapping[str, Any]]) -> Iterator[Derived]:
    for name in scenarios.freshness.retrain if scenarios.freshness else ():
        entry = _like(entries[name], f"freshness.{name}", Sample(renewed=True))
        yield _derived("freshness", name, "trained anew", True, entry)


def _data(scenarios: Scenarios, entries: Mapping[str, Mapping[str, Any]]) -> Iterator[Derived]:
    if scenarios.data:
        for size in scenarios.data.sizes:
            entry = _like(
                entries[scenarios.data.system],
                f"data.{scenarios.data.system}-{size}",
                scenarios.sample,
                tuning__examples=size,
            )
            yield _derived("data", scenarios.data.system, "training questions", size, entry)


def _forgetting(scenarios: Scenarios) -> Iterator[Derived]:
    if scenarios.forgetting:
        for name in scenarios.forgetting.adapters:
            entry = {
                "name": f"forgetting.{name}",
                "kind": "hybrid",
                "rag": scenarios.forgetting.reader,
                "adapter": name,
            }
            yield _derived("forgetting", name, "adapter", name, entry | {"sample": scenarios.sample.model_dump()})


def _robustness(scenarios: Scenarios, entries: Mapping[str, Mapping[str, Any]]) -> Iterator[Derived]:
    block = scenarios.robustness
    if block is None:
        return
    settings: list[tuple[str, Any, dict[str, Any]]] = [("distractors", k, {"distractors": k}) for k in block.noise]
    most = max([*block.noise, 3])
    settings += [("gold passage", place, {"distractors": most, "place": place}) for place in block.places]
    settings += [("gold passage", "absent", {"distractors": 3, "gold": False})] if block.absent else []
    for what, value, changes in settings:
        name = f"robustness.{what.split()[0]}-{value}"
        yield _derived(
            "robustness", block.reader, what, value, _like(entries[block.reader], name, scenarios.sample, **changes)
        )
        for adapter in block.adapters:
            entry = {"name": f"{name}+{adapter}", "kind": "hybrid", "rag": name, "adapter": adapter}
            yield _derived("robustness", adapter, what, value, entry | {"sample": scenarios.sample.model_dump()})


def _recall(scenarios: Scenarios, entries: Mapping[str, Mapping[str, Any]]) -> Iterator[Derived]:
    for sweep in scenarios.recall:
        axes = (
            ("ef_search", "retrieval__hnsw__ef_search", sweep.ef_search),
            ("nprobe", "retrieval__ivf__nprobe", sweep.nprobe),
        )
        for what, key, values in axes:
            for value in values:
                name = f"recall.{sweep.system}-{what}-{value}"
                entry = _like(entries[sweep.system], name, scenarios.sample, **{key: value})
                yield _derived("recall", sweep.system, what, value, entry)


def _churn(scenarios: Scenarios, entries: Mapping[str, Mapping[str, Any]]) -> Iterator[Derived]:
    if scenarios.churn:
        own = {k: v for k, v in entries[scenarios.churn.system].items() if k in ("retrieval", "embedder", "model")}
        entry = own | {
            "name": f"churn.{scenarios.churn.system}",
            "kind": "churn",
            "rounds": scenarios.churn.rounds,
            "share": scenarios.churn.share,
        }
        yield _derived("churn", scenarios.churn.system, "rounds", scenarios.churn.rounds, entry)
