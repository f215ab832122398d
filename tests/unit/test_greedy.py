"""Answers are decoded greedily, whatever a checkpoint says, also by models that keep a state of their own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from bench.core import meters
from bench.core.blocks import Model
from systems.parts import lm
from tests.conftest import MICRO

PROMPTS = [[5, 9, 12, 9, 12, 9], [7, 8, 30, 7, 8, 30, 7, 8, 30]]


@pytest.mark.parametrize(
    "own",
    [
        {"repetition_penalty": 1.8},
        {"no_repeat_ngram_size": 2},
        {"stop_strings": ["x"]},
        {"num_return_sequences": 2, "do_sample": True},
        {"return_dict_in_generate": True},
        {"do_sample": True, "temperature": 0.7},
    ],
    ids=lambda own: next(iter(own)),
)
def test_a_checkpoint_decodes_no_other_way(own: dict[str, Any]) -> None:
    model, tokenizer = lm.load(Model(name=str(MICRO)), precision="native")
    plain = lm.ready(model, tokenizer, max_new_tokens=8).complete(PROMPTS)
    for key, value in own.items():
        setattr(model.generation_config, key, value)
    assert lm.ready(model, tokenizer, max_new_tokens=8).complete(PROMPTS) == plain


def test_what_is_left_aside_is_noted() -> None:
    kept = lm.greedy(GenerationConfig(eos_token_id=[2, 3], repetition_penalty=1.1, temperature=0.7, use_cache=False))
    assert (kept.eos_token_id, kept.use_cache) == ([2, 3], False)
    assert meters.notes()["generation_config_left_aside"] == {"repetition_penalty": "1.1"}


@pytest.mark.parametrize("kind", ["mamba", "mamba2", "falcon_mamba"])
def test_a_model_with_a_state_answers(kind: str) -> None:
    """Its cache has another name."""
    torch.manual_seed(0)
    _, tokenizer = lm.load(Model(name=str(MICRO)), precision="native")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": len(tokenizer), "pad_token_id": 0}
    heads = {"num_heads": 4, "head_dim": 16, "n_groups": 1, "state_size": 16} if kind == "mamba2" else {}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, eos_token_id=3, **sizes, **heads)).eval()
    reader = lm.ready(model, tokenizer, max_new_tokens=4)
    assert [tokens for _, tokens in reader.complete(PROMPTS)] != [0, 0]
