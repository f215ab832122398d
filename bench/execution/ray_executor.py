"""Cells as tasks of a Ray cluster: one cell a GPU, or one a machine where there is none.

Every node has ragtune installed, and sees the folders of `--out` and `--store` under the same paths. A node gives a
cell to each of its GPUs, and one alone where it has none, so that what is timed shares no processor. A cell whose
worker is lost runs again; one that failed, out of memory too, would fail again, and does not.

Turns of rounds are taken on one node, one after the other, when all cells have ended.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.core.errors import UserError
from bench.core.place import import_path
from bench.core.vocabulary import JSON
from bench.execution import environment
from bench.execution.cell_client import failed, run_job
from bench.execution.executors import Assignment, Executor, Terms
from bench.execution.job import Job
from bench.execution.progress import Progress

_LOG = logging.getLogger("ragtune")
ATTEMPTS = 3  # of a cell, whose worker may be lost each time
LOOK_S = 1.0  # how often the cluster is asked which nodes it has
DOUBT_S = 30.0  # for which a node that lost a worker gets no cell: Ray takes so long to notice that a node is gone
WAIT_S = 120.0  # for a first node, or for another when all are lost
REMEDY = "Start one with `ray start --head`, give its address, or leave --address out to use this machine."


@dataclass(frozen=True)
class Slot:
    """Room for one cell on a node: a GPU with its part of the processor, or the whole processor."""

    node: str
    number: int
    cpus: float
    gpus: float


def opening(address: str | None) -> Callable[[Terms], AbstractContextManager[Executor]]:
    """The executor of the cluster at an address (`host:port`, or `auto` for the one that runs here); without one, of a
    cluster of this machine alone, which ends with the run. Raises UserError without Ray, or without a cluster there."""
    ray = _ray()
    _must_answer(address)

    @contextmanager
    def opened(terms: Terms) -> Iterator[Executor]:
        try:
            with _own_signals():
                ray.init(
                    address=address or "local",
                    log_to_driver=False,
                    configure_logging=False,
                    runtime_env={"env_vars": {"PYTHONPATH": import_path()}},
                    **({} if address else {"include_dashboard": False}),
                )
        except (OSError, ValueError, RuntimeError) as e:
            raise _none_there(e) from None
        try:
            yield OnRay(terms)
        finally:
            ray.shutdown()

    return opened


def _must_answer(address: str | None) -> None:
    """Raises UserError where nothing answers at `host:port`: Ray itself would try for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host:
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except (OSError, ValueError) as e:
            raise _none_there(e) from None


def _none_there(error: Exception) -> UserError:
    return UserError(f"no cluster there: {str(error).splitlines()[0]}.", where="--address", remedy=REMEDY)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keeps what a run does on SIGTERM: Ray puts its own way out in its place."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def _ray() -> ModuleType:
    """Raises UserError where the extra is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise UserError(
            "needs the package ray.", where="--executor ray", remedy="Install it: pip install 'ragtune[ray]'."
        ) from None


@dataclass
class OnRay:
    """The nodes of a cluster, each with a cell in every slot."""

    terms: Terms
    _turns_on: tuple[Slot, ...] = ()
    _running: dict[Any, tuple[Assignment, tuple[Slot, ...]]] = field(default_factory=dict)
    _doubted: dict[str, float] = field(default_factory=dict)  # node -> until when it gets no cell

    def cells(self, assignments: Sequence[Assignment], tell: Progress) -> Iterator[Assignment]:
        """As many at a time as there are slots; they end in any order. Raises UserError where no node is left."""
        ray = _ray()
        waiting, lost = list(assignments), Counter[str]()
        try:
            while waiting or self._running:
                free = self._free()
                for assignment in list(waiting):
                    busy = {slot.node for _, room in self._running.values() for slot in room}
                    if room := place(assignment.job, free, busy):
                        waiting.remove(assignment)
                        free = [slot for slot in free if slot not in room]
                        tell.cell(assignment.job.cell, assignment.number)
                        self._running[_submit(assignment, self.terms, room)] = assignment, room
                if not self._running:
                    raise UserError(
                        "no node has as many GPUs as `tuning.processes` or `model.gpus` asks for.",
                        where=waiting[0].job.cell,
                        remedy="Ask for fewer, or start a larger node.",
                    )
                ended, _ = ray.wait(list(self._running), num_returns=1, timeout=LOOK_S)
                for task in ended:
                    assignment, room = self._running.pop(task)
                    try:
                        reason = _outcome(task, assignment)
                    except WorkerLost:
                        lost[assignment.job.cell] += 1
                        self._doubted[room[0].node] = time.monotonic() + DOUBT_S
                        shutil.rmtree(assignment.folder, ignore_errors=True)  # what the lost one may still write
                        if lost[assignment.job.cell] < ATTEMPTS:
                            _LOG.warning("%s: its worker is lost, and it runs again", assignment.job.cell)
                            waiting.insert(0, assignment)
                            continue
                        reason = failed(assignment.job, assignment.folder, LOST, begin=time.time())
                    yield assignment
                    tell.end(assignment.job.cell, reason, False)
        finally:
            for task in self._running:  # a run that is stopped leaves no cell behind
                with contextlib.suppress(ray.exceptions.RayError):
                    ray.cancel(task, force=True)
            self._running.clear()

    def turn(self, assignment: Assignment) -> None:
        """On the first node, for all turns of a run. Raises UserError where it is lost."""
        self._turns_on = self._turns_on or place(assignment.job, self._free()[:1])
        try:
            _outcome(_submit(assignment, self.terms, self._turns_on), assignment)
        except WorkerLost:
            raise UserError(
                "the machine on which the systems were timed is lost.",
                where="--executor ray",
                remedy="Run the same command again: what is done is kept.",
            ) from None

    def _free(self) -> list[Slot]:
        """The slots that may be given a cell. Waits for one where none is and nothing runs; raises UserError where
        none comes."""
        deadline = time.monotonic() + WAIT_S
        while True:
            now, taken = time.monotonic(), {slot for _, room in self._running.values() for slot in room}
            found = [s for s in slots(_ray().nodes()) if s not in taken and now > self._doubted.get(s.node, 0.0)]
            if found or taken:
                return found
            if now > deadline:
                raise UserError(
                    f"the cluster had no node with a processor for {WAIT_S:g} s.",
                    where="--address",
                    remedy="Start workers with `ray start --address HEAD`, and run the same command again.",
                )
            time.sleep(LOOK_S)


def slots(nodes: Sequence[JSON]) -> list[Slot]:
    """The slots of what `ray.nodes()` tells; a node that offers no processor, as some heads do, has none."""
    found = []
    for node in sorted(nodes, key=lambda n: str(n["NodeID"])):
        cpus, gpus = (float(node["Resources"].get(name, 0.0)) for name in ("CPU", "GPU"))
        if node["Alive"] and cpus >= 1:
            count = max(1, int(gpus))
            found += [Slot(node["NodeID"], n, cpus / count, min(gpus, 1.0)) for n in range(count)]
    return found


def place(job: Job, free: Sequence[Slot], busy: Collection[str] = ()) -> tuple[Slot, ...]:
    """Slots of one node for a job, as many as it takes GPUs; on a node without GPUs one. What is to be alone gets all
    slots of a node that is not `busy`. Empty where there is no room now."""
    for first in free:
        of_node = [slot for slot in free if slot.node == first.node]
        if job.alone:
            if first.node not in busy:
                return tuple(of_node)
            continue
        wanted = job.gpus if first.gpus else 1
        if len(of_node) >= wanted:
            return tuple(of_node[:wanted])
    return ()


class WorkerLost(RuntimeError):
    """A task ended with its worker, or with its node."""


LOST = f"its worker was lost {ATTEMPTS} times. Look at the nodes: `ray status`, and the logs in /tmp/ray."


def _submit(assignment: Assignment, terms: Terms, room: tuple[Slot, ...]) -> Any:
    """The task of an assignment in its slots; Ray itself does not run it again."""
    ray = _ray()
    placed = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(room[0].node, soft=False)
    task = ray.remote(see_through).options(
        num_cpus=sum(slot.cpus for slot in room),
        num_gpus=sum(slot.gpus for slot in room),
        max_retries=0,
        scheduling_strategy=placed,
    )
    return task.remote(assignment, terms, str(Path.cwd()))


def _outcome(task: Any, assignment: Assignment) -> str | None:
    """The reason why a job failed, or None. Raises WorkerLost where that is not known, because its worker is gone."""
    ray = _ray()
    try:
        reason: str | None = ray.get(task)
    except ray.exceptions.OutOfMemoryError as e:
        text = f"out of memory: {' '.join(str(e).split())[:300]} Use larger nodes, or a smaller batch."
        return failed(assignment.job, assignment.folder, text, begin=time.time())
    except ray.exceptions.RayTaskError as e:  # of the code around the cell, such as a folder that is not there
        text = f"could not run on its node: {e.cause!r}. Every node needs ragtune and the same folders."
        return failed(assignment.job, assignment.folder, text, begin=time.time())
    except ray.exceptions.RayError as e:
        raise WorkerLost from e
    return reason


def see_through(assignment: Assignment, terms: Terms, working_folder: str) -> str | None:
    """On the node: fork the cell from a server there. The reason why it failed, or None."""
    if Path(working_folder).is_dir():
        os.chdir(working_folder)  # what the spec names by a relative path
    job = replace(assignment.job, environment=_here(terms.threads))
    with terms.serving() as server:
        return run_job(server, job, assignment.folder, timeout_s=terms.timeout_s, watch=lambda *_: None)


@cache
def _here(threads: int) -> dict[str, JSON]:
    """What cells on this node must share with others for their times to be compared."""
    return environment.machine(environment.describe(threads))
