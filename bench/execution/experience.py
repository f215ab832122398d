"""What cells took on this machine, kept beside the artefacts, so that a plan can tell what the next ones will take."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from bench.core.errors import UserError
from bench.core.files import read_jsonl
from bench.core.vocabulary import JSON
from bench.execution.arithmetic import Needed

NAME = "cells.jsonl"
EXPERIMENT = "experiment"  # the part that an experiment is, as a whole
LIKE = 4.0  # times as many operations, or as few, that count as a size that was run before
NEAREST = 5  # of them, whose median is told


@dataclass(frozen=True)
class Took:
    """Seconds of one part of a cell: answering, or training, of a kind; and the operations that arithmetic gives it."""

    part: str
    kind: str
    operations: float
    seconds: float
    place: str


def remember(root: Path, at: str, kind: str, needed: Needed, result: Mapping[str, JSON]) -> None:
    """Keep what a cell that is done took on the device `at`; what it found in the store is not in it."""
    if needed.is_experiment:
        whole = Took(
            EXPERIMENT, kind, needed.answering + needed.training, float(result["ended"] - result["started"]), at
        )
        _keep(root, [whole])
        return
    built = {a["kind"]: float(a["build_s"]) for a in result.get("artefacts") or () if not a["hit"]}
    trained = built.get("adapter")
    answering = float(result["ended"] - result["started"]) - sum(built.values())
    rows = [Took("answering", kind, needed.answering, max(answering, 1e-3), at)]
    if trained:
        rows.append(Took("training", kind, needed.training, trained, at))
    _keep(root, rows)


def _keep(root: Path, rows: Sequence[Took]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f"{NAME}.lock"), (root / NAME).open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)


def remembered(root: Path, at: str) -> list[Took]:
    """What was kept of the device `at`; nothing where the file is damaged."""
    try:
        found = [Took(**row) for _, row in read_jsonl(root / NAME)]
    except (UserError, OSError, TypeError):
        return []
    return [took for took in found if took.place == at]


def expected_s(before: Sequence[Took], part: str, kind: str, operations: float) -> float | None:
    """Seconds by those of the same kind that come nearest in size, as many times as the operations are more; None where
    nothing of that size was run here."""
    alike = [t for t in before if t.part == part and t.kind == kind and t.operations > 0 and operations > 0]
    near = sorted(alike, key=lambda t: abs(math.log(t.operations / operations)))[:NEAREST]
    ratios = [t.seconds * operations / t.operations for t in near if 1 / LIKE <= t.operations / operations <= LIKE]
    return statistics.median(ratios) if ratios else None
