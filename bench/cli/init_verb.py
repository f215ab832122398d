"""The verb `init`: a spec for one's own data, or a small example that runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli.say import say


def init(
    path: Annotated[Path, typer.Argument(metavar="SPEC", help="The spec to write.")] = Path("ragtune.yaml"),
    data: Annotated[
        str | None, typer.Option(help="Your data: a native folder, SQuAD JSON, records, or a folder of documents.")
    ] = None,
    questions: Annotated[str | None, typer.Option(help="JSONL of questions, for a folder of documents.")] = None,
    model: Annotated[str | None, typer.Option(help="Base model: a folder or hub id.")] = None,
    embedder: Annotated[str | None, typer.Option(help="Embedder: a folder or hub id.")] = None,
    example: Annotated[
        Path | None, typer.Option(help="Write a small example instead, data and spec, into this new folder.")
    ] = None,
) -> None:
    """Write a commented spec for your own data. On a terminal it asks for what no option gives."""
    from bench.spec import init as drafts

    if example is not None:
        path, data = example / "ragtune.yaml", _example(example)
    asked = _asked(data, questions, model, embedder)
    say(drafts.write(path, **asked))
    say(f"Wrote {path}. Next: ragtune validate {path}, then ragtune plan {path}, then ragtune run {path}.")


def _example(folder: Path) -> str:
    """Write a small dataset into a new folder, and return its path. Raises UserError."""
    from bench.core.errors import UserError
    from bench.world.dataset import write
    from bench.world.questions import Quiz
    from bench.world.world import World

    if folder.exists():
        raise UserError("this folder exists.", where=str(folder), remedy="Give a new one.")
    plant = World("example", 60, 4, 1, 2, 0.0, 0.15)
    write(folder / "data", Quiz(plant, 60, 0, 40, 3, 0.15, 0))
    return str(folder / "data")


def _asked(data: str | None, questions: str | None, model: str | None, embedder: str | None) -> dict[str, Any]:
    """What the options give; the rest is asked for on a terminal, and has its default elsewhere. Raises UserError."""
    from bench.core.errors import UserError

    asks = sys.stdin.isatty()
    if data is None and not asks:
        raise UserError(
            "no data was given.",
            where="ragtune init",
            remedy="Give --data PATH, or --example DIR for a small example that runs.",
        )
    if data is None:
        data = typer.prompt("Your data (a folder of documents, a native folder, SQuAD .json, or records)")
    if asks and questions is None and Path(data).is_dir() and not (Path(data) / "corpus.jsonl").exists():
        questions = typer.prompt("Questions about the documents (JSONL)")
    model = model or (typer.prompt("Base model", default="micro") if asks else "micro")
    embedder = embedder or (typer.prompt("Embedder", default="micro") if asks else "micro")
    return {"data": data, "questions": questions, "model": model, "embedder": embedder}
