"""Answers in batches: what each says is what it says alone, and the few long ones do not hold the others up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from bench.core.blocks import Model
from systems.micro.lessons import tokens
from systems.micro.reading import exercise
from systems.parts import lm
from tests.conftest import MICRO

MOST = 40


@pytest.fixture(scope="module")
def reader() -> lm.LM:
    """The micro model."""
    return lm.ready(*lm.load(Model(name=str(MICRO)), precision="native"), max_new_tokens=MOST)


def asked(reader: lm.LM, form: str, count: int) -> Iterator[list[int]]:
    """Prompts of pages and a question on one of them."""
    assistant = reader.tokenizer.vocab["<assistant>"]
    for n in range(count):
        made = exercise(f"batch/{form}/{n}", passages=4, turns=1, forms={form: 1})
        if made.turns:
            ids = tokens(reader.tokenizer, made).ids
            yield ids[: ids.index(assistant) + 1]


def steps(reader: lm.LM, prompts: Sequence[list[int]], size: int) -> tuple[list[tuple[str, int]], Counter[str]]:
    """(the answers, how many passes of the model read a prompt, and how many a token)."""
    seen: Counter[str] = Counter()

    def count(_: Any, __: Any, given: dict[str, Any], ___: Any) -> None:
        seen["token" if given["input_ids"].shape[1] == 1 else "prompt"] += 1

    hook = reader.model.register_forward_hook(count, with_kwargs=True)
    try:
        return reader.complete_all(prompts, size), seen
    finally:
        hook.remove()


@pytest.fixture(scope="module")
def mixed(reader: lm.LM) -> list[list[int]]:
    """Thirty questions of short answers, and between them six documents of many words."""
    short, long = [*asked(reader, "single", 30)], [*asked(reader, "draw", 12)][:6]
    assert len(short) == 30 and len(long) == 6
    return [prompt for n, prompt in enumerate(short) for prompt in ([prompt, long[n // 5]] if n % 5 == 2 else [prompt])]


def test_each_answer_is_that_of_the_prompt_alone(reader: lm.LM, mixed: list[list[int]]) -> None:
    alone = [reader.complete([prompt])[0] for prompt in mixed]
    lengths = sorted(tokens for _, tokens in alone)
    assert lengths[29] <= 6 and lengths[30] >= 15  # so that batches are of both kinds
    for size in (1, 4, len(mixed)):
        assert reader.complete_all(mixed, size) == alone


def test_long_answers_do_not_hold_a_batch_up(reader: lm.LM, mixed: list[list[int]]) -> None:
    """Nine batches of four, in each of which one may be long, take as many tokens as their longest."""
    _, seen = steps(reader, mixed, 4)
    order = sorted(mixed, key=len, reverse=True)
    held = sum(max(n for _, n in reader.complete(order[i : i + 4])) - 1 for i in range(0, len(order), 4))
    assert seen["token"] < 0.8 * held and seen["prompt"] <= 9 + 2


def test_answers_of_like_lengths_are_read_once(reader: lm.LM) -> None:
    long = [*asked(reader, "draw", 16)][:8]
    _, seen = steps(reader, long, 4)
    assert seen["prompt"] == 2


def test_an_answer_has_as_many_tokens_as_it_may(reader: lm.LM, mixed: list[list[int]]) -> None:
    """Also one that was set aside and gone on with."""
    cut = lm.LM(reader.model, reader.tokenizer, 12, reader.window)
    said = cut.complete_all(mixed, 8)
    assert said == [cut.complete([prompt])[0] for prompt in mixed]
    assert max(tokens for _, tokens in said) == 12
