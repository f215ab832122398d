"""What a run would do, without doing it: cells, what is there, rough time and memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.core.checkpoint import tensors
from bench.core.display import size
from bench.core.gpu import gpus
from bench.core.store import Store
from bench.core.vocabulary import JSON
from bench.data.task import Task
from bench.execution.pinning import prepare
from bench.execution.run import default_store
from bench.execution.run_folder import cell_folder, is_done, seconds_before
from bench.execution.windows import windows
from bench.spec.cells import Cell
from bench.spec.model import Spec

FULL_BYTES = 18  # a parameter in full tuning: weight, gradient and two moments in float32, and the copy that computes
SIZES = {  # parameters of the published shapes
    "tiny": 3_738_000,
    "100m": 109_500_000,
    "qwen2.5-0.5b": 494_000_000,
    "phi3-mini": 3_821_000_000,
    "llama3.1-8b": 8_030_000_000,
    "llama3-70b": 70_554_000_000,
}
WORD_TOKENS = 1.5  # tokens for each word of English, roughly, whatever the tokenizer


def plan(
    spec: Spec, *, out: Path = Path("reports"), store: Path | None = None
) -> tuple[list[dict[str, JSON]], list[str]]:
    """A row a cell, and what the windows of the models do to the passages.

    Times are of an earlier run of the same system here, else arithmetic on measured speed.
    """
    prepared = prepare(spec, Store(store or default_store()))
    folder = out / spec.name
    rate, cards = flops_per_s(), gpus() if spec.model.device != "cpu" else []
    room = cards[0]["memory_bytes"] if cards else int(psutil.virtual_memory().total)  # None where NVML does not tell
    rows = []
    for cell in prepared.cells:
        cached = is_done(cell_folder(folder, cell.id), prepared.identities[cell.id])
        arithmetic, needed = _arithmetic(cell, prepared.task, rate, on_gpu=bool(cards))
        seconds, basis = _expected(cached, seconds_before(folder, cell.id), arithmetic, rate)
        row = {"cell": cell.id, "kind": cell.kind, "cached": cached}
        rows.append({**row, "seconds": seconds, "bytes": needed, "basis": basis, "fits": fits(needed, room)})
    return rows, [*windows(prepared), *_too_large(rows, room)]


def fits(needed: int | None, room: int | None) -> str:
    """Whether weights, gradients and optimiser state fit: `fits`, `does not fit`, or `unknown`. Activations come on
    top, so that what takes over nine tenths is not said to fit."""
    if needed is None or room is None:
        return "unknown"
    return "fits" if needed <= 0.9 * room else "does not fit" if needed > room else "unknown"


def _too_large(rows: Sequence[Mapping[str, JSON]], room: int | None) -> Iterator[str]:
    for row in rows:
        if row["fits"] == "does not fit":
            yield (
                f"{row['cell']} does not fit: it needs {size(row['bytes'])}, activations not counted, and there are "
                f"{size(room)}. Use qlora or lora, a smaller model, or a larger machine."
            )


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


def _arithmetic(cell: Cell, task: Task, rate: float, *, on_gpu: bool) -> tuple[float | None, int | None]:
    """(seconds, bytes): 2ND operations a token read or written, 4ND a token that LoRA trains on, 6ND in full.

    Bytes are of the weights, and in full tuning of gradients and two moments too; activations come on top.
    """
    config = cell.config
    found = _parameters(config["model"])
    if found is None:
        return None, None
    asked = min(len(task.test), (config.get("sample") or {"questions": len(task.test)})["questions"])
    tokens = _shown_tokens(config, task) + 20 + config["generation"]["max_new_tokens"]
    seconds = 2 * found * asked * tokens / rate
    needed = found * (0.6 if config["precision"] == "nf4" else _weight_bytes(config["model"], on_gpu))
    if "tuning" in config:
        full = config.get("method") == "full"
        seconds += (6 if full else 4) * found * _trained_tokens(config["tuning"], task) / rate
        needed = max(needed, FULL_BYTES * found) if full else needed
    return seconds, int(needed)


def _weight_bytes(model: Mapping[str, Any], on_gpu: bool) -> int:
    """Bytes of one weight: 4 on a CPU unless the spec says otherwise, 2 on a GPU."""
    number = model.get("dtype", "auto")
    return 4 if number == "float32" or (number == "auto" and (not on_gpu or model.get("device") == "cpu")) else 2


def _parameters(model: Mapping[str, Any]) -> int | None:
    """Of a base model: a local folder, or a published shape; None where it is not known."""
    if model.get("base_url"):
        return None
    return SIZES.get(str(model.get("shape"))) or parameters(Path(model["name"]))


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
