"""The whole vocabulary: frozen values that travel between the harness and the systems. Stdlib only."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

JSON = Any  # a value that json.dumps accepts


@dataclass(frozen=True, slots=True)
class Passage:
    """One retrievable unit of the corpus. `group` is what splits and clusters keep together."""

    id: str
    text: str
    title: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """What a system sees: never the answer. `gold` is filled for privileged controls only."""

    id: str
    text: str
    gold: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part of the evidence stands: characters `start` to `end` of a passage.

    Evidence that two overlapping passages hold has a place in each; `at` is where in the evidence the part begins.
    """

    passage: str
    start: int
    end: int
    at: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """A question with its truth. `()` as answers: the right answer is to abstain; None: no reference is known.

    `updated`, where set, are the right answers once the corpus holds the dataset's updates; where the fact is
    `withdrawn` by them, abstaining is right from then on. `form` is a regular expression that the whole answer must
    match to be in house style, and `facts` what it must then hold. `spans` are the pieces of evidence, each by its
    places, where they are known; `grades` the relevance of each gold passage, where it is not 1 for all.
    """

    question: Question
    answers: tuple[str, ...] | None
    stratum: str = "all"
    group: str = ""
    split: str = "test"
    updated: tuple[str, ...] = ()
    form: str = ""
    facts: tuple[str, ...] = ()
    spans: tuple[tuple[Place, ...], ...] = ()
    grades: tuple[int, ...] = ()
    withdrawn: bool = False

    @property
    def changes(self) -> bool:
        """Whether the dataset's updates give it another right answer."""
        return self.withdrawn or bool(self.updated)


@dataclass(frozen=True, slots=True)
class Material:
    """What `build` may learn from. It has no test split, so a system cannot leak one."""

    corpus: Sequence[Passage]  # from the store each is read when it is asked for: go through it once
    train: tuple[Example, ...] = ()
    dev: tuple[Example, ...] = ()
    paraphrases: tuple[Passage, ...] = ()  # passages said again in other words, to train on


@dataclass(frozen=True, slots=True)
class Hit:
    """A retrieved chunk. `passage_id` is the corpus passage that it was cut from, `start` where in it the chunk begins;
    None where that is not known."""

    chunk_id: str
    passage_id: str
    text: str
    score: float
    title: str = ""
    start: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a system says. `error` set means that the question failed and counts as wrong."""

    text: str
    hits: tuple[Hit, ...] | None = None  # what was retrieved; None: this kind of system shows no passages
    shown: int | None = None  # how many of the hits the prompt held; None: all
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None  # of the prompt, that an endpoint says it had kept
    truncated: bool = False  # passages were left out to fit the context window
    latency_s: float | None = None  # what it took elsewhere, where it was not given here
    error: str | None = None
    retries: int = 0  # attempts before it that failed
    abstained: bool = False  # as an entailment model reads it, where the words are of no known form

    @property
    def held(self) -> tuple[Hit, ...]:
        """The hits that the prompt held."""
        return (self.hits or ())[: self.shown]


@dataclass(frozen=True, slots=True)
class Record:
    """One question answered by one cell: a line of records.jsonl."""

    cell: str
    system: str
    seed: int
    question: str
    stratum: str
    group: str
    text: str
    answers: tuple[str, ...] | None
    gold: tuple[str, ...]
    choices: tuple[str, ...]
    answer: Answer
    batch: int  # number of the batch that it was answered in
    batch_size: int
    batch_s: float  # wall time of that batch
    latency_s: float | None  # set when it was answered alone, after warm-up
    first_token_s: float | None = None
    per_token_s: float | None = None
    updated: tuple[str, ...] = ()
    form: str = ""
    facts: tuple[str, ...] = ()
    spans: tuple[tuple[Place, ...], ...] = ()
    grades: tuple[int, ...] = ()
    language: str = "en"
    later: Answer | None = None  # what the system says once the corpus holds the updates; None: not asked
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Artefact:
    """One stored build product, as its manifest tells it."""

    digest: str
    kind: str
    build_s: float
    bytes: int
    facts: Mapping[str, JSON] = field(default_factory=dict)
    memory: Mapping[str, JSON] = field(default_factory=dict)  # while it was built
    hit: bool = False  # found in the store, not built by this cell
    place: str = ""  # the device that built it; empty where an older ragtune did


def read_record(row: Mapping[str, Any]) -> Record:
    """A Record from its line. Raises pydantic's ValidationError for what is none; keys of other versions are passed
    over."""
    return _records().validate_python({k: v for k, v in row.items() if v is not None or k in _MAY_BE_NONE})


def read_record_line(line: str) -> Record | None:
    """A Record from its line at once; None where it takes a closer look to read it, or to say what is wrong."""
    if "NaN" in line or "Infinity" in line:  # which JSON has not
        return None
    try:
        return _records().validate_json(line)
    except ValidationError:
        return None


_MAY_BE_NONE = ("answers", "latency_s")  # and without a default


@functools.cache
def _records() -> TypeAdapter[Record]:
    return TypeAdapter(Record)


def read_spans(rows: Iterable[Iterable[Mapping[str, JSON]]]) -> tuple[tuple[Place, ...], ...]:
    """Evidence spans from their JSON. Raises TypeError for what are no places."""
    return tuple(tuple(Place(**place) for place in span) for span in rows)
