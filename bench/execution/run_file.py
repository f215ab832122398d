"""run.json as a typed value: what a run is of, where it happened, and what became of every cell."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import CoreSchema

from bench.core.digest import sealed
from bench.core.errors import UserError, fitted
from bench.core.files import read_json
from bench.core.system import Family, Generation, Model, Prompt, Retrieval, Tuning
from bench.core.vocabulary import JSON
from bench.spec import kinds
from bench.spec.model import Spec
from bench.spec.scenarios import Scenario
from bench.stats.rounds import usual

Number = int | float


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


class Environment(Machine):
    """Where a run happened."""

    python: str
    os: str
    memory_bytes: int
    settings: dict[str, str]
    cuda: dict[str, JSON] | None = None


class Peaks(Part):
    """What a processor or GPU reaches at most: floating-point operations and bytes of memory a second."""

    flops_per_s: float | None = None
    bytes_per_s: float | None = None


class Dataset(Part):
    """The dataset of a run: its identity, its sizes, and what each stratum asks."""

    source: JSON
    digest: str
    split_seed: int
    name: str
    passages: int
    train: int
    dev: int
    test: int
    strata: dict[str, str] = {}
    notes: tuple[str, ...] = ()


class SystemEntry(Part):
    """A system of a run: its kind and its whole configuration. The shared blocks of it are typed."""

    kind: str
    config: dict[str, Any]  # of the kind's own making
    privileged: bool = False
    scenario: Scenario | None = None
    family: Family = "both"
    summary: str = ""
    answers: bool = True  # False: it only retrieves

    @model_validator(mode="before")
    @classmethod
    def _of_older_runs(cls, data: Any) -> Any:
        """Older runs do not say how a kind is shown: the built-in kinds do."""
        if isinstance(data, Mapping) and "family" not in data and data.get("kind") in kinds.builtin():
            kind = kinds.load(str(data["kind"]))
            return {**data, "family": kind.family, "summary": kind.summary}
        return data

    @property
    def model(self) -> Model:
        """The base model."""
        return Model.shared(self.config["model"])

    @property
    def embeds_in_int8(self) -> bool:
        """Whether its embedder has linear layers in 8 bits."""
        return bool((self.config.get("embedder") or {}).get("precision") == "int8")

    @property
    def prompt(self) -> Prompt:
        """What the model reads."""
        return Prompt.shared(self.config["prompt"])

    @property
    def generation(self) -> Generation:
        """How answers are decoded."""
        return Generation.shared(self.config["generation"])

    @property
    def precision(self) -> str:
        """`native`, `nf4` for 4-bit weights, or a word of the kind's own."""
        return str(self.config["precision"])

    @property
    def serving(self) -> str:
        """How a tuned model is served: its adapter beside the base where nothing is said."""
        return str(self.config.get("serving", "adapter"))

    @property
    def serves_an_adapter(self) -> bool:
        """Whether it answers with an adapter beside the weights of its base, on this machine."""
        return self.method == "lora" and self.serving == "adapter" and self.served_adapter is None

    @property
    def served_adapter(self) -> str | None:
        """The name under which an endpoint serves what was tuned elsewhere; None where nothing is."""
        return self.config.get("adapter")

    @property
    def retrieval(self) -> Retrieval | None:
        """None where the kind has no such block."""
        return Retrieval.shared(self.config["retrieval"]) if "retrieval" in self.config else None

    @property
    def tuning(self) -> Tuning | None:
        """None where nothing is trained."""
        return Tuning.shared(self.config["tuning"]) if "tuning" in self.config else None

    @property
    def method(self) -> str | None:
        """`lora` or `full`, where something is trained."""
        return self.config.get("method")

    @property
    def distractors(self) -> int | None:
        """Passages beside the gold ones that it is given; None where it is given none."""
        return self.config.get("distractors")

    @property
    def is_control(self) -> bool:
        """Whether it is there to compare with, and not to be chosen."""
        return self.family == "control" or self.privileged


class Memory(Part):
    """Memory of one process: growth is above what it started with. Bytes; None where there was no GPU."""

    start_rss_bytes: int | None = None
    peak_rss_growth_bytes: int = Field(validation_alias=AliasChoices("peak_rss_growth_bytes", "peak_rss_bytes"))
    trace: tuple[tuple[float, int, int | None, str], ...] = ()  # (seconds, resident growth, GPU, phase)
    peak_gpu_allocated_bytes: int | None = None
    peak_gpu_reserved_bytes: int | None = None
    peak_gpu_process_bytes: int | None = None
    energy_j: dict[str, dict[str, float]] = {}  # gpu or cpu -> phase -> joules; of the cpu, with other work beside


class Training(Part):
    """What a training took, over the trials of its search; None for what its kind does not say."""

    steps: Number | None = None
    tokens: Number | None = None
    tokens_per_s: float | None = None
    step_s: float | None = None
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

    `yardstick_s` are the seconds of a fixed piece of work before and after it; `peak_rss_growth_bytes` is of the first
    round, with an allocator that gives memory back at once.
    """

    round: int
    yardstick_s: tuple[float, ...]
    alone_s: dict[str, float]
    batches: tuple[tuple[int, float], ...]
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
    def is_done(self) -> bool:
        """Whether the cell finished."""
        return self.status == "done"

    @property
    def peak_rss_growth_bytes(self) -> float | None:
        """Growth of resident memory, which repeats where a round measured it: loading, and answering the longest batch.
        Else of the whole cell, with what its allocator kept."""
        live = next((t.peak_rss_growth_bytes for t in self.turns if t.peak_rss_growth_bytes is not None), None)
        return live if live is not None or self.memory is None else self.memory.peak_rss_growth_bytes

    @property
    def seconds(self) -> float | None:
        """Wall time of the cell."""
        return None if self.started is None or self.ended is None else self.ended - self.started

    @property
    def outside_s(self) -> float | None:
        """Of this, what the harness itself took."""
        return None if self.seconds is None or self.inside_s is None else max(0.0, self.seconds - self.inside_s)


def _of_known_keys(written: Any, validate: Callable[[Any], Spec]) -> Spec:
    """The spec, without the keys that another version of ragtune wrote."""
    try:
        return validate(written)
    except ValidationError as e:
        kept = copy.deepcopy(written)
        for error in e.errors():
            if error["type"] == "extra_forbidden":
                _drop(kept, error["loc"])
        return validate(kept)


def _drop(value: Any, loc: tuple[Any, ...]) -> None:
    """Delete what is at a location of pydantic's, which names the tag of a union as if it were a key."""
    *above, last = loc
    for step in above:
        if isinstance(value, list) or step in value:
            value = value[step]
    value.pop(last, None)


class RunFile(Part):
    """The whole of run.json. `cells` is None where a run was stopped before it ended."""

    name: str
    status: str
    spec: Annotated[
        Spec,
        WrapValidator(_of_known_keys),
        WithJsonSchema({"type": "object", "description": "As `ragtune schema` describes it."}),
    ]
    # the spec as it was written down: of it is `spec_digest`; no key of the file
    recorded: SkipJsonSchema[dict[str, Any]] = Field(default_factory=dict)
    spec_digest: str
    dataset: Dataset
    models: dict[str, str] = {}
    systems: dict[str, SystemEntry]
    identity: str
    environment: Environment
    started: float = 0.0
    ended: float | None = None
    load_start: tuple[float, ...] | None = None
    load_end: tuple[float, ...] | None = None
    leaks: dict[str, tuple[str, ...]] = {}
    asked_again: int = 0  # test questions that training asks, with another answer
    peaks: Peaks | None = None
    windows: tuple[str, ...] = ()  # what the windows of the embedders do to the passages
    cells: dict[str, CellResult] | None = None
    files: dict[str, str] = {}  # sha256 of what was written beside it; older runs have none

    @model_validator(mode="before")
    @classmethod
    def _keep_the_spec(cls, data: Any) -> Any:
        return {**data, "recorded": data.get("spec")} if isinstance(data, Mapping) else data

    @cached_property
    def yardstick_s(self) -> float | None:
        """The usual seconds of the fixed piece of work on this machine; None where it was not timed."""
        turns = [turn.yardstick_s for cell in (self.cells or {}).values() for turn in cell.turns]
        builds = [cell.yardstick_s for cell in (self.cells or {}).values()]
        return usual(turns or builds)

    def done(self, system: str) -> dict[str, CellResult]:
        """The cells of a system that finished."""
        return {c: cell for c, cell in (self.cells or {}).items() if cell.system == system and cell.is_done}

    def failed(self, system: str) -> dict[str, str]:
        """cell -> reason, of the cells of a system that did not finish."""
        cells = (self.cells or {}).items()
        return {c: cell.reason or "" for c, cell in cells if cell.system == system and not cell.is_done}


def read_run(folder: Path) -> RunFile:
    """The run in a folder. Raises UserError where there is none, or where run.json is damaged."""
    path = folder / "run.json"
    if not path.exists():
        raise UserError(
            "no run here.",
            where=str(folder),
            remedy="Give a folder that `ragtune run` wrote, such as reports/quickstart.",
        )
    raw = read_json(path)
    if isinstance(raw, dict) and raw.get("seal") and raw["seal"] != sealed(raw):
        raise UserError(
            "this is not what the run wrote: the file was changed.",
            where=str(path),
            remedy="Remove it, and run the spec again: what its cells hold is gathered anew.",
        )
    return fitted(RunFile, path, raw, wrong="no run of this version", remedy="Run the spec again, with `ragtune run`.")
