"""What a cell of a run wrote: how it ended, what it built, the memory it took, and what it knows of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
)
from pydantic_core import CoreSchema

from bench.core.vocabulary import JSON

Number = int | float
UNFINISHED = "not finished"  # why a cell of an interrupted run has no result


class Part(BaseModel):
    """A frozen part of a file that a stage wrote; keys of other versions are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """A key that was renamed may stand under its older name, in a file that an older ragtune wrote."""
        reference = handler(core_schema)
        schema = handler.resolve_ref_schema(reference)
        for name, field in cls.model_fields.items():
            if isinstance(field.validation_alias, AliasChoices):
                older = [str(choice) for choice in field.validation_alias.choices if choice != name]
                schema["properties"] |= {key: schema["properties"][name] | {"deprecated": True} for key in older}
                schema["required"].remove(name)
                either = {"anyOf": [{"required": [key]} for key in (name, *older)]}
                schema["allOf"] = [*schema.get("allOf", ()), either]
        return reference


class Gpu(Part):
    """One GPU of the machine."""

    name: str
    memory_bytes: int | None = None
    driver: str | None = None
    clock_mhz: Number | None = None
    memory_clock_mhz: Number | None = None
    power_limit_w: float | None = None


class Machine(Part):
    """What two cells must share for their times and memory to be compared."""

    cpu: str
    cores: int | None
    threads: int
    gpus: tuple[Gpu, ...]
    versions: dict[str, str | None]
    commit: str | None


class Peaks(Part):
    """What a processor or GPU reaches at most: floating-point operations and bytes of memory a second."""

    flops_per_s: float | None = None
    bytes_per_s: float | None = None


LOADING = ("build", "save")  # what a process does before and after its work
LITTLE = 0.05  # of a build, that may have been another device's


class Memory(Part):
    """Memory of one process: growth is above what it started with. Bytes; None where there was no GPU."""

    start_rss_bytes: int | None = None
    peak_rss_growth_bytes: int = Field(validation_alias=AliasChoices("peak_rss_growth_bytes", "peak_rss_bytes"))
    trace: tuple[tuple[float, int, int | None, str], ...] = ()  # (seconds, resident growth, GPU, phase)
    peak_gpu_allocated_bytes: int | None = None
    peak_gpu_allocated_by_phase_bytes: dict[str, int] = {}
    peak_gpu_reserved_bytes: int | None = None
    peak_gpu_process_bytes: int | None = None
    energy_j: dict[str, dict[str, float]] = {}  # gpu or cpu -> phase -> joules; of the cpu, with other work beside

    @property
    def load_peak_gpu_bytes(self) -> int | None:
        """What it took on the GPU to load, by torch's allocator; None where that was not told apart."""
        return self.peak_gpu_allocated_by_phase_bytes.get(LOADING[0]) if self._work else None

    @property
    def work_peak_gpu_bytes(self) -> int | None:
        """What it took on the GPU to train or to answer, without what loading took, where that was told apart."""
        return max(self._work, default=self.peak_gpu_allocated_bytes)

    @property
    def _work(self) -> Sequence[int]:
        return [peak for phase, peak in self.peak_gpu_allocated_by_phase_bytes.items() if phase not in LOADING]


class Training(Part):
    """What a training took, over the trials of its search; None for what its kind does not say."""

    steps: Number | None = None
    tokens: Number | None = None
    tokens_per_s: float | None = None
    step_s: float | None = None
    reference_s: float | None = None  # mean seconds of the work that was done between the steps
    trainable_parameters: Number | None = None
    trials: Number | None = None
    optimiser: str | None = None
    batches_sha256: str | None = None
    dev_loss: float | None = None
    truncated: Number | None = None
    skipped: Number | None = None
    left_out: tuple[str, ...] = ()  # modules of the model that LoRA cannot adapt


class Artefact(Part):
    """A stored build product as a cell met it, with what it cost when it was built."""

    kind: str
    build_s: float
    bytes: int
    hit: bool
    facts: dict[str, JSON] = {}
    memory: Memory | None = None
    place: str = ""  # the device that built it

    @property
    def train_loop_s(self) -> float:
        """Of an adapter: seconds of the training loop; of the whole build where the kind does not measure the loop."""
        return float(self.facts.get("train_loop_s", self.build_s))


class Context(Part):
    """What a model has read before any question: passages, whether that is all of them, tokens, bytes of its cache."""

    held: int
    all: bool
    tokens: int
    cache_bytes: int


class Notes(Part):
    """What only the running system knows of itself."""

    model_config = ConfigDict(coerce_numbers_to_str=True)  # a device may be a number

    device: str | None = None
    dtype: str | None = None
    attention: str | None = None  # how it is computed
    weights_bytes: Number | None = None
    parameters: Number | None = None
    peaks: Peaks | None = None
    tuning: Training | None = None
    four_bit_share: float | None = None  # of the parameters inside the layers; None where nothing was quantised
    prequantised: str | None = None  # how the checkpoint was quantised before
    context: Context | None = None
    index: str | None = None  # what is no index as one would deploy it
    system_text: str | None = None  # where it stands, if not in a turn of its own


class Flips(Part):
    """Questions asked again, and how many got another answer: in the same batch, and alone."""

    n: int
    again: int
    alone: int


class LoadLevel(Part):
    """A system under one level of load, for so many seconds: `level` askers at once (closed), or questions a second
    that come at random (open). `samples`: seconds from the begin to when each question was due, from there to its
    first token and to its whole answer, and whether it failed."""

    mode: Literal["closed", "open"]
    level: float
    seconds: float
    samples: tuple[tuple[float, float | None, float, bool], ...]


class Turn(Part):
    """What a system took in one round: seconds of each question alone, and of each batch beside its size.

    `yardstick_s` are the seconds of a fixed piece of work before and after it, `reference_s` of one that is like a
    model's, in the middle of those done after each question alone; None where no model is in the process.
    `peak_rss_growth_bytes` is of the first round, with an allocator that gives memory back at once.
    """

    round: int
    yardstick_s: tuple[float, ...]
    alone_s: dict[str, float]
    batches: tuple[tuple[int, float], ...]
    reference_s: float | None = None
    peak_rss_growth_bytes: Number | None = None


class CellResult(Part):
    """What became of a cell: one system with one seed. An experiment has `facts`, and no answers."""

    system: str
    kind: str
    seed: int
    status: Literal["done", "failed", "incomplete"]
    reason: str | None = None
    started: float | None = None
    ended: float | None = None
    environment: Machine | None = None
    places: tuple[str, ...] = ()  # the devices that it used, as artefacts name theirs
    load_s: float | None = None
    inside_s: float | None = None  # in the system's own code: building, loading, answering, updating
    memory: Memory | None = None
    notes: Notes = Notes()
    artefacts: tuple[Artefact, ...] = ()
    refresh_s: float | None = None
    flips: Flips | None = None
    index_recall: dict[str, float | None] | None = None
    facts: dict[str, JSON] | None = None
    yardstick_s: tuple[float, ...] = ()  # before and after the build
    turns: tuple[Turn, ...] = ()
    load: tuple[LoadLevel, ...] = ()
    asked_here: int | None = None  # questions that the process of the cell answered, warm-up included

    @property
    def brought(self) -> tuple[Artefact, ...]:
        """What it found in the store that another device built: what that took is not its cost. Nothing where that is
        so little of the whole build that the sum stays what it is."""
        machine = self.environment
        here = set(self.places) or ({machine.cpu, *(gpu.name for gpu in machine.gpus)} if machine else set())
        found = tuple(a for a in self.artefacts if here and a.hit and a.place and a.place not in here)
        return found if sum(a.build_s for a in found) > LITTLE * sum(a.build_s for a in self.artefacts) else ()

    @property
    def is_done(self) -> bool:
        """Whether the cell finished."""
        return self.status == "done"

    @property
    def seconds(self) -> float | None:
        """Wall time of the cell."""
        return None if self.started is None or self.ended is None else self.ended - self.started

    @property
    def outside_s(self) -> float | None:
        """Of this, what the harness itself took."""
        return None if self.seconds is None or self.inside_s is None else max(0.0, self.seconds - self.inside_s)
