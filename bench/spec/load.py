"""YAML to a checked Spec, with errors that name file, line and remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from bench.core.errors import UserError
from bench.core.nested import put
from bench.core.yaml_text import value as yaml_value
from bench.spec import yaml_lines
from bench.spec.cells import cells, check_indexes
from bench.spec.model import Spec
from bench.spec.paths import Paths
from bench.spec.validation_errors import at, explain
from bench.spec.yaml_lines import Loc


def load(path: Path | str, overrides: Sequence[str] = ()) -> Spec:
    """Read, override (`a.b=c`, the value in YAML), check. Raises UserError with file, line and remedy."""
    path = Path(path)
    raw, lines = yaml_lines.read(path)
    for text in overrides:
        _override(raw, text, lines)
    return parse(raw, where=str(path), lines=lines, folder=path.parent)


def parse(
    raw: Mapping[str, Any],
    *,
    where: str = "spec",
    lines: Mapping[Loc, int | str] | None = None,
    folder: Path | None = None,
) -> Spec:
    """Check a spec given as a mapping: the schema, then every system against its kind."""
    known = dict(lines or {})
    try:
        spec = Spec.model_validate(raw)
    except ValidationError as e:
        raise explain(e, Spec, (), where, known) from None
    spec._folder = (folder or Path.cwd()).resolve()
    names = [e.name for e in spec.systems]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise UserError(
                f"two systems are named {name!r}.",
                where=at(where, known, ("systems", number)),
                remedy="Names must be unique.",
            )
    check_indexes(spec, (), where, known)
    cells(spec, where=where, lines=known)
    Paths(spec.folder, where, known).dataset(spec.dataset)
    return spec


def _override(raw: dict[str, Any], text: str, lines: dict[Loc, int | str]) -> None:
    key, eq, value = text.partition("=")
    if not eq or not key:
        raise UserError(f"cannot read {text!r}.", where="--set", remedy="Write it as key.sub=value.")
    try:
        parsed = yaml_value(value)
    except yaml.YAMLError:
        raise UserError(f"the value of {text!r} is no YAML.", where="--set", remedy="Quote it.") from None
    put(raw, key.split("."), parsed, f"--set {text}")
    lines[tuple(key.split("."))] = f"--set {text}"
