"""A value has one digest, however it is put together."""

from __future__ import annotations

import pytest

from bench.core.digest import digest, digest_of_parts
from bench.core.vocabulary import Passage


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [[]],
        [[], [1]],
        [[{"b": 1, "a": [None, True, 0.5]}, "ä\n"], "en"],
        [(Passage("p1", "text", "title", "g"), Passage("p2", "x", "", "g")), [], "de"],
    ],
)
def test_parts_have_the_digest_of_the_whole(parts: list[object]) -> None:
    assert digest_of_parts(parts) == digest(parts)
