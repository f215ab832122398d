"""A world and its questions written as a native dataset."""

from __future__ import annotations

import shlex
from pathlib import Path

from bench.core.files import write_json
from bench.core.vocabulary import JSON
from bench.data.formats.native import write_parts
from bench.world.questions import MEANT, Quiz


def write(folder: Path, quiz: Quiz) -> dict[str, JSON]:
    """Write the world as a native dataset, and return what dataset.yaml says of it. Raises ValueError before it writes.

    The corpus is written as it is generated: memory does not grow with the world.
    """
    train, dev, test = quiz.examples()
    digests = write_parts(
        folder,
        quiz.corpus(),
        {"train": train, "dev": dev, "test": test},
        updates=quiz.world.updates(),
        paraphrases=quiz.world.restated(quiz.restated),
    )
    world = quiz.world
    options = {k: getattr(world, k) for k in ("seed", "pages", "facts", "wordings", "siblings", "skew", "updated")}
    options |= {k: getattr(quiz, k) for k in ("train", "dev", "test", "paraphrases", "unanswerable", "restated")}
    about: dict[str, JSON] = {
        "name": folder.resolve().name,
        "licence": "CC0-1.0",
        "seed": world.seed,
        "generated_by": " ".join(
            ["ragtune world", folder.resolve().name, *(f"--{k} {shlex.quote(str(v))}" for k, v in options.items())]
        ),
        "passages": world.pages + quiz.elsewhere.pages,
        "strata": MEANT,
        "sha256": digests,
    }
    write_json(folder / "dataset.yaml", about)  # JSON is YAML
    return about
