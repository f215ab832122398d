"""Trains the micro language model from nothing: `python -m systems.micro.train_lm --out systems/micro/lm`.

A 2M-parameter Llama learns to read: it is shown pages of worlds that are never evaluated, and questions on
them. The loss weighs answer tokens over page tokens; the learning rate decays to zero; the first steps are
repeated random sequences, which is the quickest way to an induction head.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from systems.micro.reading import Exercise, exercise

SPECIAL = ("<pad>", "<user>", "<assistant>", "<end>", "<system>")
TEMPLATE = (
    "{% for m in messages %}{{ '<' + m.role + '> ' + m.content }}"
    "{% if m.role == 'assistant' %}{{ '<end>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)
PAGE_WEIGHT = 0.03  # of a token outside the answers


def make_tokenizer(seed: str, *, vocab: int = 1536) -> PreTrainedTokenizerFast:
    """Byte-level BPE on worlds that are never evaluated; invented names become two or three tokens."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=list(SPECIAL), initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    exercises = (exercise(f"{seed}/bpe/{n}", passages=2, turns=4) for n in range(6000))
    core.train_from_iterator((text(e) for e in exercises), trainer=trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<end>", model_max_length=1024, padding_side="left"
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def text(e: Exercise) -> str:
    return "".join(p + "\n" for p in e.passages) + " ".join(f"{q} {a}" for q, a in e.turns)


def tokens(tokenizer: PreTrainedTokenizerFast, e: Exercise) -> tuple[list[int], list[float]]:
    """Ids of the exercise as a conversation, and the loss weight of each."""
    user, assistant, end = (tokenizer.convert_tokens_to_ids(t) for t in ("<user>", "<assistant>", "<end>"))
    ids: list[int] = []
    weights: list[float] = []
    for n, (question, answer) in enumerate(e.turns):
        shown = "".join(p + "\n" for p in e.passages) + "\n" if n == 0 and e.passages else ""
        asked = [user, *tokenizer.encode(" " + shown + question, add_special_tokens=False), assistant]
        said = [*tokenizer.encode(" " + answer, add_special_tokens=False), end]
        ids += asked + said
        weights += [PAGE_WEIGHT] * len(asked) + [1.0] * len(said)
    return ids, weights


def lesson(progress: float, rng: random.Random) -> tuple[int, int]:
    """(passages, turns) of a batch at this share of the training: one passage first, then up to five."""
    if progress < 0.25:
        return 1, 8
    return rng.choice((0, 1, 1, 2, 2, 3, 4, 4, 5)), 8


def batch(
    tokenizer: PreTrainedTokenizerFast, seed: str, *, step: int, progress: float, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, weights), each (rows, length), right-padded with weight zero."""
    rng = random.Random(f"{seed}/{step}")
    if progress < 0.04:
        half = torch.tensor([rng.sample(range(len(SPECIAL), len(tokenizer)), 48) for _ in range(size)])
        return torch.cat([half, half], 1), torch.cat([torch.zeros_like(half), torch.ones_like(half)], 1).float()
    passages, turns = lesson(progress, rng)
    rows = [
        tokens(tokenizer, exercise(f"{seed}/{step}/{n}", passages=passages, turns=turns if passages else 1))
        for n in range(size)
    ]
    length = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([r + [0] * (length - len(r)) for r, _ in rows])
    return ids, torch.tensor([w + [0.0] * (length - len(w)) for _, w in rows])


def loss_of(model: Callable[..., Any], ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    logits = model(input_ids=ids).logits[:, :-1].float()
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    w = weights[:, 1:].flatten()
    return (losses * w).sum() / w.sum()


@torch.no_grad()
def exact_match(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, *, passages: int, rows: int = 60) -> float:
    """Share of last answers that greedy decoding gets wholly right, teacher-forced, on held-out worlds."""
    right = 0
    for n in range(rows):
        e = exercise(f"probe/{passages}/{n}", passages=passages, turns=1)
        ids, weights = tokens(tokenizer, e)
        guess = model(input_ids=torch.tensor([ids])).logits[0, :-1].argmax(-1)
        said = torch.tensor(weights[1:]) == 1.0
        right += bool((guess[said] == torch.tensor(ids[1:])[said]).all())
    return right / rows


def train(
    out: Path, *, seed: str, steps: int, size: int, peak: float, bf16: bool, every: int
) -> list[dict[str, float]]:
    """Trains and writes the model, its tokenizer and its learning curve to `out`."""
    torch.manual_seed(int.from_bytes(seed.encode()[:4], "little"))
    tokenizer = make_tokenizer(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=192, intermediate_size=512, num_hidden_layers=4,
        num_attention_heads=4, max_position_embeddings=1024, tie_word_embeddings=True,
        pad_token_id=0, bos_token_id=None, eos_token_id=tokenizer.eos_token_id, initializer_range=0.04,
    )  # fmt: skip
    model = LlamaForCausalLM._from_config(config, attn_implementation="sdpa")
    compiled = torch.compile(model, dynamic=True)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: min(1.0, s / 200) * (1 - s / steps))
    curve: list[dict[str, float]] = []
    seen, begin = 0, time.perf_counter()
    for step in range(steps):
        ids, weights = batch(tokenizer, seed, step=step, progress=step / steps, size=size)
        with torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext():
            loss = loss_of(compiled, ids, weights)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
        seen += ids.numel()
        if (step + 1) % every == 0 or step + 1 == steps:
            point = {
                "step": step + 1,
                "tokens": seen,
                "loss": round(loss.item(), 4),
                "seconds": round(time.perf_counter() - begin),
            }
            point |= {f"em_{n}": exact_match(model, tokenizer, passages=n) for n in (1, 4)}
            curve.append(point)
            print(json.dumps(point), flush=True)
            save(out, model, tokenizer, curve, seed=seed)
    return curve


def save(
    out: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, curve: list[dict[str, float]], *, seed: str
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    model.generation_config.update(pad_token_id=0, eos_token_id=tokenizer.eos_token_id)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "curve.json").write_text(json.dumps({"seed": seed, "points": curve}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "lm")
    parser.add_argument("--seed", default="micro-1")
    parser.add_argument("--steps", type=int, default=6500)
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--peak", type=float, default=2e-3)
    parser.add_argument("--every", type=int, default=250)
    parser.add_argument("--fp32", action="store_true", help="for processors without bf16 matrix products")
    a = parser.parse_args()
    train(a.out, seed=a.seed, steps=a.steps, size=a.size, peak=a.peak, bf16=not a.fp32, every=a.every)


if __name__ == "__main__":
    main()
