"""P1, P2: questions of mixed lengths, ours against the harness that people use and against a plain loop."""

from __future__ import annotations

import random
from functools import cache, partial
from typing import Any

import pytest

from bench.core.blocks import Generation, Model, Prompt, Tuning
from bench.core.meters import timed
from bench.core.system import SystemConfig
from bench.core.vocabulary import Material, Question
from bench.execution.cell import BATCHES
from systems.parts import adapter, lm, reader
from systems.parts.prompt import encode
from tests.conftest import MICRO
from tests.perf.peers import PLANT, Peer, in_turns, threads, told

COUNT, NEW, SIZE = 200, 16, 16


@cache
def asked() -> tuple[Question, ...]:
    """Questions of the plant, below no page up to six: prompts of 10 to 500 tokens, as they come."""
    from bench.data.formats import native

    task, rng = native.read_folder(PLANT), random.Random("mixed")
    pages = [p.text for p in task.corpus]
    shown = ("\n".join([*rng.sample(pages, rng.randint(0, 6)), e.question.text]) for e in task.test)
    return tuple(Question(f"q{n}", text) for n, text in zip(range(COUNT), shown, strict=False))


@pytest.fixture(scope="module")
def made() -> reader.Reader:
    prompt = Prompt(system="", closed_book="{question}")
    config = SystemConfig(
        model=Model(name=str(MICRO)), prompt=prompt, generation=Generation(max_new_tokens=NEW, batch_size=SIZE)
    )
    return reader.reader(config, Material(()), model=reader.base(config))


def ours(made: reader.Reader) -> list[str]:
    """As a cell does: so many questions at once."""
    step, questions = BATCHES * SIZE, asked()
    return [a.text for start in range(0, COUNT, step) for a in made.answer(questions[start : start + step])]


def test_against_the_evaluation_harness(benchmark: Any, made: reader.Reader) -> None:
    assert isinstance(made.model, lm.LM)
    tokenizer = made.model.tokenizer
    prompts = [
        tokenizer.apply_chat_template([{"role": "user", "content": q.text}], tokenize=False, add_generation_prompt=True)
        for q in asked()
    ]
    with Peer("harness", threads=threads()) as peer:

        def theirs(size: int) -> list[str]:
            said = peer.ask(model=str(MICRO), batch=size, end="<end>", new_tokens=NEW, prompts=prompts)
            return [text.strip() for text in said]

        sizes = {size: min(timed(partial(theirs, size))[1].seconds for _ in range(3)) for size in (8, 16, 32, 64)}
        best = min(sizes, key=lambda size: sizes[size])
        assert theirs(best) == ours(made)
        ratios = in_turns(lambda: ours(made), lambda: theirs(best))
    what, note = f"answering {COUNT} questions of 10 to 500 tokens", f"its batch of {best}, the best of {sorted(sizes)}"
    assert (
        told(benchmark, "P1", what, "lm-evaluation-harness", ratios, lambda: ours(made), target=0.80, note=note) < 1.5
    )


def test_against_a_plain_loop(benchmark: Any, made: reader.Reader) -> None:
    model = made.model
    assert isinstance(model, lm.LM)
    ids = [encode(model.tokenizer, [{"role": "user", "content": q.text}]) for q in asked()]

    with Peer("loop", threads=threads()) as peer:

        def plain() -> list[str]:
            said = peer.ask(model=str(MICRO), batch=SIZE, new_tokens=NEW, prompts=ids)
            return [text.strip() for text in said]

        assert plain() == ours(made)
        ratios = in_turns(lambda: ours(made), plain)
    what = f"answering {COUNT} questions of 10 to 500 tokens"
    assert told(benchmark, "P2", what, "a loop of `generate`", ratios, lambda: ours(made), target=0.35) < 0.9


@pytest.mark.parametrize("named", [{"name": str(MICRO)}, {"shape": "100m"}], ids=["micro", "100m"])
@pytest.mark.parametrize("size", [1, 16], ids=["alone", "of_16"])
def test_merged_against_the_adapter_beside(benchmark: Any, named: dict[str, Any], size: int) -> None:
    """A LoRA adapter of rank 16 merged into the weights, against the same beside them: prompts of 300 tokens, eight
    tokens of answer. Adapters start as no change, so that both say the same."""
    model, tokenizer = lm.load(Model.model_validate({**named, "device": "cpu"}), precision="native")
    beside = lm.ready(adapter.adapted(model, Tuning(rank=16), precision="native", seed=1), tokenizer, max_new_tokens=8)
    alone, _ = lm.load(Model.model_validate({**named, "device": "cpu"}), precision="native")
    merged = lm.ready(alone, tokenizer, max_new_tokens=8)
    rng = random.Random("serving")
    prompts = [[rng.randrange(10, 500) for _ in range(300)] for _ in range(size)]
    assert beside.complete(prompts) == merged.complete(prompts)
    ratios = in_turns(lambda: merged.complete(prompts), lambda: beside.complete(prompts), pairs=9)
    shape = "micro" if "name" in named else "100M"
    what = f"serving a merged adapter, {shape}, {'one question' if size == 1 else f'{size} at once'}"
    beside_it, ours = "the adapter beside the weights", partial(merged.complete, prompts)
    assert told(benchmark, "-", what, beside_it, ratios, ours, target=1.0) < 1.1
