"""LoRA's layers as they train on a processor: each is one operation of autograd, and not eight.

PEFT takes the base's product, A's, B's, the scaling and the sum one after the other, and autograd goes back through
each. Here B's product is added into the base's by the call that computes it, and the scaling is that of the narrow
tensor between A and B. The gradients are those of LoRA (Hu et al. 2021), rounded otherwise. On a GPU, and in a layer
that has more to it (dropout, DoRA, several adapters, numbers of several widths), PEFT's own way is taken.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn.modules import Linear4bit
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.bnb import Linear4bit as Lora4bit
from peft.tuners.lora.layer import Linear as LoraLinear


@contextlib.contextmanager
def fused(model: Any) -> Iterator[int]:
    """Within it the LoRA layers of a model that can take one step for each do. Yields how many these are."""
    layers: list[Any] = [m for m in model.modules() if isinstance(m, LoraLayer) and _is_plain(m)]
    for layer in layers:
        layer.forward = partial(_forward, layer, layer.active_adapters[0])
    try:
        yield len(layers)
    finally:
        for layer in layers:
            del layer.forward


def _is_plain(layer: Any) -> bool:
    """Whether a layer is `base(x) + scaling * B(A(x))` in float32 on a processor, and nothing else."""
    base, adapters = layer.get_base_layer(), layer.active_adapters
    if (type(layer), type(base)) not in ((LoraLinear, torch.nn.Linear), (Lora4bit, Linear4bit)):
        return False
    if len(adapters) != 1 or adapters[0] not in layer.lora_A or layer.merged or layer.disable_adapters:
        return False
    name = adapters[0]
    a, b = layer.lora_A[name], layer.lora_B[name]
    computed = base.compute_dtype if isinstance(base, Linear4bit) else base.weight.dtype
    return (
        name not in layer.lora_variant
        and isinstance(layer.lora_dropout[name], torch.nn.Identity)
        and b.bias is None
        and not layer.fan_in_fan_out
        and {a.weight.dtype, b.weight.dtype, computed} == {torch.float32}
        and base.weight.device.type == "cpu"
    )


def _forward(layer: Any, adapter: str, x: torch.Tensor) -> torch.Tensor:
    a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
    base = layer.get_base_layer()
    of: Any = _Fused
    found: torch.Tensor = of.apply(x, a, b, layer.scaling[adapter], base.weight, base.bias)
    return found


def _weight(held: torch.Tensor) -> torch.Tensor:
    """The base's weight, out of its four bits where it is in these. (out, in)"""
    state = getattr(held, "quant_state", None)
    return held if state is None else dequantize_4bit(held, state).to(torch.float32)


class _Fused(torch.autograd.Function):
    """`x W' + bias + s (x A') B'`, the base frozen; 4-bit weights are unpacked on either way, and not kept."""

    @staticmethod
    def forward(ctx: Any, *of: Any) -> torch.Tensor:
        x, a, b, scaling, held, bias = of
        rows = x.reshape(-1, x.shape[-1])
        narrow = (rows @ a.t()).mul_(scaling)
        weight = _weight(held)
        out = rows @ weight.t() if bias is None else torch.addmm(bias, rows, weight.t())
        ctx.save_for_backward(rows, narrow, a, b)
        ctx.held, ctx.scaling, ctx.shape = held, scaling, x.shape
        return out.addmm_(narrow, b.t()).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *of: Any) -> Any:
        rows, narrow, a, b = ctx.saved_tensors
        grad = of[0].reshape(-1, of[0].shape[-1])
        of_narrow = (grad @ b).mul_(ctx.scaling)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (grad @ _weight(ctx.held)).addmm_(of_narrow, a).view(ctx.shape)
        return of_x, of_narrow.t() @ rows, grad.t() @ narrow, None, None, None
