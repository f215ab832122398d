"""Keys and values with room for the answer: the same as transformers' own cache, token for token."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from bench.core.blocks import Model
from systems.parts import kv_cache, lm
from tests.conftest import MICRO


@pytest.fixture(scope="module")
def model() -> Any:
    return lm.load(Model(name=str(MICRO)), precision="native")[0]


def states(*tokens: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Keys and values of so many tokens each. (rows, heads, tokens, width)"""
    made = torch.Generator().manual_seed(1)
    for count in tokens:
        yield torch.randn(3, 2, count, 5, generator=made), torch.randn(3, 2, count, 5, generator=made)


def layer(model: Any, room: int) -> Any:
    (cache,) = kv_cache.roomy(model, room).values()
    return next(one for one in cache.layers if isinstance(one, DynamicLayer))


@pytest.mark.parametrize("room", [0, 2, 40])
def test_it_holds_what_transformers_own_holds(model: Any, room: int) -> None:
    ours, theirs = layer(model, room), DynamicLayer()
    for number, of in enumerate(states(7, 1, 1, 1, 4, 1)):
        for mine, its in zip(ours.update(*of), theirs.update(*of), strict=True):
            assert torch.equal(mine, its)
        assert ours.get_seq_length() == theirs.get_seq_length()
        if number == 2:
            ours.crop(-2), theirs.crop(-2)
    chosen = torch.tensor([2, 0])
    ours.batch_select_indices(chosen), theirs.batch_select_indices(chosen)
    assert torch.equal(ours.keys, theirs.keys) and torch.equal(ours.values, theirs.values)
    ours.reset()
    assert ours.get_seq_length() == 0


def test_what_was_selected_goes_on_by_itself(model: Any) -> None:
    """Rows that were chosen are other tensors than those that have room; what comes is put behind the chosen ones."""
    ours, theirs = layer(model, 8), DynamicLayer()
    first, second = states(5, 1)
    for one in (ours, theirs):
        one.update(*first)
        one.batch_select_indices(torch.tensor([1, 2]))
    after = tuple(of[:2] for of in second)
    for mine, its in zip(ours.update(*after), theirs.update(*after), strict=True):
        assert torch.equal(mine, its)


def test_tokens_are_written_into_memory_that_is_there(model: Any) -> None:
    ours = layer(model, 8)
    first, *later = states(5, *[1] * 8)
    ours.update(*first)
    where = ours.keys.data_ptr(), ours.values.data_ptr()
    for of in later:
        ours.update(*of)
        assert (ours.keys.data_ptr(), ours.values.data_ptr()) == where
    ours.update(*next(states(1)))
    assert ours.keys.data_ptr() != where[0] and ours.get_seq_length() == 14


def test_a_batch_says_what_generate_says_by_itself(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, tokenizer = lm.load(Model(name=str(MICRO)), precision="native")
    ready = lm.ready(model, tokenizer, max_new_tokens=12)
    made = torch.Generator().manual_seed(2)
    prompts = [torch.randint(10, 1200, (n,), generator=made).tolist() for n in (40, 3, 25, 90)]
    ours = ready.complete(prompts)
    monkeypatch.setattr(kv_cache, "roomy", lambda *_: {})
    assert ready.complete(prompts) == ours and len({text for text, _ in ours}) > 1


def test_a_model_with_a_cache_of_its_own_keeps_it(model: Any) -> None:
    text = SimpleNamespace(get_text_config=lambda **_: model.config.get_text_config(), is_encoder_decoder=False)

    def made(**known: Any) -> Any:
        settings = {"use_cache": True, "cache_implementation": None}
        generation = SimpleNamespace(**{**settings, **known.pop("settings", {})})
        parts = {"config": text, "_supports_default_dynamic_cache": lambda: True, "generation_config": generation}
        return SimpleNamespace(**{**parts, "forward": lambda past_key_values=None: None, **known})

    assert isinstance(kv_cache.roomy(made(), 4)["past_key_values"], DynamicCache)
    both = SimpleNamespace(**{**vars(text), "is_encoder_decoder": True})
    for other in (
        made(settings={"use_cache": False}),
        made(settings={"cache_implementation": "static"}),
        made(_supports_default_dynamic_cache=lambda: False),
        made(config=both),
        made(forward=lambda cache_params=None: None),  # as Mamba names it
        SimpleNamespace(generation_config=None, config=text),
    ):
        assert kv_cache.roomy(other, 4) == {}
