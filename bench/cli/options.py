"""What several verbs of the command line take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bench.spec.model import Spec

Set = Annotated[list[str], typer.Option("--set", metavar="A.B=C", help="Override a key of the spec; can be repeated.")]
SpecPath = Annotated[Path, typer.Argument(metavar="SPEC", help="A YAML spec; `quickstart` is the embedded one.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, such as reports/quickstart.")]
RunA = Annotated[Path, typer.Argument(metavar="A", help="The folder of the first run.")]
RunB = Annotated[Path | None, typer.Argument(metavar="[B]", help="The folder of the second run.")]
Out = Annotated[Path, typer.Option(help="Folder where runs are written.")]
Store = Annotated[Path | None, typer.Option(help="Folder of artefacts.  [default: $RAGTUNE_STORE or .ragtune/store]")]
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable output on stdout.")]


def load(path: Path, overrides: list[str]) -> Spec:
    """The spec of a file, or the embedded one of that name. Raises UserError."""
    from bench.spec import paths
    from bench.spec.load import load as load_spec

    embedded = paths.embedded_path("specs", str(path)) if not path.exists() and not path.suffix else None
    return load_spec(embedded or path, overrides)
