"""What several verbs of the command line take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Set = Annotated[
    list[str], typer.Option("--set", metavar="A.B=C", help="Override a key of the spec; may be given again.")
]
SpecPath = Annotated[Path, typer.Argument(metavar="SPEC", help="A YAML spec; `quickstart` is the embedded one.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, such as reports/quickstart.")]
Store = Annotated[Path | None, typer.Option(help="Folder of artefacts.  [default: $RAGTUNE_STORE or .ragtune/store]")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]


def load(path: Path, overrides: list[str]) -> Any:
    from bench.spec import paths
    from bench.spec.load import load

    embedded = paths.embedded_path("specs", str(path)) if not path.exists() and not path.suffix else None
    return load(embedded or path, overrides)
