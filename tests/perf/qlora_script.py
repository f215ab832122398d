"""Steps of LoRA and of QLoRA as people write them: `python qlora_script.py MODEL TOKENS PAIRS`, prints seconds.

MODEL is a folder. The Trainer, PEFT and bitsandbytes at their defaults, the allocator's too; the two adapters take
turns, one run of the Trainer of a few steps each, of which the first is not counted; of two where a step is long.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import tempfile
import time
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, Trainer, TrainerCallback, TrainingArguments

STEPS, LONG_S = 4, 2.0


def adapted(folder: str, *, four_bit: bool) -> Any:
    """The base with an adapter on every linear layer."""
    how: dict[str, Any] = {"dtype": torch.float32}
    if four_bit:
        how["quantization_config"] = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    model = AutoModelForCausalLM.from_pretrained(folder, **how)
    if four_bit:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", r=16, lora_alpha=32))


class Watch(TrainerCallback):
    """Seconds of each step: forward, backward and the optimiser."""

    def __init__(self) -> None:
        self.begin, self.taken = 0.0, list[float]()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.begin = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.taken.append(time.perf_counter() - self.begin)


def seconds(model: Any, tokens: int, steps: int, out: str) -> float:
    """Of a step, on random tokens."""
    ids = torch.randint(10, 500, (tokens,), generator=torch.Generator().manual_seed(1)).tolist()
    rows = [{"input_ids": ids, "labels": ids}] * steps
    arguments = TrainingArguments(
        output_dir=out, use_cpu=True, report_to=[], save_strategy="no", disable_tqdm=True,
        per_device_train_batch_size=1, max_steps=steps, logging_strategy="no",
    )  # fmt: skip
    watch = Watch()
    Trainer(model, arguments, train_dataset=rows, callbacks=[watch]).train()
    return statistics.median(watch.taken[1:])


def main(folder: str, tokens: int, pairs: int) -> None:
    """Print (seconds of LoRA, seconds of QLoRA) of each pair."""
    lora, qlora = adapted(folder, four_bit=False), adapted(folder, four_bit=True)
    found, steps = [], 2
    with tempfile.TemporaryDirectory() as out:
        for number in range(pairs + 1):
            order = (qlora, lora) if number % 2 else (lora, qlora)
            taken = {id(model): seconds(model, tokens, steps, out) for model in order}
            gc.collect()
            if number:  # the first warms up
                found.append((taken[id(lora)], taken[id(qlora)]))
            elif max(taken.values()) < LONG_S:
                steps = STEPS
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
