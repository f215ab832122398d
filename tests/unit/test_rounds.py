"""Rounds: their order, what is taken again, and what the intervals of their times hold."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from bench.execution import environment
from bench.execution.rounds import disturbed, take_rounds, timed_cells, turn_folder
from bench.execution.run import Silent, run
from bench.execution.run_folder import cell_folder
from bench.spec.cells import Cell, cells
from bench.spec.load import parse
from bench.stats.rounds import is_off, repeated, spreads, uneven, widened, within
from tests.conftest import raw_spec, scores_json


def finished(folder: Path, names: str) -> list[Cell]:
    """Cells that have ended well, as a run leaves them."""
    made = cells(parse(raw_spec(systems=[{"name": n, "kind": "tests.kinds.echo"} for n in names])))
    for cell in made:
        path = cell_folder(folder, cell.id)
        path.mkdir(parents=True)
        (path / "result.json").write_text(json.dumps({"status": "done", "identity": cell.id, "load_s": 0.0}))
    return made


class Machine:
    """Takes turns, beside yardsticks that are given: of the turn that is taken at each place, 1 elsewhere."""

    def __init__(self, folder: Path, off: dict[int, float]) -> None:
        self.folder, self.off, self.taken = folder, off, list[tuple[str, int]]()

    def take(self, cell: Cell, number: int) -> None:
        seconds = self.off.get(len(self.taken), 1.0)
        self.taken.append((cell.system, number))
        path = turn_folder(self.folder, cell, number)
        path.mkdir(parents=True, exist_ok=True)
        told = {"status": "done", "identity": cell.id, "round": number, "yardstick_s": [1.0, seconds]}
        told |= {"alone_s": {}, "batches": []}
        (path / "result.json").write_text(json.dumps(told))


def test_rounds_go_there_and_back(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {})
    take_rounds(tmp_path, finished(tmp_path, "abc"), rounds=3, take=machine.take)
    assert "".join(name for name, _ in machine.taken) == "abccbaabc"


def test_a_disturbed_turn_is_taken_again_and_told_if_it_stays_so(tmp_path: Path) -> None:
    made = finished(tmp_path, "ab")
    once = Machine(tmp_path, {1: 1.3})
    take_rounds(tmp_path, made, rounds=3, take=once.take)
    assert once.taken[6:] == [("b", 1)] and disturbed(tmp_path, made, 3) == []
    always = Machine(tmp_path / "t", dict.fromkeys((1, 6, 7), 1.3))
    others = finished(tmp_path / "t", "ab")
    take_rounds(tmp_path / "t", others, rounds=3, take=always.take)
    assert always.taken[6:] == [("b", 1)]
    assert [(c.system, n) for c, n in disturbed(tmp_path / "t", others, 3)] == [("b", 1)]


def test_of_many_disturbed_turns_a_third_is_taken_again(tmp_path: Path) -> None:
    """Those that are farthest off: a machine that is off half the time has no usual state to wait for."""
    made = finished(tmp_path, "ab")
    restless = Machine(tmp_path, {1: 1.5, 2: 1.2, 4: 1.7})
    take_rounds(tmp_path, made, rounds=3, take=restless.take)
    assert restless.taken[6:] == [("a", 3), ("b", 1)]
    assert [(c.system, n) for c, n in disturbed(tmp_path, made, 3)] == [("b", 2)]  # it stays, and is marked


def test_turns_that_are_there_stay(tmp_path: Path) -> None:
    made, machine = finished(tmp_path, "ab"), Machine(tmp_path, {})
    take_rounds(tmp_path, made, rounds=1, take=machine.take)
    take_rounds(tmp_path, made, rounds=2, take=machine.take)
    assert machine.taken == [("a", 1), ("b", 1), ("b", 2), ("a", 2)]


@pytest.mark.heavy
def test_a_run_times_its_systems_in_rounds(tmp_path: Path) -> None:
    """Through real processes: the slower system is slower in every round, and an experiment has no turn."""
    systems = [{"name": "a", "kind": "tests.kinds.echo"}, {"name": "b", "kind": "tests.kinds.echo", "delay_s": 0.03}]
    seen: list[tuple[str, int]] = []

    class Tell(Silent):
        def turn(self, name: str, number: int, rounds: int) -> None:
            seen.append((name, number))

    spec = parse(raw_spec(systems=systems, measure={"rounds": 2, "warmup": 0, "latency_questions": 12}))
    outcome = run(spec, out=tmp_path / "r", store=tmp_path / "s", progress=Tell())
    assert seen[:4] == [("a-s1", 1), ("b-s1", 1), ("b-s1", 2), ("a-s1", 2)]
    speeds = {name: s["speed"] for name, s in scores_json(outcome.folder)["systems"].items()}
    for quick, slow in zip(speeds["a"]["rounds"], speeds["b"]["rounds"], strict=True):
        assert quick["p50_s"] < 0.03 <= slow["p50_s"] and quick["questions_per_s"] > slow["questions_per_s"]
    assert run(spec, out=tmp_path / "r", store=tmp_path / "s").computed == 0
    again = parse(raw_spec(systems=systems, measure={"warmup": 0, "latency_questions": 12}))
    assert run(again, out=tmp_path / "r", store=tmp_path / "s").computed == 0  # rounds are no part of a cell


def test_who_is_timed(tmp_path: Path) -> None:
    made = finished(tmp_path, "abc")
    slow = cell_folder(tmp_path, made[0].id) / "result.json"
    slow.write_text(json.dumps({"status": "done", "identity": "a", "load_s": 31.0}))  # an own kind that builds long
    failed = cell_folder(tmp_path, made[1].id) / "result.json"
    failed.write_text(json.dumps({"status": "failed", "reason": "x"}))
    assert [cell.system for cell in timed_cells(tmp_path, made)] == ["c"]


def test_spreads_by_hand() -> None:
    """Logarithms -1, 0, 1 and -1/2, 0, 1/2 around their systems' means: squares 2 and 1/2, with 2 degrees of freedom
    each."""
    e = math.e
    times = {"a": {1: 1 / e, 2: 1.0, 3: e}, "b": {1: 5 / math.sqrt(e), 2: 5.0, 3: 5 * math.sqrt(e)}}
    found = spreads(times)["a"]
    assert found == spreads(times)["b"] and found.df == 4 and found.sd == pytest.approx(math.sqrt(2.5 / 4))
    left = within(times)  # rounds have -3/4, 0, 3/4 in common; what is left is 1/4 in four places
    assert left is not None and left.df == 2 and left.sd == pytest.approx(math.sqrt(4 * 0.0625 / 2))
    both = repeated([1.0, 2.0, 4.0], found)
    assert both is not None and both.mean == pytest.approx(2.0) and both.low * both.high == pytest.approx(4.0)
    half = 2.776445 * math.sqrt(2.5 / 4) / math.sqrt(3)  # Student's t with four degrees of freedom
    assert both.high == pytest.approx(2.0 * math.exp(half), rel=1e-6)
    assert spreads({"a": {1: 1.0}}) == {} and within({"a": {1: 1.0, 2: 2.0}}) is None and repeated([1.0], None) is None


def test_a_system_that_varies_more_than_the_others_has_its_own_spread() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(300):
        sd = {"endpoint": 0.3, "a": 0.01, "b": 0.01, "c": 0.01, "d": 0.01}
        times = {name: {n: float(rng.lognormal(0, of)) for n in range(3)} for name, of in sd.items()}
        found = repeated(list(times["endpoint"].values()), spreads(times)["endpoint"])
        held += found is not None and found.low <= 1.0 <= found.high
        assert not uneven(times) - {"endpoint"} or len(uneven(times)) < 3
    assert held / 300 >= 0.9
    alike = {str(i): {n: float(rng.lognormal(0, 0.1)) for n in range(3)} for i in range(5)}
    assert len(set(spreads(alike).values())) == 1


def test_intervals_of_rounds_cover() -> None:
    """Five systems, three rounds with noise of their own and noise that all share: of one system, and of two."""
    rng = np.random.default_rng(1)
    alone = pairs = 0
    for _ in range(600):
        logs = rng.normal(0, 0.2, (1, 3)) + rng.normal(0, 0.1, (5, 3))
        times = {str(i): {n: float(np.exp(v)) for n, v in enumerate(row)} for i, row in enumerate(logs)}
        left = within(times)
        assert left is not None
        ratio = float((logs[0] - logs[1]).mean())
        pairs += abs(ratio) <= left.half_width(2 / 3)
        own = {
            str(i): {n: float(np.exp(v)) for n, v in enumerate(row)} for i, row in enumerate(rng.normal(0, 0.2, (5, 3)))
        }
        found = repeated(list(own["0"].values()), spreads(own)["0"])
        assert found is not None
        alone += found.low <= 1.0 <= found.high
    assert 0.93 <= alone / 600 <= 0.97 and 0.93 <= pairs / 600 <= 0.97


def test_independent_reasons_add_as_squares() -> None:
    low, high = widened(10.0, (10 / 1.3, 10 * 1.3), (10 / 1.4, 10 * 1.4))
    both = np.exp(np.hypot(np.log(1.3), np.log(1.4)))
    assert (low, high) == pytest.approx((10 / both, 10 * both))
    assert is_off([1.0, 1.16], 1.0) and is_off([0.84, 1.0], 1.0) and not is_off([0.86, 1.14], 1.0)


@pytest.mark.parametrize(
    ("seconds", "threads"),
    [
        ({1: 1.0, 2: 0.55, 4: 0.30}, 4),  # an idle machine
        ({1: 1.0, 2: 4.0, 4: 9.0}, 1),  # a busy one: threads wait for one another
        ({1: 1.0, 2: 0.95, 4: 0.93}, 1),  # nothing gained
        ({1: 1.0, 2: 0.5, 4: 0.49}, 2),
    ],
)
def test_as_many_threads_as_are_quickest(
    seconds: dict[int, float], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = iter(seconds.values())
    monkeypatch.setattr(environment.os, "sched_getaffinity", lambda _: set(range(4)))
    monkeypatch.setattr(environment, "_seconds", lambda work, rounds: [next(taken)] * rounds)
    assert environment.calibrated_threads.__wrapped__() == threads


def test_cells_have_the_threads_that_the_run_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def threads(measure: dict[str, int], name: str, usual: int) -> int:
        monkeypatch.setattr(environment, "calibrated_threads", lambda: usual)
        systems = [{"name": n, "kind": "tests.kinds.echo"} for n in ("a", "b")[: measure.pop("systems")]]
        spec = parse(raw_spec(name=name, systems=systems, measure={"rounds": 0} | measure))
        folder = run(spec, out=tmp_path / "r", store=tmp_path / "s").folder
        return int(json.loads((folder / "run.json").read_text())["environment"]["threads"])

    assert threads({"systems": 1}, "x", 1) == 1
    assert (
        threads({"systems": 2}, "x", 2) == 1
    )  # the first system's cell is there, and the second's is compared with it
    assert threads({"systems": 1, "threads": 2}, "y", 1) == 2
