"""Tuning: LoRA, QLoRA and full fine-tuning by the transformers Trainer, each run one stored adapter.

The order of batches depends on the seed and the data alone, so LoRA and QLoRA of one spec see the same
batches; `batches_sha256` among the facts proves it.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import inspect
import math
import os
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from peft import PeftModel
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler
from transformers.trainer_utils import set_seed

from bench.core import memory, meters, reference
from bench.core.blocks import Model, Prompt, Raft, Tuning
from bench.core.digest import digest, digest_of_parts
from bench.core.files import read_json, write_json
from bench.core.store import Store
from bench.core.vocabulary import JSON, Material
from systems.parts import adapter, examples, last_layer, lm, lora_step, retrieve
from systems.parts.examples import IGNORED, Encoded

VERSION = 7
Row = dict[str, list[int]]  # as the Trainer takes it; a dev row is marked, so that the tape leaves it out


@dataclass(frozen=True)
class Recipe:
    """Everything that a tuned model depends on."""

    method: str  # lora or full
    model: Model
    precision: str
    prompt: Prompt
    tuning: Tuning
    seed: int
    raft: Raft | None = None

    def json(self, material: Material) -> dict[str, JSON]:
        """The recipe of the stored adapter, with the digests of what it is trained on."""
        uses_corpus = self.tuning.passages or self.raft is not None
        restated = digest(material.paraphrases) if self.tuning.paraphrases else None
        return {
            "kind": "adapter",
            "version": VERSION,
            "method": self.method,
            "precision": self.precision,
            "seed": self.seed,
            "base": self.model.digest or self.model.name,
            "dtype": self.model.dtype,
            **({} if self.model.attention == "auto" else {"attention": self.model.attention}),
            "device": lm.device_of(self.model.device),
            "prompt": self.prompt.model_dump(mode="json"),
            "tuning": self.tuning.recorded(
                "init", "layers_pattern", exclude={"search": True, "replay": {"path": True}}
            ),
            "raft": _known(self.raft.model_dump(mode="json")) if self.raft else None,
            "train": digest(material.train),
            "dev": digest(material.dev) if self.tuning.early_stopping or self.tuning.search else None,
            "corpus": digest_of_parts(material.corpus) if uses_corpus else None,
            "paraphrases": restated,
            **({"warmed": True} if self.tuning.schedule == "constant" and self.tuning.warmup else {}),
        }


def _known(raft: dict[str, JSON]) -> dict[str, JSON]:
    embedder = raft["embedder"] or {}
    return raft | {"embedder": {k: v for k, v in embedder.items() if not (k == "name" and embedder.get("digest"))}}


def train(recipe: Recipe, material: Material, store: Store, folder: Path) -> dict[str, JSON]:
    """Train and write the adapter, or the whole model, to `folder`. Returns what it took."""
    set_seed(recipe.seed)
    model, tokenizer = lm.load(recipe.model, precision=recipe.precision, sharded=recipe.tuning.sharded)
    served = model.dtype
    rows, dev, pairs = encoded(
        recipe, material, store, tokenizer, window=lm.ready(model, tokenizer, max_new_tokens=0).window
    )
    unadapted = adapter.left_out(recipe.tuning, model) if recipe.method == "lora" else ()
    model = wrapped(model, recipe)
    if recipe.method == "lora" and _is_first():
        adapter.start(model, recipe.tuning, folder / "model")
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    tape, beside = Tape(tokenizer.pad_token_id), _Beside()
    trainer = _Grouped(
        model=model,
        args=arguments(recipe, folder / "work"),
        train_dataset=rows,
        eval_dataset=dev or None,
        data_collator=tape,
        callbacks=[*callbacks(recipe), beside],
    )
    reference.seconds()  # the first is a slow one
    begin = time.perf_counter()
    with contextlib.ExitStack() as stack:
        stack.enter_context(lm.four_bit_errors())
        stack.enter_context(adapter.as_they_come(model))
        if not recipe.tuning.sharded:
            stack.enter_context(lora_step.fused(model))
            trainer.asked = stack.enter_context(last_layer.only(_base(model)))
        trainer.train()
    end = time.perf_counter()
    seconds = end - begin - sum(beside.seconds)
    first = (beside.first or end) - begin
    evaluate = bool(dev) and (recipe.tuning.search is not None or recipe.tuning.early_stopping is not None)
    dev_loss = trainer.evaluate()["eval_loss"] if evaluate else None
    memory.phase("save")
    _save(recipe, trainer, tokenizer, served=served, folder=folder)
    facts = _facts(trainer, tape, pairs, rows=len(rows), seconds=seconds, dev_loss=dev_loss) | {
        "step_s": step_s(seconds, first, trainer.state.global_step),
        "trainable_parameters": trainable,
        "left_out": unadapted,
        "reference_s": statistics.fmean(beside.seconds) if len(beside.seconds) >= reference.FEWEST else None,
    }
    del trainer, model
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # the next one to load has the card to itself
    return facts


def step_s(seconds: float, first: float, steps: int) -> float:
    """Mean seconds of a step but the first, which took `first` of the `seconds` of all; of the first where it is the
    only one."""
    return (seconds - first) / (steps - 1) if steps > 1 else seconds


def _is_first() -> bool:
    """Whether this is the process that writes, of several that train together."""
    return os.environ.get("RANK", "0") == "0"


def _save(recipe: Recipe, trainer: Trainer, tokenizer: Any, *, served: torch.dtype, folder: Path) -> None:
    """Write what was trained, once; weights that processes hold in parts are gathered first."""
    parts = trainer.is_fsdp_enabled
    whole = trainer.accelerator.get_state_dict(trainer.model_wrapped) if parts else None
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    if _is_first():
        if recipe.method == "full":  # trained in float32, served as the base is
            state = {name: weight.to(served) for name, weight in whole.items()} if whole else None
            (model if parts else model.to(served)).save_pretrained(str(folder / "model"), state_dict=state)
            _say_number(folder / "model" / "config.json", served)
            tokenizer.save_pretrained(str(folder / "model"))
        else:
            adapter.save(model, recipe.tuning, folder / "model", whole)
        shutil.rmtree(folder / "work", ignore_errors=True)  # the Trainer's own checkpoints
    trainer.accelerator.wait_for_everyone()


def _say_number(config: Path, served: torch.dtype) -> None:
    """A config says the number of the weights beside it: of a module in parts it would say that of the training."""
    write_json(config, read_json(config) | {"dtype": str(served).removeprefix("torch.")})


def _batches(steps: int, trainer: Trainer, rows: int) -> int:
    """How many batches of a process so many steps took: the last step of an epoch takes what is left of it."""
    each = trainer.args.gradient_accumulation_steps
    of_epoch = math.ceil(rows / (trainer.args.per_device_train_batch_size * trainer.args.world_size))
    epochs, rest = divmod(steps, math.ceil(of_epoch / each))
    return int(epochs * of_epoch + min(rest * each, of_epoch))


def _facts(
    trainer: Trainer,
    tape: Tape,
    pairs: examples.Pairs,
    *,
    rows: int,
    seconds: float,
    dev_loss: float | None,
) -> dict[str, JSON]:
    """What a training took, for the manifest: of all its processes."""
    steps = int(trainer.state.global_step)
    seen = tape.batches[: _batches(steps, trainer, rows)]
    hashed = hashlib.sha256("".join(h for h, _ in seen).encode()).hexdigest()
    # the Trainer tells each process its own loss, scaled so that their mean is that of the batch
    shares = gather_object([(sum(n for _, n in seen), hashed, trainer.state.log_history[-1].get("train_loss"))])
    tokens = sum(n for n, _, _ in shares)
    losses = [loss for _, _, loss in shares if loss is not None]
    return {
        "steps": steps,
        "examples": rows,
        "tokens": tokens,
        "train_loop_s": seconds,
        "tokens_per_s": tokens / seconds,
        "final_loss": _finite(sum(losses) / len(losses) if losses else None),
        "dev_loss": _finite(dev_loss),
        "truncated": len(pairs.truncated),
        "skipped": len(pairs.skipped),
        "batches_sha256": hashed if len(shares) == 1 else digest([h for _, h, _ in shares]),
        "optimiser": trainer.args.optim if isinstance(trainer.args.optim, str) else trainer.args.optim.value,
    }


def encoded(
    recipe: Recipe, material: Material, store: Store, tokenizer: Any, *, window: int
) -> tuple[list[Row], list[Row], examples.Pairs]:
    """(training rows, dev rows, what became of the pairs). Raises ValueError without a training pair."""
    context: examples.Context = examples.no_context
    raft = recipe.raft
    if raft is not None and raft.embedder is not None and raft.retrieval is not None:
        device = lm.device_of(recipe.model.device)
        found = retrieve.retriever(material, raft.embedder, raft.retrieval, store, device=device)
        context = examples.distractors(
            found.search,
            material.corpus,
            prompt=recipe.prompt,
            retrieval=raft.retrieval,
            count=raft.distractors,
            keep_gold=raft.keep_gold,
            closed_book=raft.closed_book,
            seed=recipe.seed,
        )
    pairs = examples.pairs(tokenizer, material.train, recipe.prompt, context, window=window)
    if not pairs.rows:
        raise ValueError("no training question has a reference answer and fits the window: there is nothing to tune on")
    tuning = recipe.tuning
    read = (*(material.corpus if tuning.passages else ()), *(material.paraphrases if tuning.paraphrases else ()))
    rows = pairs.rows + examples.plain(tokenizer, read, window=window)
    if tuning.replay:
        rows += examples.rehearsed(tokenizer, tuning.replay, len(rows), seed=recipe.seed, window=window)
    dev = examples.pairs(tokenizer, material.dev, recipe.prompt, context, window=window)
    return [_row(e) for e in rows], [_row(e) | {"dev": [1]} for e in dev.rows], pairs


def _row(encoded_row: Encoded) -> Row:
    return {"input_ids": encoded_row.ids, "labels": encoded_row.labels}


def _finite(loss: float | None) -> float | None:
    """A loss that a manifest can hold: one that is no number is no loss."""
    return loss if loss is not None and math.isfinite(loss) else None


def wrapped(model: Any, recipe: Recipe) -> Any:
    """The model with what is trained: a LoRA adapter, or every parameter."""
    if recipe.method == "full":
        return model.float()  # updates this small are lost in 16-bit weights; autocast computes in bf16 on CUDA
    return adapter.adapted(model, recipe.tuning, precision=recipe.precision, seed=recipe.seed)


def arguments(recipe: Recipe, folder: Path) -> TrainingArguments:
    """The Trainer's arguments."""
    tuning, cuda, number = recipe.tuning, lm.device_of(recipe.model.device) == "cuda", lm.autocast(recipe.model)
    watched = tuning.early_stopping is not None
    rate = tuning.full_learning_rate or tuning.learning_rate / 10 if recipe.method == "full" else tuning.learning_rate
    return TrainingArguments(
        output_dir=str(folder),
        seed=recipe.seed,
        data_seed=recipe.seed,
        use_cpu=not cuda,
        bf16=number == torch.bfloat16,
        fp16=number == torch.float16,  # with loss scaling
        num_train_epochs=tuning.epochs,
        max_steps=tuning.max_steps or -1,
        per_device_train_batch_size=tuning.batch_size // tuning.processes,
        fsdp="full_shard" if tuning.sharded else None,
        fsdp_config={"version": 2, "state_dict_type": "FULL_STATE_DICT"} if tuning.sharded else None,
        gradient_accumulation_steps=tuning.gradient_accumulation,
        learning_rate=rate,
        warmup_steps=min(tuning.warmup, 1 - 1e-9),  # a share of the steps: from 1 on the Trainer takes it for steps
        weight_decay=tuning.weight_decay,
        lr_scheduler_type="constant_with_warmup" if tuning.schedule == "constant" else tuning.schedule,
        gradient_checkpointing=tuning.gradient_checkpointing,
        max_grad_norm=1.0,
        optim="adamw_torch_fused" if tuning.optimiser == "adamw" else tuning.optimiser,
        save_strategy="epoch" if watched else "no",
        eval_strategy="epoch" if watched else "no",
        load_best_model_at_end=watched,
        save_total_limit=1,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
        dataloader_pin_memory=False,
        remove_unused_columns=False,
    )


class _Grouped(Trainer):
    """Batches of rows of like lengths, so that little of them is padding. Their order hangs on the seed and the data
    alone: the Trainer's own grouping draws from the generator that dropout draws from too.

    The head, whose logits are the widest tensor of a step, is asked at the positions that the loss counts: of a pair,
    those of its answer. So is the feed-forward part of the last layer.
    """

    asked: last_layer.Asked | None = None

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The loss of a batch, as the Trainer computes it."""
        count = counted(self.model, inputs["labels"])
        if self.asked is not None:
            self.asked.positions = count.get("logits_to_keep", slice(None))
        return super().compute_loss(model, inputs | count, *args, **kwargs)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: the Trainer counts all parameters anew in each step."""
        return 0

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroupedSampler:
        rows: Any = train_dataset if train_dataset is not None else self.train_dataset
        return LengthGroupedSampler(
            self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size,
            lengths=[len(row["input_ids"]) for row in rows],
            generator=torch.Generator().manual_seed(self.args.seed),
        )


def _base(model: Any) -> Any:
    """The model that an adapter is on; one without an adapter itself."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def counted(model: Any, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """What asks a model for the logits that the loss counts, and for the label of each; nothing of one that cannot be
    asked. `labels`: (rows, tokens)."""
    base = _base(model)
    spread = len(set(getattr(base, "hf_device_map", {}).values())) > 1  # positions on one GPU index nothing on another
    if spread or "logits_to_keep" not in inspect.signature(base.forward).parameters:
        return {}
    following = torch.nn.functional.pad(labels, (0, 1), value=IGNORED)[:, 1:]
    kept = (following != IGNORED).any(dim=0).nonzero()[:, 0]
    return {"logits_to_keep": kept, "shift_labels": following[:, kept].contiguous()}


def callbacks(recipe: Recipe) -> list[TrainerCallback]:
    """What the Trainer calls: progress, and early stopping where it is asked for."""
    patience = recipe.tuning.early_stopping
    return [_Progress(), *([EarlyStoppingCallback(early_stopping_patience=patience)] if patience else [])]


class _Progress(TrainerCallback):
    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        memory.phase("train")  # the peak from here on: what it took to load, and to shard, is told apart

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        meters.progress("adapter", state.global_step, state.max_steps)


class _Beside(TrainerCallback):
    """Does the reference work between steps, now and then, in a training of one process. `first` is when the first step
    was done, which loads the kernels and sets up the optimiser."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.first: float | None = None
        self._last = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.first is None:
            lm.settle(args.device)
            self.first = time.perf_counter()
        if args.world_size > 1 or time.perf_counter() - self._last < reference.EVERY_S:
            return
        took = reference.seconds()
        self.seconds += [took] if took is not None else []
        self._last = time.perf_counter()


@dataclass
class Tape:
    """Pads a batch on the right, and keeps of each training batch its hash and its number of tokens.

    Without an attention mask: a causal model sees no token that comes later, and what it makes of the padding, which
    comes last, counts in no loss.
    """

    pad: int
    batches: list[tuple[str, int]] = field(default_factory=list)

    def __call__(self, rows: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        longest = max(len(r["input_ids"]) for r in rows)
        ids = _filled([r["input_ids"] for r in rows], longest, self.pad)
        if "dev" not in rows[0]:
            tokens = sum(len(r["input_ids"]) for r in rows)
            self.batches.append((hashlib.sha256(ids.numpy().tobytes()).hexdigest(), tokens))
        return {"input_ids": ids, "labels": _filled([r["labels"] for r in rows], longest, IGNORED)}


def _filled(rows: Sequence[list[int]], longest: int, value: int) -> torch.Tensor:
    """Rows of one length, filled on the right: (rows, longest)."""
    return torch.tensor([r + [value] * (longest - len(r)) for r in rows])
