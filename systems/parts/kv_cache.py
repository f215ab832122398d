"""Keys and values of what was read, in memory that has room for the answer.

The cache that `generate` makes by itself copies all of them at each token, to put one behind: a third of what a token
takes here. These are written into memory that was taken once.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


def roomy(model: Any, room: int) -> dict[str, Any]:
    """What `generate` takes a cache by, with room for so many tokens more than the prompt; empty for a model that keeps
    something else, whose cache `generate` makes. Layers that keep a window or a state are transformers' own."""
    supports = getattr(model, "_supports_default_dynamic_cache", None)
    settings = model.generation_config
    if supports is None or not supports() or model.config.is_encoder_decoder:
        return {}
    if "past_key_values" not in inspect.signature(model.forward).parameters:  # Mamba's has another name
        return {}
    if settings.use_cache is False or settings.cache_implementation is not None:
        return {}
    cache = DynamicCache(config=model.config.get_text_config(decoder=True))
    cache.layers = [_Roomy(room) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return {"past_key_values": cache} if cache.layers else {}


class _Roomy(DynamicLayer):
    """Keys and values as the start of longer tensors. (rows, heads, tokens, width)"""

    def __init__(self, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.room = room
        self._held: list[torch.Tensor | None] = [None, None]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Puts keys and values behind those that are there; returns all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        begins = self.get_seq_length() == 0
        self.keys = self._longer(0, self.keys, key_states)
        self.values = self._longer(1, self.values, value_states)
        return (key_states, value_states) if begins else (self.keys, self.values)

    def _longer(self, which: int, seen: torch.Tensor | None, new: torch.Tensor) -> torch.Tensor:
        known = seen if seen is not None and seen.numel() else new[..., :0, :]
        held, start = self._held[which], known.shape[-2]
        end = start + new.shape[-2]
        if held is None or held.data_ptr() != known.data_ptr() or end > held.shape[-2]:
            held = new.new_empty((*new.shape[:-2], end + self.room, new.shape[-1]))
            held[..., :start, :] = known
            self._held[which] = held
        held[..., start:end, :] = new
        return held[..., :end, :]
