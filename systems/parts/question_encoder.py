"""Questions to vectors, for the search for test questions that training has seen.

The embedder is imported when it is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.core.system import Embedder

if TYPE_CHECKING:
    from systems.parts.embed import Vectors


def encode(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """Unit vectors of questions, (texts, dimensions), by the embedder of a system, on the CPU."""
    from systems.parts import embed

    return embed.load(embedder, device="cpu").questions(texts)
