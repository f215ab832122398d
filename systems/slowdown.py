"""Experiment: steps of QLoRA against steps of LoRA on the same batches, in turns, at several tokens a step."""

from __future__ import annotations

import gc
import importlib
import statistics
import tempfile
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from bench.core import meters
from bench.core.blocks import PositiveInt, Tuning
from bench.core.child_process import in_child
from bench.core.gpu import gpus
from bench.core.memory import Memory
from bench.core.store import Store
from bench.core.system import Family, SystemConfig
from bench.core.vocabulary import JSON, Material
from bench.stats import paired_timing

FAMILY: Family = "experiment"
SUMMARY = "steps of LoRA and QLoRA in turns"


MOST_STEPS = 40


class Config(SystemConfig):
    """`tuning` gives the adapter; its data, epochs and batch size are not used: a step is of random tokens."""

    needs_weights: ClassVar[bool] = True

    tuning: Tuning = Tuning()
    tokens: tuple[PositiveInt, ...] = Field((128, 512, 2048), min_length=1, description="Tokens of one step.")
    rows: PositiveInt = Field(1, description="Sequences per step.")
    pairs: Annotated[int, Field(ge=8, description="Number of timed steps of each model.")] = 20
    warmup: PositiveInt = 3
    alone: bool = Field(False, description="Take QLoRA's memory and nothing else: where LoRA's weights do not fit.")
    memory_runs: PositiveInt = Field(3, description="Processes in which the peak memory of each model is taken.")


def measure(config: Config, material: Material, store: Store) -> dict[str, JSON]:
    """The ratio of step times with its interval, for each number of tokens.

    The peak memory of each is taken in a process of its own.
    """
    if not gpus():  # on a GPU each process opens the device for itself; elsewhere the imports are shared
        importlib.import_module("bitsandbytes")
        importlib.import_module("systems.parts.adapter")
    arms = {"qlora": "nf4"} if config.alone else {"lora": "native", "qlora": "nf4"}
    memory = {arm: [_alone(config, precision) for _ in range(config.memory_runs)] for arm, precision in arms.items()}
    peaks = {arm: [_peak(found) for found in memory[arm]] for arm in memory}
    from systems.parts import adapter, lm

    recipes = {p: adapter.recipe(config, precision=p) for p in ("native", "nf4")}
    points, parameters = ([], memory["qlora"][0]["parameters"]) if config.alone else _steps(config, recipes)
    return {
        "model": config.model.shape or Path(config.model.name).name,
        "random_weights": config.model.shape is not None,
        "device": lm.describe(config.model.device),
        "recipe": recipes["nf4"],
        "points": points,
        "parameters": parameters,
        "memory": {
            "lora_bytes": None if config.alone else int(statistics.median(peaks["lora"])),
            "qlora_bytes": int(statistics.median(peaks["qlora"])),
            "lora_runs": peaks.get("lora", []),
            "qlora_runs": peaks["qlora"],
            "loading": {
                arm: _worst(m["peak_gpu_allocated_by_phase_bytes"].get("build") for m in memory[arm]) for arm in arms
            },
            "process": {arm: _worst(m["peak_gpu_process_bytes"] for m in memory[arm]) for arm in arms},
        },
        "memory_of": "GPU allocated" if memory["qlora"][0]["peak_gpu_allocated_bytes"] else "resident above start",
    }


def _steps(config: Config, recipes: Mapping[str, JSON]) -> tuple[list[JSON], int]:
    """(the ratio of step times at each number of tokens, parameters of the base)."""
    from systems.parts import adapter

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
    return points, sum(p.numel() for p in lora.model.parameters() if not p.requires_grad)


def _worst(found: Iterable[int | None]) -> int | None:
    return max((bytes_ for bytes_ in found if bytes_ is not None), default=None)


def _peak(memory: dict[str, JSON]) -> int:
    """GPU memory of the steps, without what loading took, where there is a GPU; else growth of resident memory."""
    return int(memory["peak_gpu_allocated_by_phase_bytes"].get("steps") or memory["peak_rss_growth_bytes"])


def _alone(config: Config, precision: str) -> dict[str, JSON]:
    """Peak memory of a fresh process that loads one of the two and takes a few steps of the largest batch."""

    def work() -> dict[str, JSON]:
        from systems.parts import adapter

        with Memory(whole_process=False) as memory:
            trained = adapter.Trained(config, precision=precision)
            memory.phase("steps")  # the peak from here on: what loading took is told apart
            batch = trained.batch(max(config.tokens), config.rows, seed=config.seed)
            for taken in range(
                MOST_STEPS
            ):  # in float16 the first ones may be left out, until the scale of the loss fits
                trained.step(batch)
                if taken >= 2 and trained.optimiser.state:
                    break
        return memory.facts() | {"parameters": meters.notes()["parameters"]}

    gc.collect()
    with tempfile.TemporaryDirectory() as folder:
        return in_child(work, path=Path(folder) / "found.json")
