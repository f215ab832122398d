"""Where the cells of a run are seen through: here, one after the other, or on a Ray cluster.

Whatever the executor, a cell is forked from a server on the machine that runs it: what it measures is of a process of
its own, and what it leaves in its folder is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.core.errors import UserError
from bench.core.gpu import gpus
from bench.execution import environment
from bench.execution.cell_client import CellServer, run_job, server
from bench.execution.job import Job
from bench.execution.progress import Progress

PRELOAD = ("systems.parts.reader",)  # what every built-in kind imports when it is built
PRELOAD_ON_GPU = ("torch", "transformers.modeling_utils")  # of that, what opens no device: it survives a fork


@dataclass(frozen=True)
class Assignment:
    """A job, and the folder that it writes to."""

    number: int  # of the cell in the run, from 1
    job: Job
    folder: Path


@dataclass(frozen=True)
class Terms:
    """What holds for every job of a run."""

    threads: int  # of every numeric library
    builtin: bool  # whether any cell is of a kind that ragtune brings
    log: Path  # of a server, for what no cell said
    timeout_s: float  # of one job

    @property
    def preload(self) -> tuple[str, ...]:
        """The modules that a server on this machine imports before it forks.

        None where all kinds are the user's own: the harness does not know what they import. On a GPU machine only a
        part: bitsandbytes opens the device when it is imported, and CUDA does not survive a fork.
        """
        if not self.builtin:
            return ()
        return PRELOAD_ON_GPU if gpus() else PRELOAD

    def serving(self) -> AbstractContextManager[CellServer]:
        """A server on this machine."""
        return server(environment.for_cells(self.threads), self.log, self.preload)


class Executor(Protocol):
    """Sees the jobs of a run through."""

    def cells(self, assignments: Sequence[Assignment], tell: Progress) -> Iterator[Assignment]:
        """Run every cell to its end, tell of it, and yield it. One that failed says so in its folder."""

    def turn(self, assignment: Assignment) -> None:
        """Run one turn of a round: all turns on one machine, with nothing beside them."""


Opening = Callable[[Terms], AbstractContextManager[Executor]]


@dataclass(frozen=True)
class Local:
    """On this machine, one cell at a time: what is timed has the machine to itself."""

    server: CellServer
    terms: Terms

    def cells(self, assignments: Sequence[Assignment], tell: Progress) -> Iterator[Assignment]:
        """One after the other, in the order of the spec."""
        for a in assignments:
            tell.cell(a.job.cell, a.number)
            reason = run_job(self.server, a.job, a.folder, timeout_s=self.terms.timeout_s, watch=tell.stage)
            yield a
            tell.end(a.job.cell, reason, False)

    def turn(self, assignment: Assignment) -> None:
        """The turn; the run has told of it."""
        run_job(self.server, assignment.job, assignment.folder, timeout_s=self.terms.timeout_s, watch=lambda *_: None)


@contextmanager
def local(terms: Terms) -> Iterator[Executor]:
    """The executor of this machine; its server stays for the next run of this process that needs the same one."""
    with terms.serving() as found:
        yield Local(found, terms)


def chosen(name: str, address: str | None) -> Opening:
    """The executor of a name: `local`, or `ray` with the address of a cluster. Raises UserError."""
    if name == "local" and address is None:
        return local
    if name == "ray":
        from bench.execution import ray_executor

        return ray_executor.opening(address)
    if name == "local":
        raise UserError("is of a Ray cluster.", where="--address", remedy="Give --executor ray too.")
    raise UserError(f"unknown executor {name!r}.", where="--executor", remedy="Give local or ray.")
