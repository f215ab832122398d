"""The formats of datasets, one module per format; this folder is the whole registry.

A module holds the format's block of the spec (a `Source` with `format: Literal[...]`), `read(source, origin) -> Task`,
and `fingerprint(source)`: what the source is, as sha256 of its files or as a hub revision. May import `bench.data`'s
other modules and `bench.core`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from bench.core.vocabulary import JSON
from bench.data.source import Source
from bench.data.task import Task


@dataclass(frozen=True)
class Format:
    """What a format's module holds."""

    block: type[Source]
    read: Callable[[Any, JSON], Task]
    fingerprint: Callable[[Any], dict[str, JSON]]


def _format(module: ModuleType) -> Format:
    """The one block of a module, and its two functions."""
    (block,) = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Source) and value.__module__ == module.__name__
    ]
    return Format(block, module.read, module.fingerprint)


FORMATS = {m.name: _format(importlib.import_module(f"{__name__}.{m.name}")) for m in pkgutil.iter_modules(__path__)}

if TYPE_CHECKING:
    AnySource = Source
else:
    AnySource = Annotated[reduce(or_, (f.block for f in FORMATS.values())), Field(discriminator="format")]


def of(source: Source) -> Format:
    """The format of a block."""
    return next(f for f in FORMATS.values() if isinstance(source, f.block))


def fingerprint(source: Source) -> dict[str, JSON]:
    """What the source is: sha256 of every input file, or the pinned revision of a hub dataset. Raises UserError."""
    return of(source).fingerprint(source)


def read(source: Source, origin: JSON) -> Task:
    """The source as a task, not yet split or limited. Raises UserError naming file and line."""
    return of(source).read(source, origin)
