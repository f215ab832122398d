"""What the command line says: text for a terminal, whatever a dataset or a model put into it."""

from __future__ import annotations

import typer

from bench.core.media import terminal


def say(text: str, *, err: bool = False) -> None:
    """Print a line, on stderr where `err` is set."""
    typer.echo(terminal(text), err=err)
