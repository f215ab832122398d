"""Where the paths of a spec point: variables, the spec's folder, and what is embedded in ragtune."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.core.errors import UserError
from bench.data.source import Source
from bench.spec.validation_errors import at
from bench.spec.yaml_lines import Loc

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


@dataclass(frozen=True)
class Paths:
    """Resolves the paths of one spec: ${NAME:-default} expanded, relative to the spec's folder.

    The spec as given stays what is recorded and hashed; what is located is what runs.
    """

    folder: Path
    where: str = "spec"
    lines: Mapping[Loc, int | str] = field(default_factory=dict)

    def expand(self, text: str, loc: Loc) -> str:
        """Raises UserError for a variable that is not set."""

        def value(match: re.Match[str]) -> str:
            found = os.environ.get(match[1], match[2])
            if found is None:
                raise UserError(
                    f"environment variable {match[1]} is not set.",
                    where=at(self.where, self.lines, loc),
                    remedy=f"Set it, or write ${{{match[1]}:-default}}.",
                )
            return found

        whole = _VARIABLE.sub(value, text)
        if "\0" in whole:
            raise UserError(
                f"`{'.'.join(map(str, loc))}` holds a NUL, which no path does.", where=at(self.where, self.lines, loc)
            )
        try:
            return str(Path(whole).expanduser()) if whole.startswith("~") else whole
        except RuntimeError:
            raise UserError(
                f"`{'.'.join(map(str, loc))}` begins with {whole.split('/')[0]!r}, and there is no such user's folder.",
                where=at(self.where, self.lines, loc),
            ) from None

    def dataset(self, source: Source) -> Source:
        """The dataset block with absolute paths, or that of the embedded dataset which it names."""
        found: dict[str, str] = {}
        for key in (*source.path_keys, *source.folder_or_id_keys):
            given = getattr(source, key)
            if given is None:
                continue
            text = self.expand(given, ("dataset", key))
            path = (self.folder / text).resolve()
            if key in source.path_keys or path.is_dir():
                found[key] = str(self._or_embedded(text) if source.may_be_embedded else path)
        return source.model_copy(update=found)

    def _or_embedded(self, text: str) -> Path:
        """A path from the spec's folder, or what is embedded under that name where there is none."""
        path = (self.folder / text).resolve()
        return path if path.exists() else embedded_path("datasets", text) or path

    def models(self, config: Any, key: str = "") -> Any:
        """A config with every model, embedder, reranker and file of answers or exercises located, however deep."""
        if not isinstance(config, dict):
            return config
        inner = {k: self.models(v, k) for k, v in config.items()}
        if key in ("model", "embedder", "reranker") and inner.get("name") and not inner.get("base_url"):
            inner["name"] = self.model(inner["name"], key)
        if key in ("answered", "replay") and inner.get("path"):
            inner["path"] = str(self._or_embedded(self.expand(inner["path"], (key, "path"))))
        return inner

    def model(self, name: str, what: str) -> str:
        """An embedded name, a folder, or else a hub id as it stands."""
        text = self.expand(name, (what, "name"))
        if (self.folder / text).is_dir() or re.match(r"[./~]", text):
            return str((self.folder / text).resolve())
        return str(embedded_path(what, text) or text) if text == "micro" else text


def embedded_path(what: str, name: str) -> Path | None:
    """Where an embedded dataset or micro model lies, in a checkout or in a wheel; None when it does not exist."""
    here = Path(__file__).resolve().parent.parent
    locations = {
        "datasets": (here / "datasets" / name, here.parent / "datasets" / name),
        "specs": (here / "specs" / f"{name}.yaml",),
        "model": (here.parent / "systems" / "micro" / "lm",),
        "embedder": (here.parent / "systems" / "micro" / "embedder",),
    }
    return next((p for p in locations.get(what, ()) if p.exists()), None)
