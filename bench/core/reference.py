"""A fixed piece of work that is done between what is timed, so that what the machine does to both can be taken away.

It is like a small language model's: attention and products of matrices over a prompt, then token by token. What slows a
model down for seconds, such as another machine on the same processor, slows it down as much; a yardstick before and
after does not see that. It is for processors alone: on a GPU it would tell how fast a GPU is asked. Whoever changes the
work gives its fields in a run other names, for ratios to it are compared from run to run.
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
EVERY_S = 0.25  # of a training
FEWEST = 10  # times that it is done in a training to tell of it


def seconds() -> float | None:
    """Wall seconds of the work; None where this process has no model on a processor."""
    notes = meters.notes()
    if notes.get("device") != "cpu" or "parameters" not in notes or "torch" not in sys.modules:
        return None
    work = _work()
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def middle(taken: Sequence[float | None]) -> float | None:
    """The median of those that are known."""
    known = [s for s in taken if s is not None]
    return statistics.median(known) if known else None


@lru_cache
def _work() -> Callable[[], None]:
    """The work. It draws no random number: training would see that."""
    torch = sys.modules["torch"]
    made = {"device": "cpu", "dtype": torch.float32}
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

    made_work: Callable[[], None] = work
    return made_work
