"""Rounds over the systems once their cells are done: each answers a few questions again, in turns.

A round goes through the systems in the order of the spec, the next one backwards, so that a busy minute hurts all
alike. A turn beside a yardstick that is off is taken again.

reports/<run>/cells/<cell>/turns/<round>/   job.json, result.json, log.txt
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.core.files import read_json
from bench.core.vocabulary import JSON
from bench.execution.run_folder import cell_folder, is_done, result_in
from bench.spec import kinds
from bench.spec.cells import Cell
from bench.stats.rounds import is_off, usual

AGAIN = 1  # times that the turns that were disturbed are taken again
MOST = 3  # one turn of so many
SLOW_S = 30.0  # a system of the user's own that builds for longer is not built again for every round

Take = Callable[[Cell, int], None]  # runs one turn of a cell in a round


def timed_cells(folder: Path, cells: Sequence[Cell]) -> list[Cell]:
    """The first finished cell of each of the spec's own systems; experiments and slow own kinds are left out."""
    found: dict[str, Cell] = {}
    for cell in cells:
        if cell.scenario is None and cell.system not in found and _may_be_timed(folder, cell):
            found[cell.system] = cell
    return list(found.values())


def _may_be_timed(folder: Path, cell: Cell) -> bool:
    result = result_in(cell_folder(folder, cell.id)) or {}
    if result.get("status") != "done" or result.get("facts") is not None:
        return False
    if kinds.load(cell.kind).Config.elsewhere:
        return False
    return "." not in cell.kind or result["load_s"] <= SLOW_S


def take_rounds(folder: Path, cells: Sequence[Cell], *, rounds: int, take: Take) -> None:
    """Take the turns that are not there, and again those that were disturbed."""
    for number in range(1, rounds + 1):
        for cell in cells if number % 2 else reversed(cells):
            if not is_done(turn_folder(folder, cell, number), _identity(folder, cell)):
                take(cell, number)
    for _ in range(AGAIN):
        for cell, number in disturbed(folder, cells, rounds):
            take(cell, number)


def disturbed(folder: Path, cells: Sequence[Cell], rounds: int) -> list[tuple[Cell, int]]:
    """The turns whose yardstick is off from the median of all; of many those that are farthest off. Where half of them
    are, the machine has no usual state, and to take them again would not find one."""
    found = [(cell, turn) for cell in cells for turn in turns(folder, cell, rounds)]
    usual_s = usual(turn["yardstick_s"] for _, turn in found) or 0.0
    off = [(cell, turn) for cell, turn in found if is_off(turn["yardstick_s"], usual_s)]
    away = [max(abs(math.log(s / usual_s)) for s in turn["yardstick_s"]) for _, turn in off]
    farthest = heapq.nlargest(math.ceil(len(found) / MOST), range(len(off)), key=away.__getitem__)
    return [(off[at][0], off[at][1]["round"]) for at in sorted(farthest)]


def turns(folder: Path, cell: Cell, rounds: int) -> list[dict[str, JSON]]:
    """The turns of a cell that were taken."""
    paths = [turn_folder(folder, cell, number) for number in range(1, rounds + 1)]
    identity = _identity(folder, cell)
    return [found for path in paths if is_done(path, identity) and (found := result_in(path))]


def turn_folder(folder: Path, cell: Cell, number: int) -> Path:
    """The folder of a cell's turn in a round."""
    return cell_folder(folder, cell.id) / "turns" / str(number)


def _identity(folder: Path, cell: Cell) -> str:
    return str(read_json(cell_folder(folder, cell.id) / "result.json")["identity"])
