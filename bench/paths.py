"""Where the paths of a spec point: variables, the spec's folder, and what is embedded in ragtune."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.explain import at
from bench.spec import Spec
from bench.yamls import Loc

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_PATHS = ("path", "train_path", "test_ids", "questions")


def locate(spec: Spec, where: str = "spec", lines: dict[Loc, int] | None = None) -> Spec:
    """Expand ${NAME:-default} in paths and make them absolute, relative to the spec's folder.

    The spec as given stays what is recorded and hashed; the located one is what runs.
    """
    folder, known = spec._folder, lines or {}

    def expand(text: str, loc: Loc) -> str:
        def value(match: re.Match[str]) -> str:
            found = os.environ.get(match[1], match[2])
            if found is None:
                raise UserError(
                    f"environment variable {match[1]} is not set.",
                    where=at(where, known, loc),
                    remedy=f"Set it, or write ${{{match[1]}:-default}}.",
                )
            return found

        return (
            str(Path(_VARIABLE.sub(value, text)).expanduser()) if text.startswith("~") else _VARIABLE.sub(value, text)
        )

    def local(text: str, loc: Loc, *, embedded: bool) -> str:
        path = expand(text, loc)
        if embedded and not (folder / path).exists() and (found := embedded_path("datasets", path)):
            return str(found)
        return str((folder / path).resolve())

    def model(name: str, what: str, loc: Loc) -> str:
        """An embedded name, a folder, or else a hub id as it stands."""
        name = expand(name, loc)
        if (folder / name).is_dir() or re.match(r"[./~]", name):
            return str((folder / name).resolve())
        return str(embedded_path(what, name) or name) if name == "micro" else name

    def named(block: Any, key: str) -> None:
        """Locate the model, embedder and reranker of the spec or of one system's entry."""
        models = [block.get(k) for k in ("model", "embedder")] + [(block.get("retrieval") or {}).get("reranker")]
        for found, what in zip(models, ("model", "embedder", "reranker"), strict=True):
            if found and found.get("name") and not found.get("base_url"):
                found["name"] = model(found["name"], what, (key, what))

    data = spec.model_dump(exclude_unset=True)
    source = data["dataset"]
    for key in _PATHS:
        if source.get(key):
            source[key] = local(source[key], ("dataset", key), embedded=key == "path" and source["format"] == "native")
    if source.get("id"):
        source["id"] = model(source["id"], "dataset", ("dataset", "id"))
    data["embedder"] = {"name": spec.embedder.name} | data.get("embedder", {})
    for block, key in ((data, ""), *((entry, "systems") for entry in data["systems"])):
        named(block, key)
    return Spec.model_validate(data)


def embedded_path(what: str, name: str) -> Path | None:
    """Where an embedded dataset or micro model lies, in a checkout or in a wheel; None when it does not exist."""
    here = Path(__file__).resolve().parent
    places = {
        "datasets": (here / "datasets" / name, here.parent / "datasets" / name),
        "specs": (here / "specs" / f"{name}.yaml",),
        "model": (here.parent / "systems" / "micro" / "lm",),
        "embedder": (here.parent / "systems" / "micro" / "embedder",),
    }
    return next((p for p in places.get(what, ()) if p.exists()), None)
