"""The kinds of system, a module each; this folder is the whole registry. What they share is in `systems.parts`.

`encode` turns questions into vectors, for the search for test questions that training has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.core.blocks import Embedder

if TYPE_CHECKING:
    from systems.parts.embed import Vectors


def encode(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """Unit vectors of questions, (texts, dimensions), by the embedder of a system, on the CPU."""
    from systems.parts import embed

    return embed.load(embedder, device="cpu").questions(texts)
