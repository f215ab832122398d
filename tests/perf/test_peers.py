"""The fast paths against what a plain script would do, in turns, on the same work: median ratio and its tenths."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Trainer

from bench.core.system import Generation, Model, Prompt, SystemConfig, Tuning
from bench.core.vocabulary import Example, Material, Question
from bench.stats import paired_timing
from systems.parts import adapter, lm, reader, train
from tests.conftest import MICRO

WORDS = [
    "torque",
    "pressure",
    "interval",
    "speed",
    "oil",
    "pump",
    "hall",
    "valve",
    "engineer",
    "the",
    "of",
    "is",
    "and",
    "every",
    "page",
]
PAIRS = 7


def questions(count: int, longest: int) -> list[Question]:
    """Questions of 4 to so many words, as they come: short and long ones mixed."""
    rng = random.Random("peers")
    return [Question(f"q{i}", " ".join(rng.choices(WORDS, k=rng.randint(4, longest)))) for i in range(count)]


def told(benchmark: Any, ratios: Sequence[float], ours: Callable[[], object]) -> float:
    """The median of ours over plain, told with its tenths; the benchmark's own time is of ours alone."""
    low, middle, high = map(float, np.percentile(ratios, (10, 50, 90)))
    threads = torch.get_num_threads()
    benchmark.extra_info |= {"ratio": middle, "p10": low, "p90": high, "pairs": len(ratios), "threads": threads}
    print(f"\n{benchmark.name}: {middle:.2f} of plain ({low:.2f} to {high:.2f}), {threads} threads")
    benchmark.pedantic(ours, rounds=1, iterations=1)
    return middle


def test_answers_of_mixed_lengths(benchmark: Any) -> None:
    """P2: a plain loop of `generate` over slices as they come. Greedy text is the same."""
    prompt = Prompt(system="", closed_book="{question}")
    config = SystemConfig(model=Model(name=str(MICRO)), prompt=prompt, generation=Generation(max_new_tokens=4))
    made = reader.reader(config, Material(()), model=reader.base(config))
    asked, model = questions(128, 150), made.model
    assert isinstance(model, lm.LM)
    encoded = [
        model.tokenizer.apply_chat_template([{"role": "user", "content": q.text}], add_generation_prompt=True)
        for q in asked
    ]
    ids = [list(e["input_ids"] if not isinstance(e, list) else e) for e in encoded]

    def ours() -> list[str]:
        return [a.text for start in range(0, 128, 64) for a in made.answer(asked[start : start + 64])]

    def plain() -> list[str]:
        return [text for start in range(0, 128, 16) for text, _ in model.complete(ids[start : start + 16])]

    assert ours() == plain()
    found = [a / b for a, b in paired_timing.in_turns(ours, plain, pairs=PAIRS)]
    assert told(benchmark, found, ours) < 0.9


def test_training_on_mixed_lengths(benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P4: the Trainer with its own order of rows; as many steps on the same tokens."""
    pairs = tuple(Example(q, ("14 rpm",), split="train") for q in questions(128, 120))
    tuning = Tuning(epochs=1, batch_size=16, rank=8)
    recipe = train.Recipe("lora", Model(name=str(MICRO)), "native", Prompt(system=""), tuning, 1)
    material, seconds, tokens = Material((), pairs), dict[str, list[float]](), set[int]()

    def trained(name: str) -> None:
        with monkeypatch.context() as patch:
            if name == "plain":
                patch.setattr(train, "_Grouped", Trainer)
            facts = train.train(recipe, material, None, tmp_path / name)  # type: ignore[arg-type]
        tokens.add(facts["tokens"])
        seconds.setdefault(name, []).append(facts["train_loop_s"])

    trained("ours"), trained("plain")
    for number in range(PAIRS):
        for name in ("ours", "plain") if number % 2 else ("plain", "ours"):
            trained(name)
    found = [a / b for a, b in zip(seconds["ours"][1:], seconds["plain"][1:], strict=True)]
    assert told(benchmark, found, lambda: trained("ours")) < 0.95 and len(tokens) == 1


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
    pairs = paired_timing.in_turns(lambda: beside.complete(prompts), lambda: merged.complete(prompts), pairs=9)
    found = paired_timing.ratio(pairs)
    benchmark.extra_info |= found
    print(
        f"\n{benchmark.name}: {found['ratio']:.2f} of the adapter's time (95% interval {found['low']:.2f} to "
        f"{found['high']:.2f}); {1000 * float(found['b_s'] or 0):.0f} against {1000 * float(found['a_s'] or 0):.0f} ms"
    )
    benchmark.pedantic(lambda: merged.complete(prompts), rounds=1, iterations=1)
    assert float(found["ratio"] or 2) < 1.1
