"""How a run shows where it is: a live line on a terminal, plain lines elsewhere, JSON lines for scripts."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bench.core.display import span
from bench.execution.progress import Progress as Tell

EVERY_S = 30.0  # how often a stage that lasts says how far it is, where there is no terminal
STAGES = {
    "start": "starting",
    "chunks": "cutting",
    "embeddings": "embedding",
    "index": "indexing",
    "adapter": "training",
    "merged": "merging",
    "answer": "answering",
}


@contextmanager
def progress(as_json: bool) -> Iterator[Tell]:
    """Whoever shows a run: JSON lines, bars on a terminal, or plain lines."""
    if as_json:
        yield Lines(as_json=True)
    elif sys.stderr.isatty():
        with Live() as live:
            yield live
    else:
        yield Lines(as_json=False)


@dataclass
class Lines:
    """One line on stderr at each change of cell or stage."""

    as_json: bool
    cells: int = 0
    number: int = 0
    name: str = ""
    stages: list[str] = field(default_factory=list)
    began: dict[str, float] = field(default_factory=dict)  # cell -> when; several run at a time on a cluster
    staged: float = 0.0  # when the stage began
    told: float = 0.0  # when something was last said of it
    clock: Callable[[], float] = time.monotonic
    turns: set[tuple[str, int]] = field(default_factory=set)

    def begin(self, cells: int) -> None:
        """A run of so many cells begins."""
        self.cells = cells
        self._say({"event": "begin", "cells": cells}, f"{cells} cells")

    def cell(self, name: str, number: int) -> None:
        """A cell begins."""
        self.name, self.number, self.stages, self.began[name] = name, number, [], time.monotonic()

    def stage(self, name: str, done: int, total: int) -> None:
        """A cell is at a stage: said when it begins, and how far it is every half minute."""
        now, about = self.clock(), f"[{self.number}/{self.cells}] {self.name}: {STAGES.get(name, name)}"
        if name not in self.stages:
            self.stages.append(name)
            self.staged = self.told = now
            self._say({"event": "stage", "cell": self.name, "stage": name}, about)
        elif now - self.told >= EVERY_S and total:
            self.told = now
            left = (now - self.staged) * (total - done) / done if done else None
            rest = f", about {span(left)} left" if left is not None else ""
            told = {"event": "progress", "cell": self.name, "stage": name, "done": done, "total": total, "left_s": left}
            self._say(told, f"{about}, {done:,} of {total:,}{rest}")

    def end(self, name: str, reason: str | None, cached: bool) -> None:
        """A cell has ended."""
        seconds = 0.0 if cached else round(time.monotonic() - self.began.get(name, time.monotonic()), 1)
        state = "cached" if cached else "done"
        if reason:
            state = "failed"
        line = f"{name}: {state}" + (f" in {seconds} s" if not cached else "") + (f": {reason}" if reason else "")
        self._say({"event": "end", "cell": name, "state": state, "seconds": seconds, "reason": reason}, line)

    def turn(self, name: str, number: int, rounds: int) -> None:
        """A cell has its turn in a round."""
        again = " again, for the machine was busy" if (name, number) in self.turns else ""
        self.turns.add((name, number))
        self._say({"event": "turn", "cell": name, "round": number}, f"round {number} of {rounds}{again}: {name}")

    def _say(self, event: dict[str, object], line: str) -> None:
        print(json.dumps(event) if self.as_json else line, file=sys.stderr, flush=True)


class Live:
    """One line: which cells run and how many are done, the stage of the last that began, its rate and time left."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self.cells = self.ended = 0
        self.running: list[str] = []  # several at a time on a cluster
        self.shown = ""
        self.line = self.bars.add_task("", total=None, rate="", visible=False)

    def __enter__(self) -> Live:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def begin(self, cells: int) -> None:
        """A run of so many cells begins."""
        self.cells = cells

    def cell(self, name: str, number: int) -> None:
        """A cell begins."""
        self.running.append(name)
        self._show("")

    def stage(self, name: str, done: int, total: int) -> None:
        """A cell is at a stage, and how far."""
        if name != self.shown:
            self._show(name)
        task = self.bars.tasks[0]
        rate = f"{task.speed:.1f}/s" if task.speed else ""
        self.bars.update(self.line, completed=done, total=total or None, rate=rate)

    def end(self, name: str, reason: str | None, cached: bool) -> None:
        """A cell has ended."""
        self.ended += 1
        self.running.remove(name)
        if not cached:
            self.console.print(f"{name}: {'failed: ' + reason if reason else 'done'}", markup=False, highlight=False)

    def turn(self, name: str, number: int, rounds: int) -> None:
        """A cell has its turn in a round."""
        self._begin(f"round {number} of {rounds}: {name}")

    def _show(self, stage: str) -> None:
        self.shown = stage
        at = f"[{self.ended + len(self.running)}/{self.cells}] {', '.join(self.running)}"
        self._begin(f"{at}: {STAGES.get(stage, stage)}" if stage else at)

    def _begin(self, described: str) -> None:
        """Another line in the place of the last: rich keeps the total of one that is reset."""
        self.bars.remove_task(self.line)
        self.line = self.bars.add_task(described, total=None, rate="")


@contextmanager
def bar(what: str, *, quietly: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, and a line at every tenth elsewhere; `quietly`: a line every 30 s there."""
    if sys.stderr.isatty():
        with Progress(
            TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True)
        ) as live:
            task = live.add_task(what)
            yield lambda done, total: live.update(task, completed=done, total=total)
        return

    told = [time.monotonic()]

    def tell(done: int, total: int) -> None:
        tenth = done == total or done * 10 // total > (done - 1) * 10 // total
        if time.monotonic() - told[0] >= EVERY_S if quietly else tenth:
            told[0] = time.monotonic()
            print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)

    yield tell
