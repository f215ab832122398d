"""The last layer of a decoder works out what is asked of it.

Its output is read by the head alone, and only where a logit is asked for: at the end of a prompt, or at the tokens that
a loss counts. So its queries are those of these positions, and what comes after attention runs there alone. Keys and
values are of all positions, for later tokens attend to them.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

# architectures whose layers run once, one after the other, and whose feed-forward part sees one position at a time
KINDS = frozenset(
    (
        "gemma",
        "gemma2",
        "gemma3_text",
        "granite",
        "lfm2",
        "llama",
        "mistral",
        "olmo2",
        "phi3",
        "qwen2",
        "qwen3",
        "smollm3",
    )
)
PARTS = frozenset(("mlp", "feed_forward", "self_attn.o_proj", "self_attn.out_proj"))  # that come after attention
NAME = "last_layer"  # of the attention below, for transformers


class Asked:
    """The positions whose logits are asked for, of all rows alike: the last one, unless others are set."""

    def __init__(self) -> None:
        self.positions: torch.Tensor | slice = slice(-1, None)


@contextlib.contextmanager
def only(model: Any) -> Iterator[Asked]:
    """Within it the last layer runs at the positions that are asked, and says what is of no use elsewhere. Of
    architectures other than KINDS all of it runs, as ever."""
    asked = Asked()
    with contextlib.ExitStack() as stack:
        if model.config.model_type in KINDS:
            last = model.get_decoder().layers[-1]
            attention = getattr(last, "self_attn", None)
            if attention is not None and attention.config._attn_implementation == "sdpa":
                of_its_own = copy.copy(attention.config)
                of_its_own._attn_implementation = NAME
                stack.enter_context(_having(attention, config=of_its_own, asked=asked))
            for name, part in last.named_modules():
                if name in PARTS:
                    stack.enter_context(_having(part, forward=partial(_forward, part.forward, asked)))
        yield asked


@contextlib.contextmanager
def _having(module: Any, **attributes: Any) -> Iterator[None]:
    """Sets attributes of a module, and what they were afterwards."""
    before = {name: vars(module)[name] for name in attributes if name in vars(module)}
    vars(module).update(attributes)
    try:
        yield
    finally:
        for name in attributes:
            del vars(module)[name]
        vars(module).update(before)


def _forward(whole: Any, asked: Asked, x: torch.Tensor) -> torch.Tensor:
    """`x`: (rows, tokens, width), as what is returned."""
    if x.shape[1] == 1:
        found: torch.Tensor = whole(x)
        return found
    return _placed(whole(x[:, asked.positions]), asked, x.shape[1])


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of the positions that are asked. `query`, `key`, `value`: (rows, heads, tokens, width), as transformers
    hands them over; returns (rows, tokens, heads, width)."""
    tokens, at = query.shape[2], module.asked.positions
    if tokens == 1:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    if attention_mask is not None:
        mask = attention_mask[:, :, at]
    else:  # each sees itself and what came before
        seen = torch.arange(key.shape[2], device=key.device)
        mask = (seen <= seen[-tokens:][at][:, None])[None, None]
    found, _ = sdpa_attention_forward(module, query[:, :, at], key, value, mask, **options)
    return _placed(found, module.asked, tokens), None


def _placed(found: torch.Tensor, asked: Asked, tokens: int) -> torch.Tensor:
    """What was found at the positions that are asked, among zeros: (rows, tokens, ...)."""
    out = found.new_zeros((found.shape[0], tokens, *found.shape[2:]))
    out[:, asked.positions] = found
    return out


AttentionInterface.register(NAME, _attend)
