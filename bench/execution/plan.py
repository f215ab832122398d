"""What a run would do, without doing it: cells, what is there, rough time and memory."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path

import numpy as np

from bench.core.files import read_json
from bench.core.store import Store
from bench.core.vocabulary import JSON
from bench.data.task import Task
from bench.execution.pinning import prepare
from bench.execution.run import default_store, is_done
from bench.spec.cells import Cell
from bench.spec.model import Spec

WORD_TOKENS = 1.5  # tokens for each word of English, roughly, whatever the tokenizer


def plan(spec: Spec, *, out: Path = Path("reports"), store: Path | None = None) -> list[dict[str, JSON]]:
    """A row a cell. Times are of an earlier run of the same system here, else arithmetic on measured speed."""
    prepared = prepare(spec, Store(store or default_store()))
    folder = out / spec.name
    rate = flops_per_s()
    rows = []
    for cell in prepared.cells:
        cached = is_done(folder, cell, prepared.identities[cell.id])
        seen = _seen(folder, cell)
        seconds, size = _arithmetic(cell, prepared.task, rate)
        rows.append({
            "cell": cell.id, "kind": cell.kind, "cached": cached, "seconds": 0.0 if cached else seen if seen is not None else seconds, "bytes": size,
            "basis": "is there" if cached else "an earlier run" if seen is not None else f"arithmetic at {rate / 1e9:.0f} GFLOP/s" if seconds is not None else "unknown: an endpoint or a hub model",
        })  # fmt: skip
    return rows


def _seen(folder: Path, cell: Cell) -> float | None:
    """Seconds that a cell of this name took before, under another identity."""
    path = folder / "cells" / cell.id / "result.json"
    if not path.exists():
        return None
    found = read_json(path)
    return float(found["ended"] - found["started"]) if found["status"] == "done" else None


def flops_per_s(size: int = 768) -> float:
    """What this processor does in float32 matrix products now, all cores, best of a few."""
    a = np.random.default_rng(0).random((size, size), dtype=np.float32)
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best


def _arithmetic(cell: Cell, task: Task, rate: float) -> tuple[float | None, int | None]:
    """(seconds, bytes): 2ND operations a token read or written, 4ND a token that LoRA trains on, 6ND in full.

    Bytes are of the weights, and in full tuning of gradients and two moments too; activations come on top.
    """
    config = cell.config
    found = parameters(Path(config["model"]["name"]))
    if config["model"].get("base_url") or found is None:
        return None, None
    words = sum(len(p.text.split()) for p in task.corpus) / len(task.corpus) * WORD_TOKENS
    gold = config.get("distractors")
    shown = 0 if "retrieval" not in config else words * (config["retrieval"]["k"] if gold is None else 1 + gold)
    asked = min(len(task.test), (config.get("sample") or {"questions": len(task.test)})["questions"]) * (
        shown + 20 + config["generation"]["max_new_tokens"]
    )
    seconds = 2 * found * asked / rate
    size = found * (0.6 if config["precision"] == "nf4" else 4)
    if "tuning" in config:
        t, full = config["tuning"], config.get("method") == "full"
        trained = (
            min(len(task.train), t["examples"] or len(task.train))
            * 30
            * t["epochs"]
            * (t["search"]["trials"] if t["search"] else 1)
        )
        seconds += (6 if full else 4) * found * trained / rate
        size += found * 12 if full else 0
    return seconds, int(size)


def parameters(folder: Path) -> int | None:
    """Parameters of a local model, read off the headers of its safetensors files; None for a hub id."""
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files:
        return None
    total = 0
    for file in files:
        with file.open("rb") as f:
            header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        total += sum(int(np.prod(t["shape"])) for name, t in header.items() if name != "__metadata__")
    return total
