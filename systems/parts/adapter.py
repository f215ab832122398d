"""LoRA adapters: their configuration, and a model with one on it whose steps the slowdown experiment times."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers.trainer_utils import set_seed

from bench.core.system import SystemConfig, Tuning
from bench.core.vocabulary import JSON
from systems.parts import lm


def recipe(config: Any, *, precision: str) -> dict[str, JSON]:
    """Everything that a step depends on: two arms of a comparison may differ in the precision of the base alone."""
    tuning: Tuning = config.tuning
    return {
        "precision": precision,
        "model": config.model.digest or config.model.name,
        "dtype": config.model.dtype,
        "rank": tuning.rank,
        "alpha": tuning.alpha,
        "targets": tuning.targets,
        "dropout": tuning.dropout,
        "optimiser": "AdamW",
        "gradient_checkpointing": tuning.gradient_checkpointing,
        "tokens": list(config.tokens),
        "rows": config.rows,
    }


REFUSED = dict.fromkeys(("mamba", "mamba2", "falcon_mamba", "falcon_h1", "nemotron_h"), ("out_proj", "conv1d"))


def left_out(tuning: Tuning, model: Any) -> tuple[str, ...]:
    """The modules that `all-linear` leaves out of a model because PEFT does not adapt them."""
    refused = REFUSED.get(str(model.config.model_type), ())
    have = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    return tuple(name for name in refused if name in have and tuning.targets == "all-linear")


def lora(tuning: Tuning, model: Any) -> LoraConfig:
    """The adapter that a tuning asks for on a model."""
    targets = tuning.targets if isinstance(tuning.targets, str) else list(tuning.targets)
    return LoraConfig(
        exclude_modules=list(left_out(tuning, model)) or None,
        r=tuning.rank,
        lora_alpha=tuning.alpha,
        lora_dropout=tuning.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )


class Trained:
    """A base in one precision, its adapter, and AdamW on the adapter alone."""

    def __init__(self, config: SystemConfig, *, precision: str) -> None:
        named = config.model
        tuning: Tuning = config.tuning  # type: ignore[attr-defined]
        base, _ = lm.load(
            named.name, revision=named.revision, dtype=named.dtype, device=named.device, precision=precision
        )
        self.device = lm.device_of(named.device)
        self.vocab = int(base.config.vocab_size)
        base.requires_grad_(False)
        if tuning.gradient_checkpointing:
            base.gradient_checkpointing_enable({"use_reentrant": False})
            base.enable_input_require_grads()
        set_seed(config.seed)
        self.model: Any = get_peft_model(base, lora(tuning, base)).train()
        self.optimiser = torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad], lr=1e-4)

    def batch(self, tokens: int, rows: int, *, seed: int) -> torch.Tensor:
        """Random ids. (rows, tokens / rows)"""
        made = torch.Generator().manual_seed(seed)
        return torch.randint(0, self.vocab, (rows, max(2, tokens // rows)), generator=made).to(self.device)

    def step(self, ids: torch.Tensor) -> None:
        """Forward, backward and update; returns when the device is done."""
        cuda = self.device == "cuda"
        with torch.autocast("cuda", torch.bfloat16) if cuda else contextlib.nullcontext():
            loss = self.model(input_ids=ids, labels=ids).loss
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if cuda:
            torch.cuda.synchronize()
