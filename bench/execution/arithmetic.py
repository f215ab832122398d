"""What a cell takes by arithmetic: operations to answer and to train, and bytes of memory.

2ND operations a token read or written, 4ND a token that LoRA trains on, 6ND in full (Kaplan et al. 2001.08361).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.core import hub
from bench.core.checkpoint import tensors
from bench.core.gpu import FULL_BYTES
from bench.data.task import Task
from bench.spec import kinds
from bench.spec.cells import Cell

SIZES = {  # parameters of the published shapes
    "tiny": 3_738_000,
    "100m": 109_500_000,
    "qwen2.5-0.5b": 494_000_000,
    "phi3-mini": 3_821_000_000,
    "llama3.1-8b": 8_030_000_000,
    "llama3-70b": 70_554_000_000,
}
WORD_TOKENS = 1.5  # tokens for each word of English, roughly, whatever the tokenizer
PAIR_TOKENS = 30  # of a training pair without passages


@dataclass(frozen=True)
class Needed:
    """Operations, and bytes of the weights, in full tuning of gradients and two moments too; activations come on top.

    `trained` names what is trained, so that what two cells share is counted once; None where nothing is.
    """

    answering: float
    training: float
    bytes: int
    sum: str  # how they come about
    trained: str | None
    is_experiment: bool = False  # timed as a whole


def needed(cell: Cell, task: Task, *, on_gpu: bool) -> Needed | None:
    """None for an endpoint, and for a hub model that is not here yet: its size is not known."""
    config = cell.config
    found = _parameters(config["model"])
    if found is None:
        return None
    asked = min(len(task.test), (config.get("sample") or {"questions": len(task.test)})["questions"])
    tokens = _shown_tokens(config, task) + 20 + config["generation"]["max_new_tokens"]
    each = _bytes_each(config, on_gpu)
    kind = kinds.load(cell.kind)
    says = kind.Config.answers and kind.measure is None
    answering, training, key = 2.0 * found * asked * tokens if says else 0.0, 0.0, None
    answering += _embedding(config, task)
    if "tuning" in config:
        full = config.get("method") == "full"
        training = (6.0 if full else 4.0) * found * _trained_tokens(config, task)
        parts = ("model", "method", "precision", "tuning", "raft", "seed")
        key = repr([config.get(part) for part in parts] + [bool((config.get("sample") or {}).get("renewed"))])
    text = f"{found / 1e9:.3g} billion parameters x {each:g} bytes"
    return Needed(answering, training, int(each * found), text, key, is_experiment=kind.measure is not None)


FOUR_BIT_BYTES = 0.6  # a parameter, with the scales of its block and what is not quantised


def _bytes_each(config: Mapping[str, Any], on_gpu: bool) -> float:
    """Bytes of a parameter: of the weights, of both models where steps are held against each other, of all that full
    tuning holds."""
    native = _weight_bytes(config["model"], on_gpu)
    if "alone" in config:  # QLoRA by itself, or beside LoRA
        return FOUR_BIT_BYTES if config["alone"] else FOUR_BIT_BYTES + native
    each = FOUR_BIT_BYTES if config["precision"] == "nf4" else native
    return max(each, FULL_BYTES) if config.get("method") == "full" else each


def _embedding(config: Mapping[str, Any], task: Task) -> float:
    """Operations to embed the corpus, where it is embedded by a model whose size is known."""
    retrieval, embedder = config.get("retrieval"), config.get("embedder")
    if not retrieval or not embedder or retrieval["mode"] == "bm25":
        return 0.0
    return 2.0 * (parameters(Path(embedder["name"])) or 0) * _passage_tokens(task) * len(task.corpus)


def _weight_bytes(model: Mapping[str, Any], on_gpu: bool) -> int:
    """Bytes of one weight: 4 on a CPU unless the spec says otherwise, 2 on a GPU."""
    number = model.get("dtype", "auto")
    return 4 if number == "float32" or (number == "auto" and (not on_gpu or model.get("device") == "cpu")) else 2


def _parameters(model: Mapping[str, Any]) -> int | None:
    """Of a base model: a local folder, or a published shape; None where it is not known."""
    if model.get("base_url"):
        return None
    if model.get("shape"):
        return SIZES.get(str(model["shape"]))
    folder = hub.local(str(model["name"]), model.get("revision"))
    return parameters(folder) if folder else None


def _passage_tokens(task: Task) -> float:
    return task.words / len(task.corpus) * WORD_TOKENS


def _shown_tokens(config: Mapping[str, Any], task: Task) -> float:
    """Tokens of the passages in one prompt, roughly."""
    if "retrieval" not in config:
        return 0.0
    distractors = config.get("distractors")
    passages = int(config["retrieval"]["k"] if distractors is None else 1 + distractors)
    return _passage_tokens(task) * passages


def _trained_tokens(config: Mapping[str, Any], task: Task) -> float:
    """Tokens that a training reads over its epochs and trials, roughly."""
    tuning, raft = config["tuning"], config.get("raft")
    pairs = min(len(task.train), tuning["examples"] or len(task.train))
    trials = int(tuning["search"]["trials"]) if tuning["search"] else 1
    shown = (1 - raft["closed_book"]) * (1 + raft["distractors"]) * _passage_tokens(task) if raft else 0.0
    return float(pairs * (PAIR_TOKENS + shown) * tuning["epochs"] * trials)


def parameters(folder: Path) -> int | None:
    """Parameters of a local model, read off the headers of its safetensors files; None for a hub id."""
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files:
        return None
    return sum(int(np.prod(tensor["shape"])) for file in files for tensor in tensors(file)[1].values())
