"""The spec: what a run is of. A value; reading one from YAML is `bench.parse`, its cells are `bench.cells`."""

from __future__ import annotations

import difflib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from bench.core.blocks import Block, Embedder, Generation, Model, PositiveInt, Prompt, Retrieval, Tuning, checked_url
from bench.core.digest import digest
from bench.data.formats import AnySource
from bench.metrics.registry import JUDGED, MEASURES
from bench.spec.paper import Paper
from bench.spec.scenarios import Scenarios


class Load(Block):
    """Systems on an endpoint under load: each level for so many seconds, one after the other."""

    concurrency: tuple[Annotated[int, Field(gt=0, le=1024)], ...] = Field(
        (), description="Closed loop: so many askers at once, who each ask again when they have their answer."
    )
    arrivals_per_s: tuple[Annotated[float, Field(gt=0, le=10_000)], ...] = Field(
        (),
        description="Open loop: questions that come at random times (Poisson), so many a second on average; a latency "
        "counts from when the question came.",
    )
    seconds: float = Field(30.0, gt=0, le=86_400, description="Seconds in which questions are asked, of each level.")

    @model_validator(mode="after")
    def _some_level(self) -> Load:
        if not self.concurrency and not self.arrivals_per_s:
            raise ValueError("give levels: `concurrency`, such as [1, 4, 16], or `arrivals_per_s`")
        return self


class Measure(Block):
    """How answers are timed, and what a cell may take."""

    latency_questions: int = Field(
        64, ge=0, description="Questions answered one at a time, after warm-up; the others are answered in batches."
    )
    warmup: int = Field(4, ge=0, description="Questions answered before timing starts.")
    rounds: int = Field(
        3,
        ge=0,
        description="Rounds over all systems, in turns, in which some questions are timed again; 0: no intervals of "
        "times, and none of costs.",
    )
    determinism: int = Field(
        0, ge=0, description="Questions asked again, alone and in their batch, to count answers that change."
    )
    load: Load | None = Field(None, description="Ask systems on an endpoint many questions at once too.")
    timeout_s: float = Field(
        3600.0, gt=0, description="Time limit of one cell in seconds; after it the cell's processes are killed."
    )
    alone: bool = Field(
        False,
        description="On a cluster, run each cell on a node of its own, so that nothing beside it slows what is timed.",
    )
    threads: PositiveInt | None = Field(
        None, description="Threads of every numeric library; unset: as many as are quickest when the run begins."
    )


class Prices(Block):
    """What things cost you. Unset: the report says that it was not priced."""

    cpu_hour_usd: float | None = Field(None, ge=0)
    gpu_hour_usd: float | None = Field(None, ge=0)
    prompt_tokens_usd_per_million: float | None = Field(None, ge=0, description="Price of an endpoint's prompt tokens.")
    cached_prompt_tokens_usd_per_million: float | None = Field(
        None, ge=0, description="Price of prompt tokens that the endpoint says it had kept; unset: as of the others."
    )
    completion_tokens_usd_per_million: float | None = Field(None, ge=0)
    storage_gb_month_usd: float = Field(0.0, ge=0, description="Price of storing indexes and adapters.")
    training_question_usd: float | None = Field(
        None,
        ge=0,
        description="Price of writing one training question with its answer; unset: people's work is left out.",
    )


class Volumes(Block):
    """What the chosen system will have to serve. Money per month follows from it."""

    questions_per_month: float = Field(100_000, ge=0)
    updates_per_month: float = Field(1, ge=0, description="How often the corpus changes and must be absorbed.")
    months: float = Field(12, gt=0, description="Months over which the cost to build is spread.")


class Weights(Block):
    """What is given up for what: points of the measure (0.02: two) for a figure that is ten times smaller."""

    cost: float = Field(0.0, ge=0, description="Weight of the cost per month.")
    latency: float = Field(0.0, ge=0, description="Weight of the median latency.")
    memory: float = Field(0.0, ge=0, description="Weight of the peak memory while answering.")

    @property
    def counted(self) -> list[str]:
        """What counts beside quality."""
        return [name for name, points in self.model_dump().items() if points]


class Needs(Block):
    """What the chosen system must meet, and what counts beside its quality. Unset: no constraint."""

    metric: str | None = Field(None, description="The measure of quality; unset: label accuracy, or exact match.")
    min_quality: float | None = Field(None, ge=0, le=1)
    p50_latency_s: float | None = Field(None, gt=0, description="Upper limit in seconds.")
    p90_latency_s: float | None = Field(None, gt=0)
    p95_latency_s: float | None = Field(None, gt=0)
    memory_bytes: float | None = Field(
        None, gt=0, description="Upper limit of the peak memory to load and to answer: GPU memory where a GPU is used."
    )
    refresh_s: float | None = Field(
        None, gt=0, description="Upper limit of the seconds to absorb a changed corpus, by re-indexing or retraining."
    )
    usd_per_month: float | None = Field(None, ge=0)
    provenance: bool = Field(False, description="Whether the source of each answer must be shown.")
    data_stays: bool = Field(False, description="Whether prompts must not be sent to an endpoint.")
    weights: Weights = Weights()

    @field_validator("metric")
    @classmethod
    def _ranks(cls, value: str | None) -> str | None:
        if value is not None and value not in MEASURES:
            near = difflib.get_close_matches(value, MEASURES, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"no such measure; {hint}Measures: {', '.join(MEASURES)}")
        if value is not None and not MEASURES[value].higher_is_better:
            raise ValueError("less of this measure is better, so that it cannot rank systems; name another one")
        return value


if TYPE_CHECKING:
    JudgeMetric = str
else:
    JudgeMetric = Literal[JUDGED]


class Judging(Block):
    """A language model that judges the answers, through ragas, over any OpenAI-compatible endpoint."""

    base_url: str
    model: str
    api_key_env: str | None = Field(None, description="Environment variable that holds the endpoint's key.")
    embedding_model: str | None = Field(
        None, description="Embedding model of the same endpoint, for response_relevancy."
    )
    metrics: tuple[JudgeMetric, ...] = ("faithfulness", "answer_accuracy")
    parameters: dict[str, Any] = Field({"temperature": 0}, description="Parameters sent with every request.")
    concurrency: PositiveInt = 4
    timeout_s: float = Field(60.0, gt=0)
    attempts: PositiveInt = 3
    wait_s: float = Field(10.0, ge=0, description="Longest wait between two attempts, in seconds.")
    max_failed: float = Field(
        0.1, ge=0, le=1, description="Share of failed verdicts above which a metric is inconclusive."
    )
    labels: str | None = Field(None, description="JSONL of human labels, to calibrate the judge with.")
    repeats: PositiveInt = Field(3, description="Verdicts asked for each label, to measure how often they change.")
    min_kappa: float = Field(0.6, ge=-1, le=1, description="Cohen's kappa below which a metric decides nothing.")
    prompt_tokens_usd_per_million: float | None = Field(None, ge=0)
    completion_tokens_usd_per_million: float | None = Field(None, ge=0)

    @field_validator("base_url")
    @classmethod
    def _no_secret(cls, value: str) -> str:
        return checked_url(value)


class Entailing(Block):
    """A local model, or one of the hub, that tells whether the passages shown entail the answer; no judge needed."""

    name: str
    revision: str | None = None
    batch_size: PositiveInt = 16


SYSTEM = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
LONGEST_NAME = 150  # characters: of a run, and of the file of its baseline
Values = Annotated[tuple[Any, ...], Field(min_length=1)]  # of an axis of a matrix


class Entry(BaseModel):
    """One system: its name, its kind, and what differs from the spec's blocks."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(min_length=1, pattern=SYSTEM)
    kind: str
    matrix: dict[str, Values] = Field({}, description="Dotted keys and their values: one system for each combination.")


class Spec(Block):
    """What a run is of: one base model, one dataset, and the systems to compare."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=NAME, max_length=LONGEST_NAME, description="Name of the run's folder.")
    description: str = ""
    dataset: AnySource
    model: Model
    embedder: Embedder = Embedder()
    prompt: Prompt = Prompt()
    generation: Generation = Generation()
    retrieval: Retrieval = Retrieval()
    tuning: Tuning = Tuning()
    systems: tuple[Entry, ...] = Field(min_length=1)
    control: bool = Field(
        True,
        description="Whether the base model alone is asked too, where no system of kind closed_book is: nothing is "
        "recommended that is not shown to be better.",
    )
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = Field(
        (1,), min_length=1, description="What is tuned is trained once with each; three tell how much a seed matters."
    )
    measure: Measure = Measure()
    prices: Prices = Prices()
    volumes: Volumes = Volumes()
    needs: Needs = Needs()
    margin: float | None = Field(None, gt=0, lt=1, description="Difference that does not matter, set before the run.")
    all_pairs: bool = Field(
        False,
        description="Compare every pair of systems, also of more than 30; else beyond 30 those with the best, the "
        "controls and the first plain retrieval.",
    )
    scenarios: Scenarios = Scenarios()
    judge: Judging | None = None
    paper: Paper | None = Field(None, description="Figures that a paper published of these systems.")
    entailment: Entailing | None = None
    matrix: dict[str, Values] = Field(
        {}, description="Like a system's `matrix`, applied to every system that has the key."
    )

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        twice = [seed for seed, times in Counter(value).items() if times > 1]
        if twice:
            raise ValueError(f"the seed {twice[0]} stands twice; give each once")
        return value

    @model_validator(mode="before")
    @classmethod
    def _native(cls, data: Any) -> Any:
        """`format: native` may be left out."""
        if isinstance(data, dict) and isinstance(data.get("dataset"), dict) and "format" not in data["dataset"]:
            data = data | {"dataset": {"format": "native"} | data["dataset"]}
        return data

    @model_validator(mode="after")
    def _published_of_its_systems(self) -> Spec:
        names = {entry.name for entry in self.systems}
        published = [f.system for f in self.paper.figures] + [c.system for c in self.paper.costs] if self.paper else []
        for system in published:
            if system not in names:
                near = difflib.get_close_matches(system, names, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"systems: {', '.join(sorted(names))}"
                raise ValueError(f"`paper` has a figure of {system!r}, which is no system of this spec; {hint}")
        return self

    _folder: Path = PrivateAttr(default_factory=Path.cwd)  # where its relative paths start

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from."""
        return self._folder

    @property
    def digest(self) -> str:
        """sha256 of everything that the spec says; what came later and is not said is left out."""
        return digest(self.model_dump(mode="json") | {"prices": self.prices.recorded("training_question_usd")})
