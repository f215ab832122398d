"""A run held against a baseline by rules: what the command line and pytest both do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import UserError
from bench.gate import snapshot
from bench.gate.decisions import confirmed, gate, judged
from bench.gate.noise import check_margins
from bench.gate.rules import load
from bench.gate.snapshot import Snapshot
from bench.scoring.schema.gate import Result


@dataclass(frozen=True)
class Held:
    """What was compared, and what each rule says of each system. `unasked`: why a judge could not be asked again."""

    new: Snapshot
    old: Snapshot
    results: Sequence[Result]
    unasked: str = ""


def held(run: Path, baseline: Path, rules: Path | None) -> Held:
    """A run and a baseline by the rules of a file, or by the default ones. What a judge's metric fails is asked once
    more of the judge: a verdict that does not come again fails nothing.

    Raises UserError where something cannot be read, the two are of different datasets, or a margin is below the noise.
    """
    given = load(rules)
    new, old = snapshot.read(run), snapshot.read(baseline)
    check_margins(given, old.floors, old.systems)
    results = gate(new, old, given)
    doubted = judged(results)
    if not doubted or not run.is_dir():
        return Held(new, old, results)
    try:
        again = snapshot.of_run(run, again=doubted)
    except UserError as e:
        return Held(new, old, results, str(e))
    return Held(new, old, confirmed(results, gate(again, old, given)))
