"""Kinds of system by name: a module of `systems`, or any importable module by its dotted path."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from bench.core.digest import file_digest
from bench.core.errors import UserError
from bench.core.store import Store
from bench.core.system import Embedder, Family, System, SystemConfig
from bench.core.vocabulary import JSON, Material


@dataclass(frozen=True)
class Kind:
    """What a kind's module holds.

    `about` is the first line of its docstring, `family` and `summary` its FAMILY and SUMMARY, which say where and how
    a report shows it. `measure` is set for an experiment, which answers no questions.
    """

    name: str
    about: str
    family: Family
    summary: str
    Config: type[SystemConfig]
    build: Callable[[SystemConfig, Material, Store], System]
    measure: Callable[[SystemConfig, Material, Store], dict[str, JSON]] | None


def builtin() -> list[str]:
    """The modules of `systems`, which is the whole registry."""
    package = importlib.import_module("systems")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.ispkg)


def encoder() -> Callable[[Embedder, Sequence[str]], Any]:
    """`encode(embedder, texts)`, which gives unit vectors: for the search for leaked questions."""
    found: Callable[[Embedder, Sequence[str]], Any] = importlib.import_module("systems").encode
    return found


def indexes() -> list[str]:
    """The vector indexes that `retrieval.index` may name."""
    found: list[str] = importlib.import_module("systems.parts.index").names()
    return found


def load(name: str, where: str = "") -> Kind:
    """Import a kind. Raises UserError for one that does not exist or is no kind."""
    target = name if "." in name else f"systems.{name}"
    if "." not in name and name not in builtin():
        near = difflib.get_close_matches(name, builtin(), 1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise UserError(
            f"unknown kind {name!r}.",
            where=where,
            remedy=f"{hint}Kinds: {', '.join(builtin())}; or the dotted path of your own module.",
        )
    try:
        module = importlib.import_module(target)
    except ModuleNotFoundError as e:
        if e.name is None or not target.startswith(e.name):
            raise
        raise UserError(
            f"no module {name!r}.", where=where, remedy="Install it, or run from the folder that holds it."
        ) from None
    config, build, measure = (getattr(module, part, None) for part in ("Config", "build", "measure"))
    if not (isinstance(config, type) and issubclass(config, SystemConfig) and (callable(build) or callable(measure))):
        raise UserError(
            f"module {name!r} is no kind of system.",
            where=where,
            remedy="It needs `class Config(bench.core.system.SystemConfig)` and `build(config, material, store)`.",
        )
    family: Any = getattr(module, "FAMILY", "both")
    if family not in get_args(Family):
        raise UserError(
            f"module {name!r} has FAMILY = {family!r}.",
            where=where,
            remedy=f"It must be one of {', '.join(get_args(Family))}.",
        )
    return Kind(
        name,
        about=(module.__doc__ or "").strip().split("\n")[0],
        family=family,
        summary=str(getattr(module, "SUMMARY", name)),
        Config=config,
        build=build or _unbuilt,
        measure=measure,
    )


def source(name: str) -> str | None:
    """sha256 of the source of a kind of one's own: other code is another system. None for those of ragtune, whose
    recipes have versions."""
    if "." not in name:
        return None
    path = importlib.import_module(name).__file__
    return file_digest(Path(path)) if path else None


def _unbuilt(config: SystemConfig, material: Material, store: Store) -> System:
    raise TypeError("an experiment answers no questions")
