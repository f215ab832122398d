"""A LoRA layer in one step of autograd: outputs and gradients are PEFT's, and what has more to it is PEFT's own."""

from __future__ import annotations

import warnings
from typing import Any

import bitsandbytes
import pytest
import torch
from peft import LoraConfig, get_peft_model

from systems.parts import lora_step

IN, OUT = 64, 128


class Net(torch.nn.Module):
    """Two linear layers, the second with a bias or in four bits."""

    def __init__(self, second: torch.nn.Module) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(IN, IN, bias=False), second
        self.is_loaded_in_4bit = isinstance(second, bitsandbytes.nn.Linear4bit)  # as transformers says it to PEFT

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, tokens, IN) to (rows, tokens, OUT)"""
        found: torch.Tensor = self.second(torch.tanh(self.first(x)))
        return found


def four_bit(bias: bool) -> Any:
    made = bitsandbytes.nn.Linear4bit(IN, OUT, bias=bias, quant_type="nf4", compute_dtype=torch.float32)
    return made.to("cpu")


def tuned(*, four_bits: bool = False, bias: bool = True, **config: Any) -> Any:
    """The net with an adapter that changes what it says."""
    torch.manual_seed(3)
    second = four_bit(bias) if four_bits else torch.nn.Linear(IN, OUT, bias=bias)
    settings = {"r": 4, "lora_alpha": 12, "target_modules": ["first", "second"], "init_lora_weights": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_peft_model(Net(second), LoraConfig(**{**settings, **config})).train()


def taken(model: Any, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """The output, and the gradient of everything that learns and of the input."""
    given = x.clone().requires_grad_()
    out = model(given)
    out.square().mean().backward()
    found = {"out": out.detach(), "input": given.grad}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            found[name], weight.grad = weight.grad, None
    return {name: of for name, of in found.items() if of is not None}


@pytest.mark.parametrize("four_bits", [False, True], ids=["native", "nf4"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(3, 5, IN), (7, IN)], ids=str)
def test_outputs_and_gradients_are_pefts(four_bits: bool, bias: bool, shape: tuple[int, ...]) -> None:
    model, x = tuned(four_bits=four_bits, bias=bias), torch.randn(shape, generator=torch.Generator().manual_seed(4))
    theirs = taken(model, x)
    with lora_step.fused(model) as layers:
        assert layers == 2
        ours = taken(model, x)
    assert list(ours) == list(theirs) and len(ours) == 6
    for name in theirs:
        assert torch.allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-6), name
        assert theirs[name].abs().max() > 1e-4
    assert all(torch.equal(of, theirs[name]) for name, of in taken(model, x).items())  # PEFT's again


def test_a_step_of_each_is_fewer_operations() -> None:
    model, x = tuned(), torch.randn(2, 3, IN)

    def operations() -> int:
        seen, left = set[Any](), [model(x).grad_fn]
        while left:
            node = left.pop()
            if node is not None and node not in seen:
                seen.add(node)
                left += [n for n, _ in node.next_functions]
        return len(seen)

    theirs = operations()
    with lora_step.fused(model):
        assert operations() <= theirs / 2


@pytest.mark.parametrize(
    "config",
    [{"lora_dropout": 0.1}, {"use_dora": True}, {"lora_bias": True}],
    ids=["dropout", "DoRA", "bias"],
)
def test_what_has_more_to_it_is_left(config: dict[str, Any]) -> None:
    with lora_step.fused(tuned(**config)) as layers:
        assert layers == 0


def test_several_adapters_merged_ones_and_other_numbers_are_left() -> None:
    two = tuned()
    two.add_adapter("other", LoraConfig(r=2, target_modules=["first"]))
    two.base_model.set_adapter(["default", "other"])
    with lora_step.fused(two) as layers:
        assert layers == 0
    merged = tuned()
    merged.merge_adapter()
    half = tuned()
    half.base_model.model.first.base_layer.to(torch.bfloat16)
    with lora_step.fused(merged) as layers, lora_step.fused(half) as of_half:
        assert (layers, of_half) == (0, 1)
    with tuned().disable_adapter(), lora_step.fused(merged) as layers:
        assert layers == 0
