"""Trains the micro language model: `python -m systems.micro.train_lm`, then again with `--start systems/micro/lm`.

A small LFM2 (short convolutions and attention in turns) learns to read: it is shown pages of worlds that are never
evaluated, and questions on them. The loss weighs answer tokens over page tokens; the learning rate decays to zero. The
first steps are repeated random sequences, which is the quickest way to an induction head; then come single statements
on machines that are easily mixed up, so that name and attribute must both count from the start; then whole pages, more
and more of them, and in the end pages that a search finds together.

What is found on the way to an answer is taught too, where it must be known: a linear map from the middle layers, which
is thrown away afterwards, reads at a name in the question what its page says of it (deep supervision, Lee et al. 2015).
Without that, two values are never compared (README.md). The embedder is trained first.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from transformers import Lfm2Config, Lfm2ForCausalLM, PreTrainedTokenizerFast

from bench.core import first_calls
from systems.micro.lessons import FIRST, FOUND, SAID, SECOND, Batch, Plan, batches, tokens
from systems.micro.reading import exercise
from systems.micro.vocabulary import make_tokenizer

STEP_WEIGHT = 1.0  # of what is found on the way, against the answers


class Scaffold(torch.nn.Module):
    """Reads off the middle layers what has been found at a name, and off the last of them what will be said.

    Of a number it also reads how high it is, as one direction, which is what two of them are compared by. It is used
    in training alone.
    """

    def __init__(self, config: Lfm2Config, heights: torch.Tensor) -> None:
        """`heights` says of each token how high a number it is, about within -2 and 2; NaN of what is none."""
        super().__init__()
        attention = [n + 1 for n, kind in enumerate(config.layer_types or ()) if kind == "full_attention"]
        self.middle = attention[1:-1]  # nothing can be found before the second attention; the last says the answer
        self.width = config.hidden_size
        self.found = torch.nn.ModuleList([torch.nn.Linear(self.width, config.vocab_size) for _ in self.middle])
        self.height = torch.nn.ModuleList([torch.nn.Linear(self.width, 1) for _ in self.middle])
        self.said = torch.nn.Linear(self.width, config.vocab_size)
        self.heights: torch.Tensor
        self.register_buffer("heights", heights)

    def forward(self, states: tuple[torch.Tensor, ...], steps: torch.Tensor) -> torch.Tensor:
        """The mean loss of what is to be known; zero where nothing is."""
        losses = [torch.zeros((), device=steps.device)]
        found, said = (steps[steps[:, 3] == kind] for kind in (FOUND, SAID))
        height = self.heights[found[:, 2]]
        counted = ~height.isnan()
        for layer, read, high in zip(self.middle, self.found, self.height, strict=True) if len(found) else ():
            state = self.state(states[layer], found)
            losses.append(torch.nn.functional.cross_entropy(read(state), found[:, 2]))
            if counted.any():
                losses.append(torch.nn.functional.mse_loss(high(state[counted])[:, 0], height[counted]))
        if len(said) and self.middle:
            state = self.state(states[self.middle[-1]], said)
            losses.append(torch.nn.functional.cross_entropy(self.said(state), said[:, 2]))
        return torch.stack(losses).sum() / (2 * len(self.middle) + 1)

    def state(self, states: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """The normed states where the steps are, (n, width)."""
        return torch.nn.functional.rms_norm(states[steps[:, 0], steps[:, 1]].float(), (self.width,))


def heights(tokenizer: PreTrainedTokenizerFast) -> torch.Tensor:
    """How high a number each token is, of the numbers of two digits; NaN of every other token."""
    found = torch.full((len(tokenizer),), float("nan"))
    for number in range(10, 100):
        coded = tokenizer.encode(f" {number}", add_special_tokens=False)
        if len(coded) == 1:
            found[coded[0]] = (number - 54.5) / 26
    return found


def loss_of(model: Callable[..., Any], scaffold: Scaffold, given: Batch) -> torch.Tensor:
    """The weighted mean of the next-token losses, and that of what is found on the way."""
    ids, weights, steps = given
    out = model(input_ids=ids, output_hidden_states=True)
    losses = torch.nn.functional.cross_entropy(
        out.logits[:, :-1].float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
    )
    weight = weights[:, 1:].flatten()
    on_the_way: torch.Tensor = scaffold(out.hidden_states, steps)
    return (losses * weight).sum() / weight.sum() + STEP_WEIGHT * on_the_way


PROBES = {  # name -> passages, form of question
    "em_1": (1, "single"),
    "em_4": (4, "single"),
    "em_8": (8, "single"),
    "two_hop_4": (4, "two_hop"),
    "missing_4": (4, "missing"),
    "absent_4": (4, "absent"),
    "compare_4": (4, "compare"),
    "collect_4": (4, "collect"),
    "several_4": (4, "several"),
    "draw_4": (4, "draw"),
}


@torch.no_grad()
def exact_match(
    model: Lfm2ForCausalLM, tokenizer: PreTrainedTokenizerFast, *, passages: int, form: str, rows: int
) -> float:
    """Share of answers that greedy decoding gets wholly right, teacher-forced, on held-out worlds."""
    right = total = 0
    for row in range(rows):
        key = f"probe/{form}/{passages}/{row}"
        shown = exercise(key, passages=passages, turns=1, forms={form: 1}, alike=f"probe/{row // 20}")
        if shown.is_answered or (shown.turns and form in ("missing", "absent")):
            made = tokens(tokenizer, shown)
            ids = torch.tensor([made.ids], device=model.device)
            guess = model(input_ids=ids).logits[0, :-1].argmax(-1)
            first = len(made.ids) - made.ids[::-1].index(tokenizer.vocab["<assistant>"])
            right += bool((guess[first - 1 :] == ids[0, first:]).all())
            total += 1
    return round(right / max(1, total), 3)


def fresh(plan: Plan, tokenizer: PreTrainedTokenizerFast) -> Lfm2ForCausalLM:
    """An untrained model of the plan's shape."""
    torch.manual_seed(int.from_bytes(plan.seed.encode()[:4], "little"))
    config = Lfm2Config(
        vocab_size=len(tokenizer),
        hidden_size=plan.hidden,
        intermediate_size=plan.hidden * 8 // 3 // 32 * 32,
        block_auto_adjust_ff_dim=False,
        num_hidden_layers=plan.layers,
        layer_types=[("conv", "full_attention")[n % 2] for n in range(plan.layers)],
        conv_L_cache=plan.kernel,
        num_attention_heads=plan.heads,
        num_key_value_heads=plan.heads,
        max_position_embeddings=1024,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.04,
    )
    model: Lfm2ForCausalLM = Lfm2ForCausalLM._from_config(config, attn_implementation="sdpa")
    return model


def train(
    plan: Plan,
    out: Path,
    *,
    start: Path | None = None,
    resume: Path | None = None,
    device: str = "cpu",
    workers: int = 0,
) -> list[dict[str, float]]:
    """Trains and writes the model, its tokenizer and its learning curve to `out`.

    `start` is a folder that another training wrote: its weights are trained further, with a fresh optimiser, and its
    curve goes on. `resume` names a file that holds the state of the training: it is gone on from there, and kept
    there. `workers` processes make the exercises. The model is not compiled: its convolutions would be compiled again
    for every length.
    """
    first_calls.resolve()
    before: dict[str, Any] = json.loads((start / "curve.json").read_text()) if start else {"plans": [], "points": []}
    last = before["points"][-1] if start else {"step": 0, "tokens": 0, "seconds": 0.0}
    tokenizer = PreTrainedTokenizerFast.from_pretrained(start) if start else make_tokenizer(plan.seed, texts=plan.texts)
    state: dict[str, Any] = {"step": 0, "tokens": last["tokens"], "seconds": last["seconds"], "curve": []}
    if resume and resume.exists():
        state = torch.load(resume, weights_only=True)
    ahead = batches(tokenizer, plan, start=state["step"], workers=workers)  # before the device is touched: they fork
    model = Lfm2ForCausalLM.from_pretrained(start, dtype=torch.float32) if start else fresh(plan, tokenizer)
    scaffold = Scaffold(model.config, heights(tokenizer))
    for module in (model, scaffold):
        torch.nn.Module.to(module, device)
    matrices = [p for n, p in model.named_parameters() if p.ndim > 1 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim <= 1 or "embed" in n]
    groups = [
        {"params": matrices, "weight_decay": 0.05},
        {"params": [*rest, *scaffold.parameters()], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=plan.peak, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, plan.rate)
    if state["step"]:
        model.load_state_dict(state.pop("model"))
        scaffold.load_state_dict(state.pop("scaffold"))
        optimiser.load_state_dict(state.pop("optimiser"))
        schedule.last_epoch = state["step"]
    begin = time.perf_counter() - state["seconds"]
    for step, made in enumerate(ahead, start=state["step"]):
        ids, weights, steps = (t.to(device) for t in made)
        with torch.autocast(device, torch.bfloat16) if plan.bf16 else contextlib.nullcontext():
            loss = loss_of(model, scaffold, (ids, weights, steps))
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
        state["tokens"] += ids.numel()
        if (step + 1) % plan.every == 0 or step + 1 == plan.steps:
            state["seconds"] = time.perf_counter() - begin
            point = {
                "step": last["step"] + step + 1,
                "tokens": state["tokens"],
                "seconds": round(state["seconds"]),
                "loss": round(loss.item(), 4),
            }
            point |= {
                k: exact_match(model, tokenizer, passages=n, form=form, rows=plan.probes)
                for k, (n, form) in PROBES.items()
            }
            state["curve"].append(point)
            print(json.dumps(point), flush=True)
            told = {"plans": [*before["plans"], asdict(plan)], "points": [*before["points"], *state["curve"]]}
            save(out, model, tokenizer, told)
            if resume:
                part = resume.with_name(f"{resume.name}.part")
                kept = {
                    "model": model.state_dict(),
                    "scaffold": scaffold.state_dict(),
                    "optimiser": optimiser.state_dict(),
                }
                torch.save(state | kept | {"step": step + 1}, part)
                part.replace(resume)
    return list(state["curve"])


def save(out: Path, model: Lfm2ForCausalLM, tokenizer: PreTrainedTokenizerFast, curve: Mapping[str, Any]) -> None:
    """Write the model, its tokenizer and its learning curve. Weights load as 32 bits."""
    out.mkdir(parents=True, exist_ok=True)
    model.generation_config.update(pad_token_id=0, eos_token_id=tokenizer.eos_token_id)
    own = {name: short(weight).cpu() for name, weight in model.state_dict().items() if name != "lm_head.weight"}  # tied
    model.save_pretrained(out, state_dict=own)
    tokenizer.save_pretrained(out)
    (out / "curve.json").write_text(json.dumps(curve, indent=1) + "\n")


def short(weight: torch.Tensor) -> torch.Tensor:
    """A weight in 16 bits, rounded so that the last four are zero, which packs to two thirds."""
    return ((weight.half().view(torch.int16) + 8) & ~15).view(torch.float16)


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "lm")
    parser.add_argument("--start", type=Path, help="train the weights in this folder further, by the second plan")
    parser.add_argument("--resume", type=Path, help="keep the state of the training in this file, and go on from it")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=0, help="processes that make the exercises")
    for name, value in asdict(FIRST).items():
        parser.add_argument(f"--{name}", type=type(value) if not isinstance(value, bool) else yes)
    options = vars(parser.parse_args())
    out, start, resume, device, workers = (options.pop(n) for n in ("out", "start", "resume", "device", "workers"))
    given: dict[str, Any] = {"bf16": device != "cpu" or bf16_is_fast()}
    given |= {name: value for name, value in options.items() if value is not None}
    train(replace(SECOND if start else FIRST, **given), out, start=start, resume=resume, device=device, workers=workers)


def yes(text: str) -> bool:
    """A word as a truth value."""
    return text.lower() in ("1", "true", "yes")


def bf16_is_fast() -> bool:
    """Whether this processor multiplies bf16 matrices itself; without that they are slower than fp32."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


if __name__ == "__main__":
    main()
