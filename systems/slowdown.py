"""Experiment: steps of QLoRA against steps of LoRA on the same batches, in turns, at several tokens a step."""

from __future__ import annotations

import gc
import importlib
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from bench.core import meters
from bench.core.child_process import in_child
from bench.core.gpu import gpus
from bench.core.store import Store
from bench.core.system import Family, PositiveInt, SystemConfig, Tuning
from bench.core.vocabulary import JSON, Material
from bench.stats import paired_timing

FAMILY: Family = "experiment"
SUMMARY = "steps of LoRA and QLoRA in turns"


class Config(SystemConfig):
    """`tuning` gives the adapter; its data, epochs and batch size are not used: a step is of random tokens."""

    needs_weights: ClassVar[bool] = True

    tuning: Tuning = Tuning()
    tokens: tuple[PositiveInt, ...] = Field((128, 512, 2048), min_length=1, description="Tokens of one step.")
    rows: PositiveInt = Field(1, description="Sequences per step.")
    pairs: Annotated[int, Field(ge=8, description="Number of timed steps of each model.")] = 20
    warmup: PositiveInt = 3
    memory_runs: PositiveInt = Field(3, description="Processes in which the peak memory of each model is taken.")


def measure(config: Config, material: Material, store: Store) -> dict[str, JSON]:
    """The ratio of step times with its interval, for each number of tokens.

    The peak memory of each is taken in a process of its own.
    """
    if not gpus():  # on a GPU each process opens the device for itself; elsewhere the imports are shared
        importlib.import_module("bitsandbytes")
        importlib.import_module("systems.parts.adapter")
    arms = ("lora", "native"), ("qlora", "nf4")
    memory = {arm: [_alone(config, precision) for _ in range(config.memory_runs)] for arm, precision in arms}
    peaks = {arm: [_peak(found) for found in memory[arm]] for arm in memory}
    from systems.parts import adapter, lm

    recipes = {p: adapter.recipe(config, precision=p) for p in ("native", "nf4")}
    paired_timing.matched(recipes["native"], recipes["nf4"], but="precision")
    lora, qlora = (adapter.Trained(config, precision=p) for p in ("native", "nf4"))
    points = []
    for done, tokens in enumerate(config.tokens):
        meters.progress("steps", done, len(config.tokens))
        batch = lora.batch(tokens, config.rows, seed=config.seed)
        steps = partial(lora.step, batch), partial(qlora.step, batch)
        pairs = paired_timing.in_turns(*steps, pairs=config.pairs, warmup=config.warmup)
        found = paired_timing.ratio(pairs)
        points.append(
            {**found, "tokens": tokens, "rows": config.rows, "lora_s": found.pop("a_s"), "qlora_s": found.pop("b_s")}
        )
    return {
        "model": config.model.shape or Path(config.model.name).name,
        "random_weights": config.model.shape is not None,
        "device": lm.describe(config.model.device),
        "recipe": recipes["nf4"],
        "points": points,
        "parameters": sum(p.numel() for p in lora.model.parameters() if not p.requires_grad),
        "memory": {
            "lora_bytes": int(statistics.median(peaks["lora"])),
            "qlora_bytes": int(statistics.median(peaks["qlora"])),
            "lora_runs": peaks["lora"],
            "qlora_runs": peaks["qlora"],
        },
        "memory_of": "GPU allocated" if memory["lora"][0]["peak_gpu_allocated_bytes"] else "resident above start",
    }


def _peak(memory: dict[str, JSON]) -> int:
    """GPU memory where there is a GPU, else growth of resident memory."""
    return int(memory["peak_gpu_allocated_bytes"] or memory["peak_rss_growth_bytes"])


def _alone(config: Config, precision: str) -> dict[str, JSON]:
    """Peak memory of a fresh process that loads one of the two and takes a few steps of the largest batch."""

    def work() -> dict[str, JSON]:
        from systems.parts import adapter

        with meters.Memory(whole_process=False) as memory:
            trained = adapter.Trained(config, precision=precision)
            memory.phase("steps")
            batch = trained.batch(max(config.tokens), config.rows, seed=config.seed)
            for _ in range(3):
                trained.step(batch)
        return memory.facts()

    gc.collect()
    with tempfile.TemporaryDirectory() as folder:
        return in_child(work, path=Path(folder) / "found.json")
