"""What a system takes: to build, to answer, and in money."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bench.core.vocabulary import JSON, Record
from bench.stats import intervals


def speed(records: Sequence[Record]) -> dict[str, JSON]:
    """Latency of the questions answered alone, a value a question over all seeds; throughput of those in batches."""
    alone = _by_question(records, lambda r: r.latency_s)
    first = _by_question(records, lambda r: r.first_token_s)
    each = _by_question(records, lambda r: r.per_token_s)
    batched = {(r.cell, r.batch): (r.batch_size, r.batch_s) for r in records if r.latency_s is None}
    seconds = sum(s for _, s in batched.values())
    return {
        "n": len(alone), **{f"p{p}_s": intervals.percentile(alone, p) if alone else None for p in intervals.SUPPORT},
        "p50_interval_s": intervals.median_interval(alone), "first_token_s": statistics.median(first) if first else None,
        "per_token_s": statistics.median(each) if each else None,
        "questions_per_s": sum(n for n, _ in batched.values()) / seconds if seconds else None,
        "batched_n": len({r.question for r in records if r.latency_s is None}),
        "batch_size": max((n for n, _ in batched.values()), default=None),
    }  # fmt: skip


def _by_question(records: Sequence[Record], value: Callable[[Record], float | None]) -> list[float]:
    """One mean a question: the same question under another seed is no further sample."""
    seen: dict[str, list[float]] = defaultdict(list)
    for r in records:
        if (found := value(r)) is not None:
            seen[r.question].append(found)
    return [statistics.fmean(v) for v in seen.values()]


TRAINED = (
    "steps",
    "tokens",
    "tokens_per_s",
    "step_s",
    "trainable_parameters",
    "trials",
    "optimiser",
    "batches_sha256",
    "dev_loss",
    "truncated",
    "skipped",
)
STAGES = {"chunks": "chunk_s", "embeddings": "embed_s", "index": "index_s", "adapter": "train_s"}


def built(cell: Mapping[str, Any]) -> dict[str, JSON]:
    """What the cell's artefacts cost when they were built, whoever built them; None for stages that it has not.

    `train_s` is of the training loop alone, over all trials; what surrounds it (loading the model, encoding, saving)
    is `around_s`. A system that keeps nothing in the store is charged its own build.
    """
    seconds: dict[str, float | None] = dict.fromkeys(STAGES.values())
    for a in cell["artefacts"]:
        if a["kind"] in STAGES:
            spent = a["facts"]["train_loop_s"] if a["kind"] == "adapter" else a["build_s"]
            seconds[STAGES[a["kind"]]] = (seconds[STAGES[a["kind"]]] or 0.0) + spent
    adapters = [a for a in cell["artefacts"] if a["kind"] == "adapter"]
    tuning = cell["notes"].get("tuning") or {}
    stored = sum(a["build_s"] for a in cell["artefacts"])
    return {
        **seconds, "total_s": stored if cell["artefacts"] else cell["load_s"] if "." in cell["kind"] else 0.0,
        "around_s": sum(a["build_s"] - a["facts"]["train_loop_s"] for a in adapters) if adapters else None,
        "artefact_bytes": sum(a["bytes"] for a in cell["artefacts"]),
        "reused": sum(bool(a["hit"]) for a in cell["artefacts"]), "artefacts": len(cell["artefacts"]),
        **{k: tuning.get(k) for k in TRAINED},
        "train_peak_rss_bytes": worst(a["memory"]["peak_rss_bytes"] for a in adapters),
        "train_peak_gpu_bytes": worst(a["memory"]["peak_gpu_allocated_bytes"] for a in adapters),
    }  # fmt: skip


def limits(
    cell: Mapping[str, Any], build: Mapping[str, Any], quick: Mapping[str, Any], run: Mapping[str, Any]
) -> dict[str, JSON]:
    """Shares of what the machine can do at most; None where either was not measured.

    Decoding one answer reads all weights once a token, so bandwidth bounds it. Training an adapter takes about 4
    floating-point operations a parameter and token (the weights' own gradients are not needed), everything 6, and
    recomputing activations 2 more.
    """
    notes = cell["notes"]
    peaks = notes.get("peaks") or (run.get("peaks") if notes.get("device") == "cpu" else None)
    if not peaks:
        return {"decode": None, "training": None}
    tuning = run["systems"][cell["system"]]["config"].get("tuning") or {}
    all_of_them = (build["trainable_parameters"] or 0) >= (notes.get("parameters") or 0)
    each = (6 if all_of_them else 4) + (2 if tuning.get("gradient_checkpointing") else 0)
    read, token, speed = notes.get("weights_bytes"), quick["per_token_s"], build["tokens_per_s"]
    return {
        "decode": read / token / peaks["bytes_per_s"] if read and token else None,
        "training": speed * each * notes["parameters"] / peaks["flops_per_s"]
        if speed and notes.get("parameters")
        else None,
    }


def cost(
    build: Mapping[str, Any],
    quick: Mapping[str, Any],
    records: Sequence[Record],
    prices: Mapping[str, Any],
    on_gpu: bool,
) -> dict[str, JSON]:
    """Money to build, and for a thousand questions in batches; None where the spec has no price for it."""
    tokens = prices["prompt_tokens_usd_per_million"], prices["completion_tokens_usd_per_million"]
    hourly = prices["gpu_hour_usd" if on_gpu else "cpu_hour_usd"]
    counted = [r.answer for r in records if r.answer.prompt_tokens is not None]
    served = None
    if None not in tokens and counted:
        served = (
            1000
            * sum(
                a.prompt_tokens * tokens[0] + (a.completion_tokens or 0) * tokens[1] for a in counted if a.prompt_tokens
            )
            / 1e6
            / len(counted)
        )
    elif hourly is not None and quick["questions_per_s"]:
        served = 1000 / quick["questions_per_s"] / 3600 * hourly
    return {
        "build_usd": build["total_s"] / 3600 * hourly if hourly is not None else None,
        "thousand_questions_usd": served,
    }


def mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.fmean(known) if known else None


def middle(values: Iterable[Any]) -> Any:
    """The median over seeds of a number; the first of anything else."""
    return _reduced(values, statistics.median)


def worst(values: Iterable[Any]) -> Any:
    return _reduced(values, max)


def _reduced(values: Iterable[Any], how: Callable[[Iterable[Any]], Any]) -> Any:
    known = [v for v in values if v is not None]
    return None if not known else how(known) if all(isinstance(v, int | float) for v in known) else known[0]
