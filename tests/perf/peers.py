"""The rows of the table that `make bench` ends with, and the processes of what they are measured against."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from bench.core.files import write_json
from bench.core.place import import_path
from bench.execution.environment import SETTINGS
from bench.stats import paired_timing

HERE = Path(__file__).parent
PLANT = HERE.parent.parent / "datasets" / "plant"
PAIRS = 7
OUT = Path(".ragtune") / "bench"  # the table as JSON and as Markdown


@dataclass(frozen=True)
class Row:
    """One measured row: ours over the peer's, the median of pairs with its tenths; `target` is what it should be."""

    number: str  # of the list of targets, such as P1
    what: str
    peer: str
    value: float
    low: float
    high: float
    pairs: int
    target: float | None = None
    note: str = ""
    unit: str = ""

    @property
    def met(self) -> str:
        """Whether the target is met; a row without one is there to be read."""
        if self.target is None:
            return "-"
        return "yes" if self.value <= self.target else f"no, by {self.value / self.target - 1:.0%}"

    @property
    def measured(self) -> str:
        """The value with its tenths."""
        spread = f" ({self.low:.3g} to {self.high:.3g})" if self.pairs > 1 else ""
        return f"{self.value:.3g}{self.unit}{spread}"


ROWS: list[Row] = []


def record(number: str, what: str, peer: str, ratios: Sequence[float], **more: Any) -> Row:
    """A row of the table: the median of the ratios with its tenths."""
    tenths = statistics.quantiles(ratios, n=10, method="inclusive") if len(ratios) > 1 else [ratios[0]] * 9
    row = Row(number, what, peer, statistics.median(ratios), tenths[0], tenths[-1], len(ratios), **more)
    ROWS.append(row)
    return row


def told(
    benchmark: Any, number: str, what: str, peer: str, ratios: Sequence[float], ours: Callable[[], object], **more: Any
) -> float:
    """The median of the ratios, told as a row; the benchmark's own time is of ours alone."""
    row = record(number, what, peer, ratios, **more)
    benchmark.extra_info |= asdict(row) | {"ratio": row.value, "threads": threads()}
    benchmark.pedantic(ours, rounds=1, iterations=1)
    return row.value


def in_turns(ours: Callable[[], object], peer: Callable[[], object], pairs: int = PAIRS) -> list[float]:
    """Ours over the peer's, pair by pair; who goes first alternates."""
    return [a / b for a, b in paired_timing.in_turns(ours, peer, pairs=pairs, warmup=1)]


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| | what | against | measured | target | met | note |", "|---|---|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda r: (int(r.number[1:]) if r.number[1:].isdigit() else 99, r.what)):
        target = "-" if row.target is None else f"{row.target:.3g}{row.unit}"
        lines.append(f"| {row.number} | {row.what} | {row.peer} | {row.measured} | {target} | {row.met} | {row.note} |")
    return "\n".join(lines) + "\n"


def write(rows: Sequence[Row]) -> None:
    """Leave the table as JSON and as Markdown."""
    about = {"threads": threads(), "cpu": os.cpu_count()}
    write_json(OUT / "bench.json", {"about": about, "rows": [asdict(row) for row in rows]})
    (OUT / "bench.md").write_text(table(rows))


class Peer:
    """A process of `peer.py`, with the Python of the peers unless another is given."""

    def __init__(self, name: str, *, threads: int, python: str | None = None) -> None:
        python = python or os.environ.get("RAGTUNE_PEERS", "")
        if not python:
            pytest.skip("RAGTUNE_PEERS names no Python that has the peers; `make bench` makes one")
        self._process = subprocess.Popen(
            [python, str(HERE / "peer.py"), name, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=plain(os.environ),
        )

    def ask(self, **asked: Any) -> Any:
        """What the peer says to it."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the peer ended with {self._process.wait()}"
        return json.loads(line)["result"]

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()


def threads() -> int:
    """Threads of every numeric library: what `OMP_NUM_THREADS` said when the process began."""
    return int(os.environ["OMP_NUM_THREADS"])


def here(environment: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of a process that imports this project."""
    return {**os.environ, "PYTHONPATH": import_path(), **(environment or {})}


def plain(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment as people have it: without what a run sets for its cells, threads apart."""
    return {name: value for name, value in environment.items() if name not in SETTINGS}
