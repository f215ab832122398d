"""Cells on a real Ray cluster of two workers: answers as here, whatever becomes of a worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from bench.execution import ray_executor
from bench.execution.job import Job
from bench.execution.ray_executor import Slot
from tests import processes
from tests.conftest import ROOT
from tests.processes import ECHO, await_lines, finish, left_behind, records, undisturbed

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ragtune[ray]")


@pytest.fixture(scope="module")
def cluster() -> Iterator[subprocess.Popen[str]]:
    """The cluster; a line to it kills a worker."""
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, "-m", "tests.ray_cluster"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes) as found:
        yield found
        assert found.stdin is not None
        found.stdin.close()


def tell(cluster: subprocess.Popen[str], line: str) -> None:
    assert cluster.stdin is not None
    cluster.stdin.write(line)
    cluster.stdin.flush()


def hear(cluster: subprocess.Popen[str]) -> str:
    assert cluster.stdout is not None
    return cluster.stdout.readline().strip()


@pytest.fixture(scope="module")
def on_ray(cluster: subprocess.Popen[str]) -> tuple[str, ...]:
    """The options of a run on the cluster."""
    return ("--executor", "ray", "--address", hear(cluster))


def until(lines: Iterable[str], mark: str) -> Iterator[str]:
    """The first line with a mark; every line before it is passed over. Nothing where they end without one."""
    for line in lines:
        if mark in line:
            yield line
            return


def gated(tmp_path: Path, name: str, **changes: Any) -> dict[str, Any]:
    """A system that answers five questions, and the others once there is a gate."""
    files = {"tally": str(tmp_path / f"tally-{name}"), "gate": str(tmp_path / "gate")}
    return {"name": name, "kind": ECHO, "after": 5, **files, **changes}


@pytest.mark.heavy
def test_a_worker_is_killed_and_the_records_are_those_of_a_run_here(
    cluster: subprocess.Popen[str], on_ray: tuple[str, ...], tmp_path: Path
) -> None:
    systems = [gated(tmp_path, "a"), gated(tmp_path, "b"), {"name": "c", "kind": ECHO}]
    changes = {"systems": systems, "measure": {"latency_questions": 8, "warmup": 0, "rounds": 1}}
    run = processes.start(tmp_path, cli=True, options=on_ray, **changes)
    for name in "ab":  # a cell on each worker, side by side
        await_lines(tmp_path / f"tally-{name}", 5)
    tell(cluster, "kill\n")
    assert hear(cluster) == "killed"
    assert run.stderr is not None
    lost = list(until(run.stderr, "its worker is lost, and it runs again"))  # no answer comes before
    assert len(lost) == 1
    (tmp_path / "gate").touch()
    code, _, err = finish(run)
    assert code == 0 and "is lost" not in err, err
    assert records(tmp_path / "r" / "t") == undisturbed(tmp_path, **changes)
    cells = json.loads((tmp_path / "r" / "t" / "run.json").read_text())["cells"]
    assert [len(cell["turns"]) for cell in cells.values()] == [1, 1, 1]
    assert not left_behind(str(tmp_path / "r"))


@pytest.mark.heavy
def test_a_cell_that_ran_out_of_memory_does_not_run_again(on_ray: tuple[str, ...], tmp_path: Path) -> None:
    systems = [gated(tmp_path, "killed", fault="kill", gate=None), {"name": "well", "kind": ECHO}]
    code, _, err = finish(processes.start(tmp_path, cli=True, options=on_ray, systems=systems))
    assert code == 1 and "as the system does when memory runs out" in err
    assert "runs again" not in err and "failed: well" not in err
    assert len((tmp_path / "tally-killed").read_text().splitlines()) == 5


@pytest.mark.heavy
@pytest.mark.parametrize(
    "given, told",
    [
        (["--executor", "ray", "--address", "127.0.0.1:1"], "no cluster there"),
        (["--executor", "ray", "--address", "here:there"], "no cluster there"),
        (["--address", "127.0.0.1:1"], "Give --executor ray too"),
        (["--executor", "slurm"], "Give local or ray"),
    ],
)
def test_no_such_executor_is_one_line(tmp_path: Path, given: list[str], told: str) -> None:
    code, _, err = finish(processes.start(tmp_path, cli=True, options=given))
    assert code == 2 and told in err and "Traceback" not in err
    assert not (tmp_path / "r").exists()


def test_a_node_has_a_cell_for_each_gpu_and_one_without() -> None:
    def node(name: str, *, alive: bool = True, **resources: float) -> dict[str, Any]:
        return {"NodeID": name, "Alive": alive, "Resources": resources}

    nodes = [node("head", CPU=0.0), node("gone", alive=False, CPU=8.0), node("gpus", CPU=16.0, GPU=2.0)]
    found = ray_executor.slots([*nodes, node("plain", CPU=8.0)])
    assert [(s.node, s.cpus, s.gpus) for s in found] == [("gpus", 8.0, 1.0), ("gpus", 8.0, 1.0), ("plain", 8.0, 0.0)]


def test_a_cell_of_several_processes_has_as_many_gpus_of_one_node() -> None:
    def job(processes: int, number: int | None = None) -> Job:
        config = {"tuning": {"processes": processes}}
        return Job("c", "s", "lora", 1, "i", config, "t", "s", 0, 0, [], {}, round=number)

    free = [Slot("one", 0, 4.0, 1.0), Slot("two", 0, 4.0, 1.0), Slot("two", 1, 4.0, 1.0), Slot("plain", 0, 8.0, 0.0)]
    assert [(s.node, s.number) for s in ray_executor.place(job(1), free)] == [("one", 0)]
    assert [(s.node, s.number) for s in ray_executor.place(job(2), free[:3])] == [("two", 0), ("two", 1)]
    assert [s.node for s in ray_executor.place(job(2), free[3:])] == ["plain"]
    assert ray_executor.place(job(3), free[:3]) == ()
    assert len(ray_executor.place(job(3, number=1), free)) == 1  # a turn answers, and does not train
