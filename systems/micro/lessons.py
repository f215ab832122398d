"""What the micro language model is shown at each step of a training, in tokens."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from systems.micro.reading import (
    BY_NAME,
    COMPARED,
    DOUBTFUL,
    FORMS,
    SETTLED,
    Exercise,
    alike_but_for_the_name,
    exercise,
    loose,
    scales,
)
from systems.micro.vocabulary import SPECIAL

PAGE_WEIGHT = 0.03  # of a token outside the answers
FOUND, SAID = 0, 1  # kinds of a step


@dataclass(frozen=True)
class Row:
    """An exercise as a conversation: the ids, the loss weight of each, and at which of them what is to be known.

    A step is a place, a token and a kind: at a name the first token of what is found for it, and where an answer
    begins its own first token.
    """

    ids: list[int]
    weights: list[float]
    steps: list[tuple[int, int, int]]


def tokens(tokenizer: PreTrainedTokenizerFast, asked: Exercise) -> Row:
    """The exercise in tokens."""
    user, assistant, end = (tokenizer.vocab[t] for t in ("<user>", "<assistant>", "<end>"))

    def coded(text: str) -> list[int]:
        return list(tokenizer.backend_tokenizer.encode(" " + text, add_special_tokens=False).ids)

    row = Row([], [], [])
    for turn, ((question, answer), steps) in enumerate(zip(asked.turns, asked.steps, strict=True)):
        shown = "".join(p + "\n" for p in asked.passages) + "\n" if turn == 0 and asked.passages else ""
        prompt = [user, *coded(shown + question), assistant]
        for name, found in steps:
            at = last_place(prompt, coded(name)) + len(coded(name)) - 1
            row.steps.append((len(row.ids) + at, coded(found)[0], FOUND))
        said = [*coded(answer), end]
        row.steps.append((len(row.ids) + len(prompt) - 1, said[0], SAID))
        row.ids.extend(prompt + said)
        row.weights.extend([PAGE_WEIGHT] * len(prompt) + [1.0] * len(said))
    return row


def last_place(ids: list[int], of: list[int]) -> int:
    """Where a sequence stands for the last time. Raises ValueError where it stands nowhere."""
    for at in range(len(ids) - len(of), -1, -1):
        if ids[at : at + len(of)] == of:
            return at
    raise ValueError(f"{of} is no part of {ids}")


@dataclass(frozen=True)
class Plan:
    """A training. The rate is held until step `hold`, then falls to zero at the last.

    What the exercises are grows with the steps: repeated random sequences, from step `loose` on single statements,
    from `pages` on whole pages, from `alike` on pages that a search finds together, from `many` on up to eight of
    them; from `doubt` on more of the questions have no answer, and from `settle` on about as many as in a dataset;
    from `named` on many statements differ in the name alone, which is what is matched worst; from `compare` until
    `settle` many questions compare, most of them until `mixed`. `asked` is how many questions are asked for each page
    more.
    """

    seed: str = "micro-4"
    steps: int = 1600
    hold: int = 800
    size: int = 16_384  # tokens of a batch
    peak: float = 2.5e-3
    hidden: int = 160
    layers: int = 8
    heads: int = 4
    kernel: int = 4  # of a convolution: how many tokens it sees
    bf16: bool = True
    texts: int = 6000  # that the tokenizer learns from
    every: int = 400
    probes: int = 40  # questions of each
    loose: int = 150
    pages: int = 600
    alike: int = 900
    many: int = 1100
    doubt: int = 720
    settle: int = 1200
    named: int = 800
    compare: int = 1600
    mixed: int = 1600
    asked: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.hold < self.steps:
            raise ValueError(f"the rate is held for {self.hold} of {self.steps} steps, and must fall after that")

    def rate(self, step: int) -> float:
        """Share of the peak."""
        return min(1.0, (step + 1) / 100, (self.steps - step) / (self.steps - self.hold))


FIRST = Plan()
SECOND = Plan(  # of the weights that the first left: it compares, and then all of this at once
    seed="micro-5",
    steps=2000,
    hold=1000,
    size=4096,
    peak=1e-3,
    loose=0,
    pages=0,
    alike=0,
    many=0,
    doubt=0,
    named=0,
    compare=0,
    mixed=450,
    settle=1600,
)


def lesson(plan: Plan, step: int, rng: random.Random) -> tuple[str, int, int]:
    """(form, passages or statements, turns) of a step's batch."""
    if step >= plan.compare:
        if rng.random() < (0.2 if step < plan.settle else 0.05):
            return "scales", 0, 20
        if step < plan.settle and rng.random() < (0.8 if step < plan.mixed else 0.25):
            return "compared", rng.randint(3, 6), 14
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


Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def batch(tokenizer: PreTrainedTokenizerFast, plan: Plan, *, step: int) -> Batch:
    """(ids, weights, steps) of about `plan.size` tokens.

    Ids and weights are (rows, length), right-padded with weight zero; steps are (n, 4): row, place, token and kind.
    """
    rng = random.Random(f"{plan.seed}/{step}")
    if step < plan.loose:
        half = torch.tensor([rng.sample(range(len(SPECIAL), len(tokenizer)), 48) for _ in range(plan.size // 96)])
        weights = torch.cat([torch.zeros_like(half), torch.ones_like(half)], 1).float()
        return torch.cat([half, half], 1), weights, torch.zeros(0, 4, dtype=torch.long)
    form, count, turns = lesson(plan, step, rng)
    alike = f"{plan.seed}/{step}" if step >= plan.alike else ""
    forms = forms_at(plan, step)
    rows: list[Row] = []
    while not rows or sum(len(r.ids) for r in rows) < plan.size * (len(rows) - 0.5) / len(rows):
        key = f"{plan.seed}/{step}/{len(rows)}"
        match form:
            case "scales":
                shown = scales(key, turns=turns)
            case "loose":
                shown = loose(key, statements=count, turns=turns)
            case "pages":
                shown = exercise(key, passages=count, turns=turns, forms=forms, alike=alike)
            case _:
                by = COMPARED if form == "compared" else BY_NAME
                shown = alike_but_for_the_name(key, statements=count, turns=turns, forms=by)
        rows.append(tokens(tokenizer, shown))
    length = max(len(r.ids) for r in rows)
    ids = torch.tensor([r.ids + [0] * (length - len(r.ids)) for r in rows])
    weights = torch.tensor([r.weights + [0.0] * (length - len(r.weights)) for r in rows])
    steps = [(n, *step) for n, r in enumerate(rows) for step in r.steps]
    return ids, weights, torch.tensor(steps, dtype=torch.long).reshape(-1, 4)


class Batches(torch.utils.data.Dataset[Batch]):
    """The batches of a plan by step, so that other processes can make them."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, plan: Plan) -> None:
        self.tokenizer, self.plan = tokenizer, plan

    def __getitem__(self, step: int) -> Batch:
        return batch(self.tokenizer, self.plan, step=step)


def batches(tokenizer: PreTrainedTokenizerFast, plan: Plan, *, start: int, workers: int) -> Iterator[Batch]:
    """The batches from step `start` on, in order, made ahead by `workers` processes, or here where there are none."""
    return iter(
        torch.utils.data.DataLoader(
            Batches(tokenizer, plan), batch_size=None, sampler=range(start, plan.steps), num_workers=workers
        )
    )
