"""A spec's cells: every system with every seed that can change it, its config complete."""

from __future__ import annotations

import copy
import difflib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from bench.core.blocks import Block, Retrieval, Tuning
from bench.core.digest import digest
from bench.core.errors import Mistakes, UserError
from bench.core.nested import merge, put
from bench.core.system import SystemConfig, TunedConfig
from bench.spec import kinds, scenarios
from bench.spec.model import Entry, Measure, Spec
from bench.spec.paths import Paths
from bench.spec.validation_errors import at, explain
from bench.spec.yaml_lines import Loc

CONTROL = "closed_book"  # the kind of the base model alone
LONGEST = 150  # characters of a name: a file system takes 255 of a folder's, and a seed is added
VERSION = 3  # of the records: raised when cells of an older ragtune must run again


class Cell(Block):
    """One system with one seed: what one process runs."""

    id: str
    system: str
    kind: str
    seed: int
    config: dict[str, Any]
    scenario: scenarios.Scenario | None = None

    @property
    def on_endpoint(self) -> bool:
        """Whether a server answers, and not this machine's own process."""
        return bool((self.config.get("model") or {}).get("base_url"))

    def identity(self, task_digest: str, measure: Measure, gpus: Sequence[str] = ()) -> str:
        """Two cells of one identity give the same records. Names and prices do not enter it."""
        asked = measure.model_dump(include={"latency_questions", "warmup", "threads", "determinism"})
        if measure.load and self.on_endpoint:
            asked["load"] = measure.load.model_dump()
        return digest(
            {
                "version": VERSION,
                "gpus": list(gpus),
                "kind": self.kind,
                "source": kinds.source(self.kind),
                "config": _by_content(self.config),
                "task": task_digest,
                "measure": asked,
            }
        )


def _by_content(value: Any) -> Any:
    """Drop the name of whatever is known by its digest: a moved folder is the same model."""
    if isinstance(value, dict):
        return {k: _by_content(v) for k, v in value.items() if not (k in ("name", "path") and value.get("digest"))}
    return [_by_content(v) for v in value] if isinstance(value, list | tuple) else value


def cells(spec: Spec, *, where: str = "spec", lines: Mapping[Loc, int | str] | None = None) -> list[Cell]:
    """Every system with every seed that can change it, in the order of the spec. Raises UserError."""
    known = dict(lines or {})
    paths = Paths(spec.folder, where, known)
    configs: dict[str, tuple[kinds.Kind, SystemConfig]] = {}
    mistakes, waiting = Mistakes(), list[tuple[Loc, dict[str, Any]]]()
    for i, entry in enumerate(_with_control(spec)):
        with mistakes.noted():
            waiting += [(("systems", i), raw) for raw in _expanded(spec, entry, at(where, known, ("systems", i)))]
    entries = {str(raw["name"]): raw for _, raw in waiting}
    if not mistakes:
        _check_axes(spec, where, known)
    added = {} if mistakes else _derived(spec, entries, where, known)
    waiting += [(("scenarios", d.scenario.name), d.entry) for d in added.values()]
    order = [str(raw["name"]) for _, raw in waiting]
    every = {*order, *(entry.name for entry in spec.systems)}
    for number, (loc, _) in enumerate(waiting):
        if order[number] in order[:number]:
            raise UserError(
                f"two systems come to the name {order[number]!r}: values of a matrix that a name writes alike, or a "
                "scenario and a system.",
                where=at(where, known, loc),
                remedy="Give them as systems of their own, each with its name.",
            )

    def configured(loc: Loc, raw: dict[str, Any]) -> bool:
        """Whether it is; False while what it names is not."""
        location = at(where, known, loc)
        kind = kinds.load(str(raw["kind"]), location)
        named = {key: raw.get(key) for key in kind.Config.references}
        for key, name in named.items():
            if name not in every:
                raise _missing(str(raw["name"]), key, name, every, kind, location)
            if name not in order and (made := [other for other in order if other.startswith(f"{name}+")]):
                raise _multiplied(str(raw["name"]), key, str(name), made, location)
        if any(name not in configs for name in named.values()):
            return False
        others = {k: configs[str(n)] for k, n in named.items()}
        configs[str(raw["name"])] = (kind, _config(spec, raw, kind, others, loc, where, known))
        return True

    while waiting:
        blocked = []
        for loc, raw in waiting:
            with mistakes.noted():
                if not configured(loc, raw):
                    blocked.append((loc, raw))
        if len(blocked) == len(waiting):
            mistakes.tell()  # of those that the others name
            raise UserError(
                f"system {blocked[0][1]['name']!r} names itself, directly or in a circle.",
                where=at(where, known, blocked[0][0]),
            )
        waiting = blocked
    mistakes.tell()
    _same_trials(configs, where)
    for key, why in scenarios.misfits(spec.scenarios, {name: config for name, (_, config) in configs.items()}):
        here = at(where, known, ("scenarios", *key))
        raise UserError(why, where=here, remedy="Name another system, or leave it out.")
    return [
        Cell(
            id=f"{name}-s{seed}",
            system=name,
            kind=configs[name][0].name,
            seed=seed,
            config=paths.models(configs[name][1].model_copy(update={"seed": seed}).model_dump(mode="json")),
            scenario=added[name].scenario if name in added else None,
        )
        for name in order
        for seed in (spec.seeds if configs[name][1].trains else spec.seeds[:1])
    ]


def _with_control(spec: Spec) -> tuple[Entry, ...]:
    """The systems of the spec, and the base model alone where a built-in kind answers and none is closed-book."""
    own = [kinds.load(entry.kind) for entry in spec.systems if entry.kind in kinds.builtin()]
    answering = any(k.measure is None and k.Config.answers for k in own)
    if not spec.control or not answering or any(entry.kind == CONTROL for entry in spec.systems):
        return spec.systems
    taken = {entry.name for entry in spec.systems}
    return *spec.systems, Entry(name=next(n for n in ("closed-book", "base-model") if n not in taken), kind=CONTROL)


def _derived(
    spec: Spec, entries: Mapping[str, Any], where: str, lines: Mapping[Loc, int | str]
) -> dict[str, scenarios.Derived]:
    """name -> what the spec's scenarios add."""
    try:
        return {str(d.entry["name"]): d for d in scenarios.derived(spec.scenarios, entries)}
    except scenarios.Unknown as e:
        near = difflib.get_close_matches(e.name, sorted(entries), 1)
        raise UserError(
            f"`{'.'.join(map(str, e.key))}` names {e.name!r}, and there is no such system.",
            where=at(where, lines, e.key),
            remedy=f"Did you mean {near[0]!r}?" if near else f"Systems: {', '.join(sorted(entries))}.",
        ) from None


def _expanded(spec: Spec, entry: Entry, location: str) -> Iterator[dict[str, Any]]:
    """The entries that a matrix makes of one. The spec's matrix multiplies the systems whose kind has its key."""
    fields = kinds.load(entry.kind, location).Config.model_fields
    axes = {k: v for k, v in spec.matrix.items() if k.split(".")[0] in fields} | entry.matrix
    base = entry.model_dump(exclude={"matrix"}, exclude_unset=True)
    for values in itertools.product(*axes.values()):
        raw: dict[str, Any] = copy.deepcopy(base)
        suffix = []
        for key, value in zip(axes, values, strict=True):
            put(raw, key.split("."), value, f"matrix of {entry.name}")
            suffix.append(re.sub(r"[^\w.=-]+", "-", f"{key.split('.')[-1]}={value}"))
        if "seed" in raw:
            raise UserError(
                f"system {entry.name!r} has a seed of its own.",
                where=location,
                remedy="Seeds are of the whole spec: `seeds: [1, 2, 3]`.",
            )
        name = "+".join([entry.name, *suffix])
        if len(name) > LONGEST:
            raise UserError(
                f"the name {name[:40]}... has {len(name)} characters; {LONGEST} are allowed, for a folder is named so.",
                where=location,
                remedy="Give it as a system of its own, with a short name.",
            )
        yield raw | {"name": name}


def _check_axes(spec: Spec, where: str, lines: Mapping[Loc, int | str]) -> None:
    """Raises UserError for a key of the spec's matrix that no system has."""
    fields = {field for entry in spec.systems for field in kinds.load(entry.kind).Config.model_fields}
    for key in spec.matrix:
        if key.split(".")[0] not in fields:
            near = difflib.get_close_matches(key.split(".")[0], sorted(fields), 1)
            raise UserError(
                f"`matrix` has the key {key!r}, and no system has it.",
                where=at(where, lines, ("matrix", key)),
                remedy=f"Did you mean {near[0]!r}?" if near else "",
            )


def _multiplied(system: str, key: str, name: str, made: Sequence[str], location: str) -> UserError:
    return UserError(
        f"system {system!r} names {name!r} as its {key}, and a matrix makes {len(made)} systems of that one.",
        where=location,
        remedy=f"Name one of them: {', '.join(made)}.",
    )


def _config(
    spec: Spec,
    raw: dict[str, Any],
    kind: kinds.Kind,
    named: Mapping[str, tuple[kinds.Kind, SystemConfig]],
    loc: Loc,
    where: str,
    lines: dict[Loc, int | str],
) -> SystemConfig:
    """The full config of one system: blocks of the spec, fields of what it names, then its own entry."""
    location = at(where, lines, loc)
    own = {k: v for k, v in raw.items() if k not in ("name", "kind", *kind.Config.references)}
    full: dict[str, Any] = {}
    for field in kind.Config.model_fields:
        block = getattr(spec, field, None)
        if isinstance(block, Block):
            full[field] = block.model_dump(exclude_unset=True)
    for key, (other, config) in named.items():
        for field in kind.Config.references[key]:
            if field in kind.Config.model_fields and field in type(config).model_fields:
                full[field] = (
                    getattr(config, field).model_dump(exclude_unset=True)
                    if isinstance(getattr(config, field), Block)
                    else getattr(config, field)
                )
            elif kind.Config.model_fields[field].is_required():
                raise UserError(
                    f"system {raw['name']!r} takes its {field} from {raw[key]!r}, but a {other.name} has none.",
                    where=location,
                    remedy=f"Name another system as `{key}`.",
                )
    try:
        config = kind.Config.model_validate(merge(full, own))
    except ValidationError as e:
        raise explain(e, kind.Config, loc, where, lines) from None
    check_indexes(config, loc, where, lines)
    for key, (_, tuned) in named.items():
        if "model" in kind.Config.references[key] and config.model != tuned.model:
            raise UserError(
                f"system {raw['name']!r} asks for the model {config.model.name!r}, and {raw[key]!r} was trained on "
                f"{tuned.model.name!r}.",
                where=location,
                remedy=f"Leave out its `model`: it takes that of its `{key}`.",
            )
    for key, (_, asks) in named.items():
        if asks.prompt != config.prompt and (key == "adapter" or "prompt" not in own):
            raise UserError(
                f"system {raw['name']!r} would ask in another prompt than {raw[key]!r}, which has one of its own.",
                where=location,
                remedy="Set `prompt` once, for the whole spec, or write the same one here.",
            )
    served = isinstance(config, TunedConfig) and config.adapter
    if config.model.base_url and not served and (kind.Config.needs_weights or config.precision != "native"):
        raise UserError(
            f"system {raw['name']!r} ({kind.name}, {config.precision}) needs the model's weights, "
            "and an endpoint gives none.",
            where=location,
            remedy="Name the tuned model that the endpoint serves as `adapter`, or set `model.name` to a local folder "
            "or hub id and drop `model.base_url`.",
        )
    return config


def check_indexes(block: BaseModel, loc: Loc, where: str, lines: Mapping[Loc, int | str]) -> None:
    """Raise UserError where a block, or one inside it, names a vector index that does not exist.

    A kind of the user's own may extend the retrieval block with an `index` of another type, which is its own matter.
    """
    for field in type(block).model_fields:
        value = getattr(block, field)
        if isinstance(value, Retrieval) and type(value).model_fields["index"].annotation is str:
            _known_index(value.index, (*loc, field, "index"), where, lines)
        if isinstance(value, BaseModel):
            check_indexes(value, (*loc, field), where, lines)


def _known_index(name: str, loc: Loc, where: str, lines: Mapping[Loc, int | str]) -> None:
    known = kinds.indexes()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise UserError(
            f"there is no vector index {name!r}.",
            where=at(where, lines, loc),
            remedy=f"{hint}`retrieval.index` is one of {', '.join(known)}.",
        )


def _missing(system: str, key: str, name: Any, every: set[str], kind: kinds.Kind, location: str) -> UserError:
    if name is None:
        return UserError(
            f"system {system!r} is a {kind.name} and must say `{key}:`, the name of the system to take it from.",
            where=location,
        )
    near = difflib.get_close_matches(str(name), sorted(every), 1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Systems: {', '.join(sorted(every))}."
    return UserError(
        f"system {system!r} names {name!r} as its {key}, and there is no such system.", where=location, remedy=hint
    )


def _same_trials(configs: Mapping[str, tuple[kinds.Kind, SystemConfig]], where: str) -> None:
    """An arm that searches longer wins by that alone, so all tuned systems search alike."""
    trials = {
        n: t.search.count if t.search else 0
        for n, (_, c) in configs.items()
        if isinstance(t := getattr(c, "tuning", None), Tuning)
    }
    if len(set(trials.values())) > 1:
        raise UserError(
            f"tuned systems search with different numbers of trials: {trials}.",
            where=where,
            remedy="Set `tuning.search` once, for all of them.",
        )
