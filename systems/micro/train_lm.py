"""Trains the micro language model: `python -m systems.micro.train_lm`, then again with `--start systems/micro/lm`.

A small LFM2 (short convolutions and attention in turns) learns to read: it is shown pages of worlds that are never
evaluated, and questions on them. The loss weighs answer tokens over page tokens; the learning rate decays to zero. The
first steps are repeated random sequences, which is the quickest way to an induction head; then come single statements
on machines that are easily mixed up, so that name and attribute must both count from the start; then whole pages, more
and more of them, and in the end pages that a search finds together. The second training goes on with all of this at
once, and asks more on each page. The embedder is trained first.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Lfm2Config, Lfm2ForCausalLM, PreTrainedTokenizerFast

from systems.micro.reading import DOUBTFUL, FORMS, SETTLED, Exercise, alike_but_for_the_name, exercise, loose

SPECIAL = ("<pad>", "<user>", "<assistant>", "<end>", "<system>")
TEMPLATE = (
    "{% for m in messages %}{{ '<' + m.role + '> ' + m.content }}"
    "{% if m.role == 'assistant' %}{{ '<end>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)
HEAD = Regex(r" ?[BDFGHKLMNPRSTVZ][aeiou][ln]?(?=[bdgklmnprstvz][aeio][ks]?\b)")  # the first syllable of a name
PAGE_WEIGHT = 0.03  # of a token outside the answers


def make_tokenizer(seed: str, *, vocab: int = 1280, texts: int = 6000) -> PreTrainedTokenizerFast:
    """Byte-level BPE on `texts` of worlds that are never evaluated; an invented name is two syllables, two tokens."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(HEAD, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=list(SPECIAL), initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    exercises = (exercise(f"{seed}/bpe/{n}", passages=2, turns=4) for n in range(texts))
    core.train_from_iterator((text(e) for e in exercises), trainer=trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<end>", model_max_length=1024, padding_side="left"
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def text(shown: Exercise) -> str:
    """An exercise as plain text, for the tokenizer to learn from."""
    return "".join(p + "\n" for p in shown.passages) + " ".join(f"{q} {a}" for q, a in shown.turns)


def tokens(tokenizer: PreTrainedTokenizerFast, asked: Exercise) -> tuple[list[int], list[float]]:
    """Ids of the exercise as a conversation, and the loss weight of each."""
    user, assistant, end = (tokenizer.convert_tokens_to_ids(t) for t in ("<user>", "<assistant>", "<end>"))
    ids: list[int] = []
    weights: list[float] = []
    for turn, (question, answer) in enumerate(asked.turns):
        shown = "".join(p + "\n" for p in asked.passages) + "\n" if turn == 0 and asked.passages else ""
        prompt = [user, *tokenizer.encode(" " + shown + question, add_special_tokens=False), assistant]
        said = [*tokenizer.encode(" " + answer, add_special_tokens=False), end]
        ids += prompt + said
        weights += [PAGE_WEIGHT] * len(prompt) + [1.0] * len(said)
    return ids, weights


@dataclass(frozen=True)
class Plan:
    """A training. The rate is held until step `hold`, then falls to zero at the last.

    What the exercises are grows with the steps: repeated random sequences, from step `loose` on single statements,
    from `pages` on whole pages, from `alike` on pages that a search finds together, from `many` on up to eight of
    them; from `doubt` on more of the questions have no answer, and from `settle` on about as many as in a dataset;
    from `named` on many statements differ in the name alone, which is what is matched worst. `asked` is how many
    questions are asked for each page more.
    """

    seed: str = "micro-1"
    steps: int = 3800
    hold: int = 1700
    size: int = 4096  # tokens of a batch
    peak: float = 2e-3
    hidden: int = 192
    layers: int = 8
    heads: int = 4
    kernel: int = 4  # of a convolution: how many tokens it sees
    bf16: bool = True
    texts: int = 6000  # that the tokenizer learns from
    every: int = 200
    probes: int = 60  # questions of each
    loose: int = 150
    pages: int = 600
    alike: int = 1000
    many: int = 1200
    doubt: int = 1900
    settle: int = 2300
    named: int = 2600
    asked: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.hold < self.steps:
            raise ValueError(f"the rate is held for {self.hold} of {self.steps} steps, and must fall after that")

    def rate(self, step: int) -> float:
        """Share of the peak."""
        return min(1.0, (step + 1) / 100, (self.steps - step) / (self.steps - self.hold))


FIRST = Plan()
SECOND = Plan(  # of the weights that the first left: everything at once, and more questions on each page
    seed="micro-2",
    steps=2400,
    hold=1000,
    peak=1.5e-3,
    loose=0,
    pages=0,
    alike=0,
    many=0,
    doubt=0,
    settle=0,
    named=0,
    asked=4,
)


def lesson(plan: Plan, step: int, rng: random.Random) -> tuple[str, int, int]:
    """(form, passages or statements, turns) of a step's batch."""
    if step < plan.pages:
        count = rng.randint(2, 3 + step // 150)
        return "loose", count, count
    if step >= plan.named and rng.random() < 0.3:
        return "named", rng.randint(3, 10), 10
    if rng.random() < 0.25:
        return "loose", rng.randint(4, 12), 10
    count = rng.choice((0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 6, 8) if step > plan.many else (1, 2, 2, 3, 4))
    return "pages", count, min(4 + plan.asked * count, 20) if count else 1


def forms_at(plan: Plan, step: int) -> Mapping[str, int]:
    """How often each form of question is asked at a step."""
    if step >= plan.settle:
        return SETTLED
    return DOUBTFUL if step >= plan.doubt else FORMS


def batch(tokenizer: PreTrainedTokenizerFast, plan: Plan, *, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, weights), each (rows, length), right-padded with weight zero; about `plan.size` tokens."""
    rng = random.Random(f"{plan.seed}/{step}")
    if step < plan.loose:
        half = torch.tensor([rng.sample(range(len(SPECIAL), len(tokenizer)), 48) for _ in range(plan.size // 96)])
        return torch.cat([half, half], 1), torch.cat([torch.zeros_like(half), torch.ones_like(half)], 1).float()
    form, count, turns = lesson(plan, step, rng)
    alike = f"{plan.seed}/{step}" if step >= plan.alike else ""
    forms = forms_at(plan, step)
    rows: list[tuple[list[int], list[float]]] = []
    while not rows or sum(len(ids) for ids, _ in rows) < plan.size * (len(rows) - 0.5) / len(rows):
        key = f"{plan.seed}/{step}/{len(rows)}"
        if form == "pages":
            shown = exercise(key, passages=count, turns=turns, forms=forms, alike=alike)
        else:
            shown = (loose if form == "loose" else alike_but_for_the_name)(key, statements=count, turns=turns)
        rows.append(tokens(tokenizer, shown))
    length = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([r + [0] * (length - len(r)) for r, _ in rows])
    return ids, torch.tensor([w + [0.0] * (length - len(w)) for _, w in rows])


def loss_of(model: Callable[..., Any], ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The weighted mean of the next-token losses."""
    logits = model(input_ids=ids).logits[:, :-1].float()
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    weight = weights[:, 1:].flatten()
    return (losses * weight).sum() / weight.sum()


PROBES = {  # name -> passages, form of question
    "em_1": (1, "single"),
    "em_4": (4, "single"),
    "em_8": (8, "single"),
    "two_hop_4": (4, "two_hop"),
    "missing_4": (4, "missing"),
    "absent_4": (4, "absent"),
    "compare_4": (4, "compare"),
    "several_4": (4, "several"),
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
        if shown.turns:
            ids, weights = tokens(tokenizer, shown)
            guess = model(input_ids=torch.tensor([ids])).logits[0, :-1].argmax(-1)
            said = torch.tensor(weights[1:]) == 1.0
            right += bool((guess[said] == torch.tensor(ids[1:])[said]).all())
            total += 1
    return round(right / max(1, total), 3)


def fresh(plan: Plan, tokenizer: PreTrainedTokenizerFast) -> Lfm2ForCausalLM:
    """An untrained model of the plan's shape."""
    torch.manual_seed(int.from_bytes(plan.seed.encode()[:4], "little"))
    config = Lfm2Config(
        vocab_size=len(tokenizer),
        hidden_size=plan.hidden,
        intermediate_size=plan.hidden * 8 // 3,
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


def train(plan: Plan, out: Path, *, start: Path | None = None, resume: Path | None = None) -> list[dict[str, float]]:
    """Trains and writes the model, its tokenizer and its learning curve to `out`.

    `start` is a folder that another training wrote: its weights are trained further, with a fresh optimiser, and its
    curve goes on. `resume` names a file that holds the state of the training: it is gone on from there, and kept
    there. The model is not compiled: its convolutions would be compiled again for every length.
    """
    before: dict[str, Any] = {"plans": [], "points": []}
    if start:
        before = json.loads((start / "curve.json").read_text())
        tokenizer = PreTrainedTokenizerFast.from_pretrained(start)
        model = Lfm2ForCausalLM.from_pretrained(start, dtype=torch.float32)
    else:
        tokenizer = make_tokenizer(plan.seed, texts=plan.texts)
        model = fresh(plan, tokenizer)
    matrices = [p for n, p in model.named_parameters() if p.ndim > 1 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim <= 1 or "embed" in n]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=plan.peak, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, plan.rate)
    last = before["points"][-1] if start else {"step": 0, "tokens": 0, "seconds": 0.0}
    state: dict[str, Any] = {"step": 0, "tokens": last["tokens"], "seconds": last["seconds"], "curve": []}
    if resume and resume.exists():
        state = torch.load(resume, weights_only=True)
        model.load_state_dict(state.pop("model"))
        optimiser.load_state_dict(state.pop("optimiser"))
        schedule.last_epoch = state["step"]
    begin = time.perf_counter() - state["seconds"]
    for step in range(state["step"], plan.steps):
        ids, weights = batch(tokenizer, plan, step=step)
        with torch.autocast("cpu", torch.bfloat16) if plan.bf16 else contextlib.nullcontext():
            loss = loss_of(model, ids, weights)
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
                kept = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
                torch.save(state | kept | {"step": step + 1}, part)
                part.replace(resume)
    return list(state["curve"])


def save(out: Path, model: Lfm2ForCausalLM, tokenizer: PreTrainedTokenizerFast, curve: Mapping[str, Any]) -> None:
    """Write the model, its tokenizer and its learning curve. Weights are kept in 16 bits, and load as 32."""
    out.mkdir(parents=True, exist_ok=True)
    model.generation_config.update(pad_token_id=0, eos_token_id=tokenizer.eos_token_id)
    own = {name: weight.half() for name, weight in model.state_dict().items() if name != "lm_head.weight"}  # tied
    model.save_pretrained(out, state_dict=own)
    tokenizer.save_pretrained(out)
    (out / "curve.json").write_text(json.dumps(curve, indent=1) + "\n")


def main() -> None:
    """Train from the command line: by the first plan from nothing, by the second from the weights of the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "lm")
    parser.add_argument("--start", type=Path, help="train the weights in this folder further, by the second plan")
    parser.add_argument("--resume", type=Path, help="keep the state of the training in this file, and go on from it")
    for name, value in asdict(FIRST).items():
        parser.add_argument(f"--{name}", type=type(value) if not isinstance(value, bool) else yes)
    options = vars(parser.parse_args())
    out, start, resume = (options.pop(name) for name in ("out", "start", "resume"))
    given = {"bf16": bf16_is_fast()} | {name: value for name, value in options.items() if value is not None}
    train(replace(SECOND if start else FIRST, **given), out, start=start, resume=resume)


def yes(text: str) -> bool:
    """A word as a truth value."""
    return text.lower() in ("1", "true", "yes")


def bf16_is_fast() -> bool:
    """Whether this processor multiplies bf16 matrices itself; without that they are slower than fp32."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


if __name__ == "__main__":
    main()
