"""Training examples as token ids: prompts as the system will see them, the loss on the answer only."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.blocks import Prompt, Replay, Retrieval
from bench.core.exercises import read_exercises
from bench.core.vocabulary import Example, Passage, Question
from systems.parts import prompt as prompts
from systems.parts import retrieve

IGNORED = -100  # the label that the loss leaves out


@dataclass(frozen=True)
class Encoded:
    """One training sequence. `labels` are IGNORED on the prompt."""

    ids: list[int]
    labels: list[int]


Passages = list[tuple[str, str]] | None  # of an example's prompt, (title, text); None: the prompt is closed-book
Context = Callable[[Sequence[Example]], list[Passages]]


def no_context(examples: Sequence[Example]) -> list[Passages]:
    """No passages: prompts are closed-book."""
    return [None] * len(examples)


def distractors(
    search: retrieve.Search,
    corpus: Sequence[Passage],
    *,
    prompt: Prompt,
    retrieval: Retrieval,
    count: int,
    keep_gold: float,
    closed_book: float = 0.0,
    seed: int,
) -> Context:
    """RAFT contexts: the gold passage, with probability `keep_gold`, shuffled among `count` retrieved others.

    With probability `closed_book` there is none.
    """
    known = retrieve.by_id(corpus)

    def is_closed(question: Question) -> bool:
        return random.Random(f"{seed}/closed/{question.id}").random() < closed_book

    def context(examples: Sequence[Example]) -> list[Passages]:
        asked = [e.question for e in examples]
        shown = [q for q in asked if not is_closed(q)]
        found = retrieve.among(
            search, known, shown, count=count, rng=lambda q: random.Random(f"{seed}/{q.id}"), keep_gold=keep_gold
        )
        hits = iter(found)
        return [None if is_closed(q) else prompts.shown(next(hits), prompt, retrieval) for q in asked]

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
    known = [example for example in examples if example.answers is not None]
    for example, passages in _with_passages(known, context):
        target = taught(example, prompt)
        assert target is not None
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


def _with_passages(examples: Sequence[Example], context: Context) -> Iterator[tuple[Example, Passages]]:
    """Each example with the passages of its prompt, which are looked up many at a time."""
    for start in range(0, len(examples), retrieve.AT_ONCE):
        some = examples[start : start + retrieve.AT_ONCE]
        yield from zip(some, context(some), strict=True)


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
