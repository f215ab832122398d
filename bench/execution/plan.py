"""What a run would do, without doing it: cells, what is there, rough time and memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.core.display import many, size, span
from bench.core.gpu import gpus
from bench.core.place import processor
from bench.core.store import Store
from bench.core.vocabulary import JSON
from bench.execution.arithmetic import Needed, needed
from bench.execution.experience import EXPERIMENT, Took, expected_s, remembered
from bench.execution.pinning import Prepared, prepare
from bench.execution.run import default_store
from bench.execution.run_folder import cell_folder, is_done, seconds_before
from bench.execution.windows import windows
from bench.spec.model import Spec

START_S = (1.0, 15.0)  # until a cell answers: it imports, and opens its model
SLOWER = 6.0  # times what arithmetic gives at the speed of matrix products, at most
Seconds = tuple[float, float]  # the fewest and the most that are expected


def plan(
    spec: Spec, *, out: Path = Path("reports"), store: Path | None = None
) -> tuple[list[dict[str, JSON]], list[str]]:
    """A row a cell, and what the windows of the models do to the passages.

    Times are of an earlier run of the same cell; else of cells of its kind and size on this machine; else arithmetic at
    the speed of matrix products, as a range. What two cells share is trained once.
    """
    root = store or default_store()
    prepared = prepare(spec, Store(root), offline=True)
    folder = out / spec.name
    rate, cards, memory = flops_per_s(), gpus() if spec.model.device != "cpu" else [], room(prepared)
    before, rows, trained = remembered(root, str(cards[0]["name"]) if cards else processor()), [], set[str]()
    for cell in prepared.cells:
        cached = is_done(cell_folder(folder, cell.id), prepared.identities[cell.id])
        found = needed(cell, prepared.task, on_gpu=bool(cards))
        shared = found is not None and found.trained in trained
        if found and found.trained:
            trained.add(found.trained)
        seconds: Seconds | None
        known = 0.0 if cached else seconds_before(folder, cell.id)
        if known is not None:
            seconds, basis = (known, known), "is there" if cached else "an earlier run"
        else:
            seconds, basis = _expected(cell.kind, found, before, rate, shared=shared, on_gpu=bool(cards))
        row = {"cell": cell.id, "kind": cell.kind, "cached": cached, "basis": basis}
        middle = seconds and (seconds[0] * seconds[1]) ** 0.5
        rows.append({**row, **memory[cell.id], "seconds": middle, "seconds_range": seconds})
    return rows, [*prepared.notes, *windows(prepared), *too_large(prepared, memory), *together(rows), *_rounds(spec)]


def together(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What the cells that are to run take one after the other."""
    left = [row["seconds_range"] for row in rows if not row["cached"]]
    known = [seconds for seconds in left if seconds]
    if len(known) < 2:
        return
    least, most = (sum(ends) for ends in zip(*known, strict=True))
    took = span(least) if span(least) == span(most) else f"{span(least)} to {span(most)}"
    without = (
        f", without {many(len(left) - len(known), 'cell')} of which nothing is known" if len(left) > len(known) else ""
    )
    yield f"The cells that are to run take {took} together{without}."


def _rounds(spec: Spec) -> Iterator[str]:
    if spec.measure.rounds:
        asked = spec.measure.latency_questions
        yield f"{spec.measure.rounds} rounds of timing, each of up to {asked} questions a system, come on top."


Room = Mapping[str, Mapping[str, JSON]]  # cell -> bytes that it needs, how they come about, those there are, if it fits


def room(prepared: Prepared) -> Room:
    """What each cell needs and has, where its model runs."""
    found, cards = {}, gpus()
    for cell in prepared.cells:
        model, needs = cell.config["model"], needed(cell, prepared.task, on_gpu=bool(cards))
        tuning = cell.config.get("tuning") or {}
        sharded = int(tuning.get("processes") or 1) if tuning.get("sharded") else 1
        count = max(int(model.get("gpus") or 1), sharded)
        there = room_of(cards if model.get("device") != "cpu" else [], count)
        wanted = needs.bytes if needs else None
        told = {"bytes": wanted, "sum": needs.sum if needs else None, "room": there, "fits": fits(wanted, there)}
        found[cell.id] = told
    return found


def too_large(prepared: Prepared, memory: Room) -> Iterator[str]:
    """What is to be said of cells that do not fit, and of models of which nobody can say."""
    unknown = set()
    for cell in prepared.cells:
        row, model = memory[cell.id], cell.config["model"]
        if row["fits"] == "does not fit":
            yield (
                f"{cell.id} does not fit: {row['sum']} are {size(row['bytes'])}, activations not counted, and there "
                f"are {size(row['room'])}. Use qlora or lora, a smaller model, or a larger machine."
            )
        if not row["sum"] and not model["base_url"]:
            unknown.add(str(model["name"]))
    if unknown:
        yield f"Whether {', '.join(sorted(unknown))} fits in memory is not known: its weights are not here yet."


def room_of(cards: Sequence[Mapping[str, JSON]], count: int) -> int | None:
    """Bytes of the GPUs that a model is spread over, or of the machine; None where NVML does not tell."""
    sizes = [card["memory_bytes"] for card in cards[:count]]
    if not cards:
        return int(psutil.virtual_memory().total)
    return None if None in sizes else sum(sizes)


def fits(needed: int | None, room: int | None) -> str:
    """Whether weights, gradients and optimiser state fit: `fits`, `does not fit`, or `unknown`. Activations come on
    top, so that what takes over nine tenths is not said to fit."""
    if needed is None or room is None:
        return "unknown"
    return "fits" if needed <= 0.9 * room else "does not fit" if needed > room else "unknown"


def _expected(
    kind: str, found: Needed | None, before: Sequence[Took], rate: float, *, shared: bool, on_gpu: bool
) -> tuple[Seconds | None, str]:
    """(seconds to expect of a cell, what that rests on)."""
    if found is None:
        return None, "unknown: an endpoint or a hub model"
    parts = {"answering": found.answering, **({"training": found.training} if found.trained and not shared else {})}
    if found.is_experiment:
        parts = {EXPERIMENT: found.answering + found.training}
    known = [expected_s(before, part, kind, operations) for part, operations in parts.items()]
    if None not in known:
        seconds = sum(s for s in known if s is not None)
        return (seconds, seconds), "cells of its kind and size here"
    if on_gpu:
        return None, "unknown: none of its kind and size has run on this GPU"
    seconds = sum(parts.values()) / rate
    basis = f"arithmetic at {rate / 1e9:.0f} GFLOP/s, and up to {SLOWER:g} times it, with {START_S[1]:g} s to start"
    return (START_S[0] + seconds, START_S[1] + SLOWER * seconds), basis


def flops_per_s(size: int = 768) -> float:
    """What this processor does in float32 matrix products now, all cores, best of a few."""
    matrix = np.random.default_rng(0).random((size, size), dtype=np.float32)
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best
