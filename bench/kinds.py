"""Kinds of system by name: a module of `systems`, or any importable module by its dotted path."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from bench.errors import UserError
from bench.store import Store
from bench.system import System, SystemConfig
from bench.types import JSON, Material


@dataclass(frozen=True)
class Kind:
    """What a kind's module must hold."""

    name: str
    about: str
    Config: type[SystemConfig]
    build: Callable[[SystemConfig, Material, Store], System]
    measure: Callable[[SystemConfig, Material, Store], dict[str, JSON]] | None  # an experiment has this, and no answers


def builtin() -> list[str]:
    """The modules of `systems`, which is the whole registry."""
    package = importlib.import_module("systems")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.ispkg)


def load(name: str, where: str = "") -> Kind:
    """Import a kind. Raises UserError for one that does not exist or is no kind."""
    target = name if "." in name else f"systems.{name}"
    if "." not in name and name not in builtin():
        near = difflib.get_close_matches(name, builtin(), 1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise UserError(f"unknown kind {name!r}.", where=where,
                        remedy=f"{hint}Kinds: {', '.join(builtin())}; or the dotted path of your own module.")  # fmt: skip
    try:
        module = importlib.import_module(target)
    except ModuleNotFoundError as e:
        if e.name is None or not target.startswith(e.name):
            raise
        raise UserError(
            f"no module {name!r}.", where=where, remedy="Install it, or run from the folder that holds it."
        ) from None
    config, build, measure = (getattr(module, name, None) for name in ("Config", "build", "measure"))
    if not (isinstance(config, type) and issubclass(config, SystemConfig) and (callable(build) or callable(measure))):
        raise UserError(f"module {name!r} is no kind of system.", where=where,
                        remedy="It needs `class Config(bench.system.SystemConfig)` and `build(config, material, store)`.")  # fmt: skip
    return Kind(name, (module.__doc__ or "").strip().split("\n")[0], config, build or _unbuilt, measure)


def _unbuilt(config: SystemConfig, material: Material, store: Store) -> System:
    raise TypeError("an experiment answers no questions")
