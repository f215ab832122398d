"""Kinds of system by name: a module of `systems`, or any importable module by its dotted path."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from bench.core.blocks import Embedder
from bench.core.digest import digest, file_digest
from bench.core.errors import UserError
from bench.core.store import Store
from bench.core.system import Family, System, SystemConfig
from bench.core.vocabulary import JSON, Material


@dataclass(frozen=True)
class Kind:
    """What a kind's module holds.

    `about` is the first line of its docstring, `family` and `summary` its FAMILY and SUMMARY, which say where and how
    a report shows it. `measure` is set for an experiment, which answers no questions. `examine(config, ids of the test
    questions)`, where there is one, raises UserError for what only a look at the kind's own files can tell.
    """

    name: str
    about: str
    family: Family
    summary: str
    Config: type[SystemConfig]
    build: Callable[[SystemConfig, Material, Store], System]
    measure: Callable[[SystemConfig, Material, Store], dict[str, JSON]] | None
    examine: Callable[[SystemConfig, Sequence[str]], None] | None = None


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
    dotted = "." in name
    target = name if dotted else f"systems.{name}"
    if not (all(part.isidentifier() for part in name.split(".")) if dotted else name in builtin()):
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
        examine=getattr(module, "examine", None),
    )


def source(name: str) -> str | None:
    """Digest of the source of a kind of one's own, and of what it imports that is neither installed nor ragtune's.

    Other code is another system. None for the kinds of ragtune, whose recipes have versions.
    """
    if "." not in name:
        return None
    path = importlib.import_module(name).__file__
    return digest([file_digest(p) for p in sorted(_reached(name, Path(path)))]) if path else None


def _reached(name: str, path: Path) -> dict[Path, str]:
    """The files of a module and of every module of the user's own that it imports, at any depth."""
    found: dict[Path, str] = {path: name}
    todo = [path]
    while todo:
        at = todo.pop()
        for other in _imported(found[at], at):
            file = _own_file(other)
            if file is not None and file not in found:
                found[file] = other
                todo.append(file)
    return found


def _imported(name: str, path: Path) -> Iterator[str]:
    """Every module that a module's source names in an import; of `from x import y`, both x and x.y."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package or None)
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))


def _own_file(name: str) -> Path | None:
    """The Python file of a module of the user's own; None for one that is installed, ragtune's, or no module."""
    if name.partition(".")[0] in ("bench", "systems", *sys.stdlib_module_names):
        return None
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):  # `x.y` where y is no module
        return None
    path = Path(found.origin) if found and found.origin and found.origin.endswith(".py") else None
    return path if path is not None and "site-packages" not in path.parts else None


def _unbuilt(config: SystemConfig, material: Material, store: Store) -> System:
    raise TypeError("an experiment answers no questions")
