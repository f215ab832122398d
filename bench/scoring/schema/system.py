"""One system of scores.json: what was measured of it over its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, model_validator

from bench.core.system import Family
from bench.execution.cell_result import Flips, Number, Part
from bench.spec import kinds
from bench.spec.scenarios import Scenario
from bench.stats.intervals import Estimate


class Score(Part):
    """One measure of one system: a mean with its 95% interval over all questions, and over each stratum.

    `coverage` is the share of the questions asked that the measure could score; `clean` is over those that training has
    not seen, None where it has seen none.
    """

    mean: float
    low: float
    high: float
    n: int
    clusters: int
    method: str
    coverage: float
    strata: dict[str, Estimate | None]
    clean: Estimate | None = None


class Doubt(Part):
    """What a judge's figure rests on: failed verdicts, the bounds they leave, and whether it decides anything.

    `ranked` are the bounds where what was not answered counts as 0, as it does where systems are ranked.
    """

    failed: float
    bounds: tuple[float, float]
    ranked: tuple[float, float] | None = None
    demoted: bool
    decisive: bool


class Round(Part):
    """One round: what the median latency and the throughput were in it. `off`: its yardstick was off."""

    number: int
    p50_s: float | None
    questions_per_s: float | None
    off: bool


def kept(rounds: Sequence[Round]) -> Sequence[Round]:
    """The rounds that count: those that were not off, or all where all were."""
    return [r for r in rounds if not r.off] or rounds


class Speed(Part):
    """Latency of the questions answered alone, in seconds; throughput of those answered in batches.

    `level` is by what the latencies were multiplied, so that they are those of the rounds, not of one moment; the
    intervals hold what rounds differ by, and what questions do.
    """

    n: int
    p50_s: float | None
    p90_s: float | None
    p95_s: float | None
    p99_s: float | None
    p50_interval_s: tuple[float, float] | None
    first_token_s: float | None
    per_token_s: float | None
    questions_per_s: float | None
    batched_n: int
    batch_size: int | None
    questions_per_s_interval: tuple[float, float] | None = None
    level: float = 1.0
    level_interval: tuple[float, float] | None = None
    rounds: tuple[Round, ...] = ()
    of_rounds: bool = False  # the latencies are of the rounds alone: the first were of a busy machine

    @property
    def kept(self) -> Sequence[Round]:
        """The rounds that count."""
        return kept(self.rounds)


class Loaded(Part):
    """A system under one level of load: `level` askers at once (closed), or questions a second (open).

    Seconds are of the questions that were answered, None where too few were; `throughput` is answers a second that
    ended within the level's seconds, `goodput` those of them that took no longer than `need_s`, and `within` their
    share of all questions asked. None without a need.
    """

    mode: Literal["closed", "open"]
    level: float
    n: int
    failed: int
    first_p50_s: float | None
    first_p95_s: float | None
    p50_s: float | None
    p95_s: float | None
    throughput: float
    need_s: float | None = None
    goodput: float | None = None
    within: float | None = None


class Build(Part):
    """What a system took to build, medians over its seeds; None for stages that it has not, and for what another
    device built."""

    chunk_s: float | None
    embed_s: float | None
    index_s: float | None
    train_s: float | None
    total_s: float | None
    around_s: float | None
    artefact_bytes: Number
    reused: Number
    artefacts: Number
    steps: Number | None
    tokens: Number | None
    tokens_per_s: float | None
    step_s: float | None
    trainable_parameters: Number | None
    trials: Number | None
    optimiser: str | None
    batches_sha256: str | None
    dev_loss: float | None
    truncated: Number | None
    skipped: Number | None
    train_peak_rss_growth_bytes: Number | None = Field(
        validation_alias=AliasChoices("train_peak_rss_growth_bytes", "train_peak_rss_bytes")
    )
    train_peak_gpu_bytes: Number | None
    train_load_peak_gpu_bytes: Number | None = None  # of the same processes, before the first step
    train_peak_gpu_process_bytes: Number | None = None  # as NVML sees it, with loading and what torch does not see

    @property
    def train_peak_bytes(self) -> Number | None:
        """Memory while training: the GPU's where it trained on one, else growth of resident memory."""
        return self.train_peak_rss_growth_bytes if self.train_peak_gpu_bytes is None else self.train_peak_gpu_bytes


class Memory(Part):
    """Peak memory while answering, the worst seed's, in bytes. Growth is above what the process started with."""

    start_rss_bytes: Number | None
    peak_rss_growth_bytes: Number | None = Field(  # None of what answered elsewhere
        validation_alias=AliasChoices("peak_rss_growth_bytes", "peak_rss_bytes")
    )
    peak_gpu_allocated_bytes: Number | None
    peak_gpu_reserved_bytes: Number | None
    peak_gpu_process_bytes: Number | None
    load_peak_gpu_bytes: Number | None = None  # before the first question
    weights_bytes: Number | None
    parameters: Number | None

    @property
    def peak_bytes(self) -> Number | None:
        """Memory while answering: the GPU's where it answers on one, else growth of resident memory."""
        return self.peak_rss_growth_bytes if self.peak_gpu_allocated_bytes is None else self.peak_gpu_allocated_bytes

    @property
    def room_bytes(self) -> Number | None:
        """What it must find there: the highest of loading and answering; on a GPU with what its allocator holds
        back, and with what of the process torch does not see, where that is known."""
        if self.peak_bytes is None or self.peak_gpu_allocated_bytes is None:
            return self.peak_bytes
        more = (self.load_peak_gpu_bytes, self.peak_gpu_reserved_bytes, self.peak_gpu_process_bytes)
        return max(self.peak_bytes, *(size or 0 for size in more))


class Tokens(Part):
    """Mean tokens of a question's prompt and answer."""

    prompt: float | None
    completion: float | None


class Energy(Part):
    """Joules, of a source (`gpu` by NVML, `cpu` by RAPL), medians over the seeds; None for what was not measured."""

    source: Literal["gpu", "cpu"]
    training_j: float | None
    thousand_questions_j: float | None


class Cost(Part):
    """USD to build, and for a thousand questions in batches; None where the spec has no price for it."""

    build_usd: float | None
    thousand_questions_usd: float | None


class Limits(Part):
    """Shares of what the machine can do at most, of decoding and of training."""

    decode: float | None
    training: float | None


class SystemHead(Part):
    """What is known of every system, whether or not it finished."""

    kind: str
    control: bool
    precision: str
    seeds: int
    failed: dict[str, str]  # cell -> reason
    trained: bool
    written: int = 0  # training questions that somebody had to write for it
    serving: str | None = None  # of what was tuned: `adapter` beside its base, `merged` or `merged_nf4`
    scenario: Scenario | None
    family: Family = "both"

    @property
    def has_seen_training(self) -> bool:
        """Whether a question that training holds too may be answered from there."""
        return self.trained or self.written > 0

    @model_validator(mode="before")
    @classmethod
    def _of_older_scores(cls, data: Any) -> Any:
        """Older scores do not say the family of a kind: the built-in kinds do."""
        if isinstance(data, Mapping) and "family" not in data and data.get("kind") in kinds.builtin():
            return {**data, "family": kinds.load(str(data["kind"])).family}
        return data


class FailedSystem(SystemHead):
    """A system none of whose cells finished."""

    status: Literal["failed"] = "failed"
    n: int = 0


class Otherwise(Part):
    """Answers of a merged or quantised system that are others than those of the adapter `beside` its base, of `n`."""

    beside: str
    n: int
    changed: int


class MeasuredSystem(SystemHead):
    """A system over its seeds: everything that was measured of it."""

    status: Literal["done", "partly failed"]
    n: int
    errors: int
    truncated: int
    scores: dict[str, Score | None]  # measure -> score; None where it does not apply
    doubts: dict[str, Doubt]
    seed_em: tuple[float, ...]
    speed: Speed
    build: Build
    memory: Memory
    tokens: Tokens
    cost: Cost
    limits: Limits
    flips: Flips | None
    served_otherwise: Otherwise | None = None
    refresh_s: float | None
    device: str | None
    endpoint: bool
    cell_s: float | None
    outside_s: float | None = None  # of `cell_s`, what the harness itself took
    load: tuple[Loaded, ...] = ()
    energy: tuple[Energy, ...] = ()
    trained_elsewhere: bool = False  # and served: what training took is not known
    retried: int = 0  # answers that an endpoint gave at another attempt; they have no latency
    stuck: int = 0  # answers that repeat one word to their end
    read_abstentions: int = 0  # answers that abstain by the entailment model, and not by words of a known form
    strictly: int | None = None  # answers that exact match and strict exact match judge differently

    def score(self, measure: str) -> Score | None:
        """The score of a measure; None where it does not apply, or an older ragtune did not have it."""
        return self.scores.get(measure)

    @property
    def shown_family(self) -> Family:
        """The family that charts show it under: a privileged system is a control, whatever its kind."""
        return "control" if self.control else self.family


System = Annotated[FailedSystem | MeasuredSystem, Field(discriminator="status")]
