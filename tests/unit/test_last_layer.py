"""The last layer works out what is asked of it, and that is as it was, of every architecture that it is done for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from systems.parts import last_layer

SIZES = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16,
    "intermediate_size": 48, "vocab_size": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
IDS = torch.arange(3, 27).view(2, 12)


def made(kind: str) -> Any:
    torch.manual_seed(5)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SIZES)).eval()


def part(model: Any) -> Any:
    last = model.get_decoder().layers[-1]
    return last.feed_forward if hasattr(last, "feed_forward") else last.mlp


def widths(model: Any) -> list[int]:
    """The positions that the last feed-forward part was given, filled in as the model runs."""
    seen: list[int] = []
    linear = next(module for module in part(model).modules() if isinstance(module, torch.nn.Linear))
    linear.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    return seen


@pytest.mark.parametrize("kind", sorted(last_layer.KINDS))
def test_the_end_of_a_prompt_is_what_it_was(kind: str) -> None:
    model = made(kind)
    seen = widths(model)
    with torch.inference_mode():
        theirs = model(IDS, use_cache=True)
        with last_layer.only(model):
            ours = model(IDS, use_cache=True)
            following = model(IDS[:, :1], past_key_values=ours.past_key_values).logits
        after = model(IDS[:, :1], past_key_values=theirs.past_key_values).logits
    assert seen == [12, 1, 1, 1]
    assert torch.allclose(ours.logits[:, -1], theirs.logits[:, -1], atol=1e-5)
    assert torch.allclose(following, after, atol=1e-5)
    assert not torch.allclose(ours.logits[:, 0], theirs.logits[:, 0], atol=1e-3)  # of what nobody reads


@pytest.mark.parametrize("kind", sorted(last_layer.KINDS))
def test_a_loss_has_the_gradients_that_it_had(kind: str) -> None:
    model = made(kind)
    kept = torch.tensor([4, 9, 10])

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        model(IDS, logits_to_keep=kept, shift_labels=IDS[:, kept], labels=IDS).loss.backward()
        return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}

    theirs = gradients()
    with last_layer.only(model) as asked:
        asked.positions = kept
        ours = gradients()
    assert list(ours) == list(theirs) and max(of.abs().max() for of in theirs.values()) > 1e-3
    for name, of in theirs.items():
        assert torch.allclose(ours[name], of, atol=1e-6), name


def test_afterwards_it_runs_everywhere_and_what_was_set_on_it_stands() -> None:
    model = made("llama")
    seen, mine = widths(model), part(model).forward
    with last_layer.only(model):
        model(IDS)
    model(IDS)
    part(model).forward = mine  # as what places layers on devices sets it
    with pytest.raises(RuntimeError), last_layer.only(model):
        raise RuntimeError
    assert vars(part(model))["forward"] == mine
    assert seen == [1, 12]


def test_of_other_architectures_it_runs_everywhere() -> None:
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("gpt_neox", **{n: size for n, size in SIZES.items() if n != "num_key_value_heads"})
    )
    seen: list[int] = []
    model.get_decoder().layers[-1].mlp.dense_h_to_4h.register_forward_pre_hook(
        lambda _, given: seen.append(given[0].shape[1])
    )
    with last_layer.only(model):
        model(IDS)
    assert seen == [12]
