"""What a run would do, without doing it: cells, what is there, rough time and memory."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.checkpoint import tensors
from bench.core.store import Store
from bench.core.vocabulary import JSON
from bench.data.task import Task
from bench.execution.pinning import prepare
from bench.execution.run import default_store
from bench.execution.run_folder import cell_folder, is_done, seconds_before
from bench.execution.windows import windows
from bench.spec.cells import Cell
from bench.spec.model import Spec

WORD_TOKENS = 1.5  # tokens for each word of English, roughly, whatever the tokenizer


def plan(
    spec: Spec, *, out: Path = Path("reports"), store: Path | None = None
) -> tuple[list[dict[str, JSON]], list[str]]:
    """A row a cell, and what the windows of the models do to the passages.

    Times are of an earlier run of the same system here, else arithmetic on measured speed.
    """
    prepared = prepare(spec, Store(store or default_store()))
    folder = out / spec.name
    rate = flops_per_s()
    rows = []
    for cell in prepared.cells:
        cached = is_done(cell_folder(folder, cell.id), prepared.identities[cell.id])
        arithmetic, size = _arithmetic(cell, prepared.task, rate)
        seconds, basis = _expected(cached, seconds_before(folder, cell.id), arithmetic, rate)
        row = {"cell": cell.id, "kind": cell.kind, "cached": cached}
        rows.append({**row, "seconds": seconds, "bytes": size, "basis": basis})
    return rows, windows(prepared)


def _expected(cached: bool, before: float | None, arithmetic: float | None, rate: float) -> tuple[float | None, str]:
    """(seconds to expect of a cell, what that rests on)."""
    if cached:
        return 0.0, "is there"
    if before is not None:
        return before, "an earlier run"
    if arithmetic is not None:
        return arithmetic, f"arithmetic at {rate / 1e9:.0f} GFLOP/s"
    return None, "unknown: an endpoint or a hub model"


def flops_per_s(size: int = 768) -> float:
    """What this processor does in float32 matrix products now, all cores, best of a few."""
    matrix = np.random.default_rng(0).random((size, size), dtype=np.float32)
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        matrix @ matrix
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
    asked = min(len(task.test), (config.get("sample") or {"questions": len(task.test)})["questions"])
    tokens = _shown_tokens(config, task) + 20 + config["generation"]["max_new_tokens"]
    seconds = 2 * found * asked * tokens / rate
    size = found * (0.6 if config["precision"] == "nf4" else 4)
    if "tuning" in config:
        full = config.get("method") == "full"
        seconds += (6 if full else 4) * found * _trained_tokens(config["tuning"], task) / rate
        size += found * 12 if full else 0
    return seconds, int(size)


def _shown_tokens(config: Mapping[str, Any], task: Task) -> float:
    """Tokens of the passages in one prompt, roughly."""
    if "retrieval" not in config:
        return 0.0
    each = sum(len(p.text.split()) for p in task.corpus) / len(task.corpus) * WORD_TOKENS
    distractors = config.get("distractors")
    passages = int(config["retrieval"]["k"] if distractors is None else 1 + distractors)
    return each * passages


def _trained_tokens(tuning: Mapping[str, Any], task: Task) -> int:
    """Tokens that a training reads over its epochs and trials, roughly."""
    pairs = min(len(task.train), tuning["examples"] or len(task.train))
    trials = tuning["search"]["trials"] if tuning["search"] else 1
    return int(pairs * 30 * tuning["epochs"] * trials)


def parameters(folder: Path) -> int | None:
    """Parameters of a local model, read off the headers of its safetensors files; None for a hub id."""
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files:
        return None
    return sum(int(np.prod(tensor["shape"])) for file in files for tensor in tensors(file)[1].values())
