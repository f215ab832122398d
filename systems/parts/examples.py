"""Training examples as token ids: prompts as the system will see them, the loss on the answer only."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.blocks import Prompt, Replay
from bench.core.exercises import read_exercises
from bench.core.vocabulary import Example, Hit, Passage
from systems.parts import prompt as prompts
from systems.parts import retrieve

IGNORED = -100  # the label that the loss leaves out


@dataclass(frozen=True)
class Encoded:
    """One training sequence. `labels` are IGNORED on the prompt."""

    ids: list[int]
    labels: list[int]


Context = Callable[[Example], list[tuple[str, str]] | None]  # the passages of an example's prompt, (title, text)


def no_context(_: Example) -> None:
    """No passages: the prompt is closed-book."""
    return


def distractors(
    search: Callable[[Sequence[str], int], list[list[Hit]]],
    corpus: Sequence[Passage],
    *,
    count: int,
    keep_gold: float,
    closed_book: float = 0.0,
    seed: int,
) -> Context:
    """RAFT contexts: the gold passage, with probability `keep_gold`, shuffled among `count` retrieved others.

    With probability `closed_book` there is none.
    """
    known = retrieve.by_id(corpus)

    def context(example: Example) -> list[tuple[str, str]] | None:
        if random.Random(f"{seed}/closed/{example.question.id}").random() < closed_book:
            return None
        rng = random.Random(f"{seed}/{example.question.id}")
        hits = retrieve.among(search, known, example.question, count=count, rng=rng, keep_gold=keep_gold)
        return [(h.title, h.text) for h in hits]

    return context


def taught(example: Example, prompt: Prompt) -> str | None:
    """The answer that an example teaches: its first, or to abstain where there is none; None without a reference."""
    if example.answers is None:
        return None
    return example.answers[0] if example.answers else prompt.abstain[0]


@dataclass(frozen=True)
class Pairs:
    """Training rows, and the ids of the examples that lost passages to the window, or did not fit it at all."""

    rows: list[Encoded]
    truncated: tuple[str, ...]
    skipped: tuple[str, ...]


def pairs(tokenizer: Any, examples: Sequence[Example], prompt: Prompt, context: Context, *, window: int) -> Pairs:
    """Question-answer pairs; an unanswerable one learns to abstain. Examples without a reference are left out."""
    rows: list[Encoded] = []
    truncated: list[str] = []
    skipped: list[str] = []
    for example in examples:
        target = taught(example, prompt)
        if target is None:
            continue
        passages = context(example)
        said = prompts.encode_answer(tokenizer, prompts.messages(prompt, example.question, passages), target)
        try:
            fitted = prompts.fit(tokenizer, prompt, example.question, passages, window=window - len(said))
        except prompts.TooLong:
            skipped.append(example.question.id)
            continue
        if fitted.truncated:
            truncated.append(example.question.id)
        rows.append(Encoded(fitted.ids + said, [IGNORED] * len(fitted.ids) + said))
    return Pairs(rows, tuple(truncated), tuple(skipped))


def rehearsed(tokenizer: Any, replay: Replay, beside: int, *, seed: int, window: int) -> list[Encoded]:
    """As many exercises as make `replay.share` of all rows beside so many others, drawn by the seed; none twice before
    each was drawn once. What does not fit the window is left out."""
    known, rng = read_exercises(Path(replay.path)), random.Random(f"{seed}/replay")
    wanted, drawn = round(beside * replay.share / (1 - replay.share)), list[tuple[str, str]]()
    while len(drawn) < wanted:
        drawn += rng.sample(known, min(len(known), wanted - len(drawn)))
    rows = []
    for prompt, answer in drawn:
        conversation: list[prompts.Message] = [{"role": "user", "content": prompt}]
        ids = prompts.encode(tokenizer, conversation)
        said = prompts.encode_answer(tokenizer, conversation, answer)
        if len(ids) + len(said) <= window:
            rows.append(Encoded(ids + said, [IGNORED] * len(ids) + said))
    return rows


def plain(tokenizer: Any, corpus: Sequence[Passage], *, window: int) -> list[Encoded]:
    """The passages themselves (continued pre-training), cut to the window, the loss on every token."""
    rows = []
    for passage in corpus:
        ids = [*tokenizer.encode(prompts.as_text(tokenizer, passage.text)), tokenizer.eos_token_id]
        rows += [Encoded(ids[i : i + window], ids[i : i + window]) for i in range(0, len(ids), window)]
    return rows
