"""One YAML spec, checked and frozen; and its cells: every system with every seed that can change it."""

from __future__ import annotations

import difflib
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench import kinds, yamls
from bench.digest import digest
from bench.errors import UserError
from bench.system import Block, Embedder, Generation, Model, PositiveInt, Prompt, Retrieval, SystemConfig, Tuning
from bench.tasks import AnyDataset
from bench.yamls import Loc


class Measure(Block):
    latency_questions: int = Field(64, ge=0, description="Answered one at a time, after warm-up; the others in batches.")
    warmup: int = Field(4, ge=0, description="Questions answered before any is timed.")
    timeout_s: float = Field(3600.0, gt=0, description="Of one cell; past it the cell's processes are killed.")
    threads: PositiveInt | None = Field(None, description="Of every numeric library; unset: one for each core.")


class Prices(Block):
    """What things cost you. Unset: the report says that it was not priced."""

    cpu_hour_usd: float | None = Field(None, ge=0)
    gpu_hour_usd: float | None = Field(None, ge=0)
    prompt_tokens_usd_per_million: float | None = Field(None, ge=0, description="Of an endpoint.")
    completion_tokens_usd_per_million: float | None = Field(None, ge=0)


class Entry(BaseModel):
    """One system: its name, its kind, and what differs from the spec's blocks."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")
    kind: str
    matrix: dict[str, tuple[Any, ...]] = Field({}, description="Dotted keys and their values: one system for each combination.")


class Spec(Block):
    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="Of the run's folder.")
    description: str = ""
    dataset: AnyDataset
    model: Model
    embedder: Embedder = Embedder()
    prompt: Prompt = Prompt()
    generation: Generation = Generation()
    retrieval: Retrieval = Retrieval()
    tuning: Tuning = Tuning()
    systems: tuple[Entry, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((1,), min_length=1)
    measure: Measure = Measure()
    prices: Prices = Prices()
    matrix: dict[str, tuple[Any, ...]] = Field({}, description="As a system's, over all systems that it changes.")

    @model_validator(mode="before")
    @classmethod
    def _native(cls, data: Any) -> Any:
        """`format: native` may be left out."""
        if isinstance(data, dict) and isinstance(data.get("dataset"), dict) and "format" not in data["dataset"]:
            data = data | {"dataset": {"format": "native"} | data["dataset"]}
        return data

    @property
    def digest(self) -> str:
        return digest(self.model_dump(mode="json"))


class Cell(Block):
    """One system with one seed: what one process runs."""

    id: str
    system: str
    kind: str
    seed: int
    config: dict[str, Any]

    def identity(self, task_digest: str, measure: Measure) -> str:
        """Two cells of one identity give the same records. Names and prices do not enter it."""
        asked = measure.model_dump(include={"latency_questions", "warmup", "threads"})
        return digest({"kind": self.kind, "config": _by_content(self.config), "task": task_digest, "measure": asked})


def _by_content(value: Any) -> Any:
    """Drop the name of whatever is known by its digest: a moved folder is the same model."""
    if isinstance(value, dict):
        return {k: _by_content(v) for k, v in value.items() if not (k == "name" and value.get("digest"))}
    return [_by_content(v) for v in value] if isinstance(value, list | tuple) else value


def load(path: Path, overrides: Sequence[str] = ()) -> Spec:
    """Read, override (`a.b=c`, the value in YAML), check. Raises UserError with file, line and remedy."""
    raw, lines = yamls.read(path)
    for text in overrides:
        _override(raw, text, lines)
    return parse(raw, where=str(path), lines=lines, folder=path.parent)


def parse(raw: Mapping[str, Any], *, where: str = "spec", lines: Mapping[Loc, int] | None = None, folder: Path | None = None) -> Spec:
    """Check a spec given as a mapping: the schema, then every system against its kind. Paths become absolute."""
    known = dict(lines or {})
    try:
        spec = Spec.model_validate(raw)
    except ValidationError as e:
        raise _explain(e, Spec, (), where, known) from None
    spec = _absolute(spec, folder or Path.cwd(), where, known)
    names = [e.name for e in spec.systems]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise UserError(f"two systems are named {name!r}.", where=_at(where, known, ("systems", i)), remedy="Names must be unique.")
    cells(spec, where=where, lines=known)
    return spec


def _override(raw: dict[str, Any], text: str, lines: dict[Loc, int]) -> None:
    key, eq, value = text.partition("=")
    if not eq or not key:
        raise UserError(f"cannot read {text!r}.", where="--set", remedy="Write it as key.sub=value.")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise UserError(f"the value of {text!r} is no YAML.", where="--set", remedy="Quote it.") from None
    _put(raw, key.split("."), parsed, f"--set {text}")


def _put(target: Any, steps: Sequence[str], value: Any, where: str) -> None:
    """Set a dotted key in place. A step into a list is an index, or the name of a system."""
    for n, step in enumerate(steps):
        last = n == len(steps) - 1
        if isinstance(target, list):
            names = [str(e.get("name", i)) if isinstance(e, dict) else str(i) for i, e in enumerate(target)]
            if step not in names and not (step.isdigit() and int(step) < len(target)):
                raise UserError(f"no {step!r} in the list.", where=where, remedy=f"There are: {', '.join(names)}.")
            index = names.index(step) if step in names else int(step)
            if last:
                target[index] = value
            else:
                target = target[index]
        elif isinstance(target, dict):
            if last:
                target[step] = value
            else:
                target = target.setdefault(step, {})
        else:
            raise UserError(f"{step!r} is not inside a mapping.", where=where)


def merge(base: Mapping[str, Any], over: Any) -> Any:
    """`over` laid on `base`, mapping by mapping. What is no mapping replaces."""
    if not isinstance(over, Mapping):
        return over
    return {**base, **{k: merge(base[k], v) if isinstance(base.get(k), Mapping) else v for k, v in over.items()}}


def cells(spec: Spec, *, where: str = "spec", lines: Mapping[Loc, int] | None = None) -> list[Cell]:
    """Every system with every seed that can change it, in the order of the spec. Raises UserError."""
    known = dict(lines or {})
    configs: dict[str, tuple[kinds.Kind, SystemConfig]] = {}
    waiting = [(i, e, raw) for i, e in enumerate(spec.systems) for raw in _expanded(spec, e)]
    every = {str(raw["name"]) for _, _, raw in waiting}
    while waiting:
        blocked = []
        for i, entry, raw in waiting:
            at = _at(where, known, ("systems", i))
            kind = kinds.load(entry.kind, at)
            named = {key: raw.get(key) for key in kind.Config.references}
            for key, name in named.items():
                if name not in every:
                    raise _missing(str(raw["name"]), key, name, every, kind, at)
            if any(name not in configs for name in named.values()):
                blocked.append((i, entry, raw))
                continue
            configs[str(raw["name"])] = (kind, _config(spec, i, raw, kind, {k: configs[str(n)] for k, n in named.items()}, where, known))
        if len(blocked) == len(waiting):
            raise UserError(f"system {blocked[0][2]['name']!r} names itself, directly or in a circle.", where=_at(where, known, ("systems", blocked[0][0])))
        waiting = blocked
    _same_trials(configs, where)
    order = [str(raw["name"]) for e in spec.systems for raw in _expanded(spec, e)]
    return [
        Cell(id=f"{name}-s{seed}", system=name, kind=configs[name][0].name, seed=seed,
             config=configs[name][1].model_copy(update={"seed": seed}).model_dump(mode="json"))
        for name in order
        for seed in (spec.seeds if configs[name][0].Config.tuned else spec.seeds[:1])
    ]  # fmt: skip


def _expanded(spec: Spec, entry: Entry) -> Iterator[dict[str, Any]]:
    """The entries that a matrix makes of one. The spec's matrix multiplies the systems whose kind has its key."""
    fields = kinds.load(entry.kind).Config.model_fields
    axes = {k: v for k, v in spec.matrix.items() if k.split(".")[0] in fields} | entry.matrix
    base = entry.model_dump(exclude={"matrix"}, exclude_unset=True)
    for values in itertools.product(*axes.values()):
        raw: dict[str, Any] = yaml.safe_load(yaml.safe_dump(base))
        suffix = []
        for key, value in zip(axes, values, strict=True):
            _put(raw, key.split("."), value, f"matrix of {entry.name}")
            suffix.append(f"{key.split('.')[-1]}={value}")
        yield raw | {"name": "+".join([entry.name, *suffix])}


def _config(spec: Spec, index: int, raw: dict[str, Any], kind: kinds.Kind, named: Mapping[str, tuple[kinds.Kind, SystemConfig]], where: str, lines: dict[Loc, int]) -> SystemConfig:
    """The full config of one system: blocks of the spec, fields of what it names, then its own entry."""
    at = _at(where, lines, ("systems", index))
    own = {k: v for k, v in raw.items() if k not in ("name", "kind", *kind.Config.references)}
    full: dict[str, Any] = {}
    for field in kind.Config.model_fields:
        block = getattr(spec, field, None)
        if isinstance(block, Block):
            full[field] = block.model_dump(exclude_unset=True)
    for key, (other, config) in named.items():
        for field in kind.Config.references[key]:
            if field in kind.Config.model_fields and field in type(config).model_fields:
                full[field] = getattr(config, field).model_dump(exclude_unset=True) if isinstance(getattr(config, field), Block) else getattr(config, field)
            elif kind.Config.model_fields[field].is_required():
                raise UserError(f"system {raw['name']!r} takes its {field} from {raw[key]!r}, but a {other.name} has none.", where=at,
                                remedy=f"Name another system as `{key}`.")  # fmt: skip
    try:
        config = kind.Config.model_validate(merge(full, own))
    except ValidationError as e:
        raise _explain(e, kind.Config, ("systems", index), where, lines) from None
    if config.model.base_url and (kind.Config.needs_weights or config.precision != "native"):
        raise UserError(f"system {raw['name']!r} ({kind.name}, {config.precision}) needs the model's weights, and an endpoint gives none.", where=at,
                        remedy="Leave it out, or set `model.name` to a local folder or hub id and drop `model.base_url`.")  # fmt: skip
    return config


def _missing(system: str, key: str, name: Any, every: set[str], kind: kinds.Kind, at: str) -> UserError:
    if name is None:
        return UserError(f"system {system!r} is a {kind.name} and must say `{key}:`, the name of the system to take it from.", where=at)
    near = difflib.get_close_matches(str(name), sorted(every), 1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Systems: {', '.join(sorted(every))}."
    return UserError(f"system {system!r} names {name!r} as its {key}, and there is no such system.", where=at, remedy=hint)


def _same_trials(configs: Mapping[str, tuple[kinds.Kind, SystemConfig]], where: str) -> None:
    """An arm that searches longer wins by that alone, so all tuned systems search alike."""
    trials = {n: t.search.trials if t.search else 0 for n, (_, c) in configs.items() if isinstance(t := getattr(c, "tuning", None), Tuning)}
    if len(set(trials.values())) > 1:
        raise UserError(f"tuned systems search with different numbers of trials: {trials}.", where=where,
                        remedy="Set `tuning.search` once, for all of them.")  # fmt: skip


_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_PATHS = ("path", "train_path", "test_ids", "questions")


def _absolute(spec: Spec, folder: Path, where: str, lines: dict[Loc, int]) -> Spec:
    """Expand ${NAME:-default} in paths and make them absolute, relative to the spec's folder."""

    def expand(text: str, loc: Loc) -> str:
        def value(match: re.Match[str]) -> str:
            found = os.environ.get(match[1], match[2])
            if found is None:
                raise UserError(f"environment variable {match[1]} is not set.", where=_at(where, lines, loc), remedy=f"Set it, or write ${{{match[1]}:-default}}.")
            return found

        return os.path.expanduser(_VARIABLE.sub(value, text))

    def local(text: str, loc: Loc, embedded: str = "") -> str:
        path = expand(text, loc)
        if embedded and "/" not in text and not (folder / path).exists() and (found := embedded_path(embedded, path)):
            return str(found)
        return str((folder / path).resolve()) if not Path(path).is_absolute() else path

    def model(name: str, loc: Loc) -> str:
        name = expand(name, loc)
        path = folder / name
        if path.is_dir() or re.match(r"[./~]", name):
            return str(path.resolve())
        return str(embedded_path("lm" if loc[0] == "model" else "embedder", name)) if name == "micro" else name

    data = spec.model_dump(exclude_unset=True)
    for key in _PATHS:
        if data["dataset"].get(key):
            data["dataset"][key] = local(data["dataset"][key], ("dataset", key), "datasets" if key == "path" and data["dataset"]["format"] == "native" else "")
    if data["dataset"].get("id"):
        data["dataset"]["id"] = model(data["dataset"]["id"], ("dataset", "id"))
    if not spec.model.base_url:
        data["model"]["name"] = model(spec.model.name, ("model", "name"))
    data["embedder"] = data.get("embedder", {}) | {"name": model(spec.embedder.name, ("embedder", "name"))}
    rerankers = [data.get("retrieval", {}).get("reranker"), *(e.get("retrieval", {}).get("reranker") for e in data["systems"])]
    for reranker in filter(None, rerankers):
        reranker["name"] = model(reranker["name"], ("retrieval", "reranker", "name"))
    return Spec.model_validate(data)


def embedded_path(what: str, name: str) -> Path | None:
    """Where an embedded dataset or micro model lies, in a checkout or in a wheel; None when it does not exist."""
    here = Path(__file__).resolve().parent
    places = {
        "datasets": (here / "datasets" / name, here.parent / "datasets" / name),
        "specs": (here / "specs" / f"{name}.yaml",),
        "lm": (here.parent / "systems" / "micro" / "lm",),
        "embedder": (here.parent / "systems" / "micro" / "embedder",),
    }
    return next((p for p in places[what] if p.exists()), None)


def _at(where: str, lines: Mapping[Loc, int], loc: Loc) -> str:
    line = yamls.line_of(dict(lines), loc)
    return f"{where}:{line}" if line else where


def _explain(error: ValidationError, model: type[BaseModel], prefix: Loc, where: str, lines: dict[Loc, int]) -> UserError:
    """The first thing wrong, in one paragraph; the number of further ones."""
    first, *others = error.errors()
    loc: Loc = tuple(first["loc"])
    named = ".".join(str(s) for s in loc if s not in ("native", "squad", "records", "hub", "beir", "documents")) or "spec"
    remedy = ""
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(loc[-1]), keys := sorted(_keys(model, loc[:-1])), 1)
        problem = f"unknown key `{named}`."
        remedy = f"Did you mean `{near[0]}`?" if near else f"Known here: {', '.join(keys)}."
    elif first["type"] == "missing":
        problem = f"`{named}` is missing."
    else:
        message = first["msg"].removeprefix("Value error, ")
        problem = f"`{named}`: {message[0].lower() + message[1:]}"
        problem += "." if "input" not in first or isinstance(first["input"], dict) else f", not {first['input']!r}."
    if others:
        remedy = f"{remedy} ({len(others)} more after this one.)".strip()
    cut = tuple(s for s in loc if s not in ("native", "squad", "records", "hub", "beir", "documents"))
    return UserError(problem, where=_at(where, lines, (*prefix, *cut)), remedy=remedy)


def _keys(model: type[BaseModel], loc: Loc) -> set[str]:
    """The field names that are right at a location."""
    current: list[type[BaseModel]] = [model]
    for step in loc:
        inner = [m for c in current if step in c.model_fields for m in _models(c.model_fields[str(step)].annotation)]
        tagged = [m for m in current if "format" in m.model_fields and step in get_args(m.model_fields["format"].annotation)]
        current = inner or tagged or current
    return {name for m in current for name in m.model_fields}


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for inner in get_args(annotation) for m in _models(inner)]


def schema() -> dict[str, Any]:
    """JSON Schema of a spec, with each built-in kind's own keys, for editors."""
    whole = Spec.model_json_schema()
    variants = []
    for name in kinds.builtin():
        config = kinds.load(name).Config
        own = config.model_json_schema()
        whole["$defs"] = own.pop("$defs", {}) | whole["$defs"]
        keys = {k: v for k, v in own["properties"].items() if k != "seed"}
        keys |= {"name": {"type": "string"}, "kind": {"const": name}, "matrix": {"type": "object"}}
        keys |= {k: {"type": "string", "description": "Name of a system of this spec."} for k in config.references}
        variants.append({"type": "object", "properties": keys, "required": ["name", "kind", *config.references], "additionalProperties": False})
    other = {"type": "object", "properties": {"kind": {"type": "string", "pattern": r"\."}}, "required": ["name", "kind"]}
    whole["properties"]["systems"]["items"] = {"anyOf": [*variants, other]}
    whole["$defs"]["Native"]["required"] = [k for k in whole["$defs"]["Native"].get("required", []) if k != "format"]
    for block in ("Model", "Embedder", "Reranker"):
        whole["$defs"][block]["properties"].pop("digest", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "ragtune spec", **whole}
