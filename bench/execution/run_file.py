"""run.json as a typed value: what a run is of, where it happened, and what became of every cell."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    Field,
    ValidationError,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from bench.core.blocks import Generation, Model, Prompt, Retrieval, Tuning
from bench.core.digest import sealed
from bench.core.errors import UserError, fitted
from bench.core.files import read_json
from bench.core.system import Family
from bench.core.vocabulary import JSON
from bench.execution.cell_result import CellResult, Machine, Part, Peaks
from bench.spec import kinds
from bench.spec.model import Spec
from bench.spec.scenarios import Scenario
from bench.stats.rounds import usual

FileName = Annotated[str, Field(pattern=r"^[^./\\\x00-\x1f][^/\\\x00-\x1f]{0,199}$")]  # a run may come from anywhere


class Environment(Machine):
    """Where a run happened."""

    python: str
    os: str
    memory_bytes: int
    settings: dict[str, str]
    cuda: dict[str, JSON] | None = None


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
    strata: dict[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


def shots_in(config: Mapping[str, Any]) -> int | None:
    """Answered training questions that a configuration puts into each prompt; None where it puts none."""
    return (config.get("shots") or None) if "choose" in config else None


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
    def trains(self) -> bool:
        """Whether its model or its embedder is trained on the training questions."""
        return self.tuning is not None or (self.config.get("embedder") or {}).get("tuned") is not None

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
    def shots(self) -> int | None:
        """Answered training questions that stand in its prompts; None where none do."""
        return shots_in(self.config)

    @property
    def distractors(self) -> int | None:
        """Passages beside the gold ones that it is given; None where it is given none."""
        return self.config.get("distractors")

    @property
    def is_control(self) -> bool:
        """Whether it is there to compare with, and not to be chosen."""
        return self.family == "control" or self.privileged


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

    name: FileName
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
    models: dict[str, str] = Field(default_factory=dict)
    systems: dict[FileName, SystemEntry]
    identity: str
    environment: Environment
    started: float = 0.0
    ended: float | None = None
    load_start: tuple[float, ...] | None = None
    load_end: tuple[float, ...] | None = None
    leaks: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    asked_again: int = 0  # test questions that training asks, with another answer
    peaks: Peaks | None = None
    windows: tuple[str, ...] = ()  # what the windows of the embedders do to the passages
    cells: dict[str, CellResult] | None = None
    files: dict[str, str] = Field(default_factory=dict)  # sha256 of what was written beside it; older runs have none

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
