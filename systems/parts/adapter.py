"""LoRA adapters: their configuration, and a model with one on it whose steps the slowdown experiment times."""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    prepare_model_for_kbit_training,
    replace_lora_weights_loftq,
)
from peft.helpers import disable_input_dtype_casting
from transformers.trainer_utils import set_seed

from bench.core.blocks import Tuning
from bench.core.system import SystemConfig
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
        "variant": tuning.variant,
        "optimiser": tuning.optimiser,
        "upcast": tuning.upcast,
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
    targets: str | list[str] = tuning.targets if isinstance(tuning.targets, str) else list(tuning.targets)
    if tuning.layers and tuning.targets == "all-linear":  # PEFT wants names where layers are chosen
        targets = sorted(
            {name.rpartition(".")[2] for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
        )
        targets = [name for name in targets if name not in ("lm_head", *left_out(tuning, model))]
    return LoraConfig(
        exclude_modules=list(left_out(tuning, model)) or None,
        r=tuning.rank,
        lora_alpha=tuning.alpha,
        lora_dropout=tuning.dropout,
        target_modules=targets,
        use_rslora=tuning.variant == "rslora",
        use_dora=tuning.variant == "dora",
        init_lora_weights="pissa" if tuning.variant == "pissa" else True if tuning.init == "default" else tuning.init,
        modules_to_save=list(tuning.modules_to_save) or None,
        layers_to_transform=list(tuning.layers) or None,
        layers_pattern=tuning.layers_pattern or None,
        task_type="CAUSAL_LM",
    )


def adapted(base: Any, tuning: Tuning, *, precision: str, seed: int) -> Any:
    """The base with its adapter, untrained: the same first adapter on every base."""
    if precision == "nf4" and tuning.upcast:
        base = prepare_model_for_kbit_training(base, use_gradient_checkpointing=False)
    set_seed(seed)
    model = get_peft_model(base, lora(tuning, base))
    if tuning.gradient_checkpointing:
        model.enable_input_require_grads()  # the frozen base would cut the graph
    return model


def save(model: Any, tuning: Tuning, folder: Path, state: Mapping[str, Any] | None = None) -> None:
    """Write the adapter for the base as it is published. PiSSA trains the principal part of the weights away from the
    base: what is written is its difference from where it began, as an adapter of twice the rank."""
    if tuning.variant != "pissa":
        model.save_pretrained(str(folder), state_dict=state)
        return
    started = folder.with_name("start")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it asks for what is done here
        model.save_pretrained(str(folder), path_initial_model_for_weight_conversion=str(started))
    shutil.rmtree(started)


def start(model: Any, tuning: Tuning, folder: Path) -> None:
    """What a variant does before the first step: LoftQ fits the adapter to what 4 bits lose, PiSSA keeps where it
    began. Raises ValueError where LoftQ has no GPU, or the weights of the base are not on this disk in safetensors."""
    if tuning.variant == "loftq":
        if model.device.type != "cuda":
            raise ValueError("`tuning.variant: loftq` is computed on a GPU: PEFT has no way to do it on a processor")
        base = model.config.name_or_path
        replace_lora_weights_loftq(model, model_path=base if Path(base).is_dir() else None)
    elif tuning.variant == "pissa":
        known = model.peft_config["default"]
        known.init_lora_weights = True  # or what is written would be taken for the principal part again
        model.save_pretrained(str(folder.with_name("start")))
        known.init_lora_weights = "pissa"


@contextlib.contextmanager
def as_they_come(model: Any) -> Iterator[None]:
    """LoRA layers take their inputs as they come while autocast computes on a GPU. PEFT would cast those of unquantised
    layers to float32, and of 4-bit layers not: LoRA would look slower, and larger, than it is beside QLoRA."""
    if isinstance(model, PeftModel) and model.device.type == "cuda":
        with disable_input_dtype_casting(model):
            yield
    else:
        yield


def _optimiser(tuning: Tuning, parameters: Sequence[torch.nn.Parameter], device: str) -> torch.optim.Optimizer:
    """The tuning's optimiser; the ones of bitsandbytes on a GPU alone."""
    if tuning.optimiser == "adamw" or device != "cuda":
        return torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    from bitsandbytes.optim import adamw

    made: Any = {
        "paged_adamw_32bit": adamw.PagedAdamW32bit,
        "adamw_8bit": adamw.AdamW8bit,
        "paged_adamw_8bit": adamw.PagedAdamW8bit,
    }[tuning.optimiser]
    found: torch.optim.Optimizer = made(parameters, lr=1e-4)
    return found


class Trained:
    """A base in one precision, its adapter, and the tuning's optimiser on the adapter alone."""

    def __init__(self, config: SystemConfig, *, precision: str) -> None:
        named = config.model
        tuning: Tuning = config.tuning  # type: ignore[attr-defined]
        base, _ = lm.load(named, precision=precision)
        self.device = lm.device_of(named.device)
        self.vocab = int(base.config.vocab_size)
        base.requires_grad_(False)
        if tuning.gradient_checkpointing:
            base.gradient_checkpointing_enable({"use_reentrant": False})
        self.model: Any = adapted(base, tuning, precision=precision, seed=config.seed).train()
        self.optimiser = _optimiser(tuning, [p for p in self.model.parameters() if p.requires_grad], self.device)
        self.number = lm.autocast(named)
        self.scaler = torch.GradScaler(self.device, enabled=self.number == torch.float16)

    def batch(self, tokens: int, rows: int, *, seed: int) -> torch.Tensor:
        """Random ids. (rows, tokens / rows)"""
        made = torch.Generator().manual_seed(seed)
        return torch.randint(0, self.vocab, (rows, max(2, tokens // rows)), generator=made).to(self.device)

    def step(self, ids: torch.Tensor) -> None:
        """Forward, backward and update; returns when the device is done."""
        cast = torch.autocast("cuda", self.number) if self.number else contextlib.nullcontext()
        with cast, as_they_come(self.model):
            loss = self.model(input_ids=ids, labels=ids).loss
        self.scaler.scale(loss).backward()  # as the Trainer does in float16; elsewhere the scale is one
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        lm.settle(self.model.device)
