"""A fixed piece of work that is done between what is timed, so that what the machine does to both can be taken away.

It is like a small language model's: attention and products of matrices over a prompt, then token by token. What slows a
model down for seconds, such as another machine on the same processor, slows it down as much; a yardstick before and
after does not see that.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from bench.core import meters

LAYERS, WIDTH, HEADS, PROMPT, TOKENS = 4, 192, 4, 240, 4
EVERY_S = 0.5  # of a training


def seconds() -> float | None:
    """Wall seconds of the work, on the device of this process's model; None where no model is in this process."""
    device = str(meters.notes().get("device")).split(":")[0]
    if device not in ("cpu", "cuda"):
        return None
    work, synchronise = _work(device)
    synchronise()
    begin = time.perf_counter()
    work()
    synchronise()
    return time.perf_counter() - begin


def middle(taken: Sequence[float | None]) -> float | None:
    """The median of those that are known."""
    known = [s for s in taken if s is not None]
    return statistics.median(known) if known else None


@lru_cache
def _work(device: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """The work, and what waits until the device has done it. It draws no random number: training would see that."""
    torch = sys.modules["torch"]
    made = {"device": device, "dtype": torch.float32}
    qkv, out, up, down = (
        torch.full(shape, 0.01, **made)
        for shape in ((WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 3 * WIDTH), (3 * WIDTH, WIDTH))
    )
    prompt = torch.linspace(-1, 1, PROMPT * WIDTH, **made).view(1, PROMPT, WIDTH)
    one = prompt[:, :1]
    function = torch.nn.functional

    def layer(hidden: Any) -> Any:
        parts = (function.layer_norm(hidden, (WIDTH,)) @ qkv).view(1, -1, 3 * HEADS, WIDTH // HEADS).transpose(1, 2)
        seen = function.scaled_dot_product_attention(*parts.chunk(3, dim=1)).transpose(1, 2)
        hidden = hidden + seen.reshape(hidden.shape) @ out
        return hidden + function.silu(function.layer_norm(hidden, (WIDTH,)) @ up) @ down

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def work() -> None:
        for start in (prompt, *[one] * TOKENS):
            hidden = start
            for _ in range(LAYERS):
                hidden = layer(hidden)

    return work, torch.cuda.synchronize if device == "cuda" else _nothing


def _nothing() -> None:
    """A processor has done what it was asked."""
