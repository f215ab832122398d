"""YAML to a checked Spec, with errors that name file, line and remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from bench import yamls
from bench.cells import cells
from bench.errors import UserError
from bench.explain import at, explain
from bench.paths import Places
from bench.spec import Spec
from bench.trees import put
from bench.yamls import Loc


def load(path: Path | str, overrides: Sequence[str] = ()) -> Spec:
    """Read, override (`a.b=c`, the value in YAML), check. Raises UserError with file, line and remedy."""
    path = Path(path)
    raw, lines = yamls.read(path)
    for text in overrides:
        _override(raw, text, lines)
    return parse(raw, where=str(path), lines=lines, folder=path.parent)


def parse(
    raw: Mapping[str, Any], *, where: str = "spec", lines: Mapping[Loc, int] | None = None, folder: Path | None = None
) -> Spec:
    """Check a spec given as a mapping: the schema, then every system against its kind."""
    known = dict(lines or {})
    try:
        spec = Spec.model_validate(raw)
    except ValidationError as e:
        raise explain(e, Spec, (), where, known) from None
    spec._folder = (folder or Path.cwd()).resolve()
    names = [e.name for e in spec.systems]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise UserError(
                f"two systems are named {name!r}.",
                where=at(where, known, ("systems", i)),
                remedy="Names must be unique.",
            )
    cells(spec, where=where, lines=known)
    Places(spec.folder, where, known).dataset(spec.dataset)
    return spec


def _override(raw: dict[str, Any], text: str, lines: dict[Loc, int]) -> None:
    key, eq, value = text.partition("=")
    if not eq or not key:
        raise UserError(f"cannot read {text!r}.", where="--set", remedy="Write it as key.sub=value.")
    try:
        parsed = yamls.value(value)
    except yaml.YAMLError:
        raise UserError(f"the value of {text!r} is no YAML.", where="--set", remedy="Quote it.") from None
    put(raw, key.split("."), parsed, f"--set {text}")
