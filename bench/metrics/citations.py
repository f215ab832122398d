"""Citations by entailment: ALCE (Gao et al., 2305.14627), sentence by sentence. Pure functions.

A sentence is supported where the passages that it cites, taken together, entail it. A citation counts where its
sentence is supported and the passage is needed: it entails the sentence alone, or the others do not without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.metrics.grounding import MARK, MARKED, marks

Pair = tuple[str, str]  # what is shown, what is said
ENTAILED = 0.5  # probability above which a statement counts as entailed
_SENTENCE = re.compile(
    rf"\S.*?(?:[.!?][\"')\]]*(?:\s*{MARK.pattern})*(?=\s+[^a-z\d\s]|\s*$)"
    rf"|[\u3002\uff01\uff1f\u0964](?:\s*{MARK.pattern})*|\n|$)",
    re.S,
)


@dataclass(frozen=True)
class Cited:
    """A sentence without its marks, and the passages that it cites, each once."""

    text: str
    passages: tuple[str, ...]

    def pairs(self) -> Iterator[Pair]:
        """What must be known of it: whether all that it cites entails it, each alone, and all but each."""
        if self.passages:
            yield self._by(self.passages)
        if len(self.passages) > 1:
            for number, passage in enumerate(self.passages):
                yield self._by([passage])
                yield self._by(self._without(number))

    def is_supported(self, entailed: Mapping[Pair, float]) -> bool:
        """Whether what it cites entails it; a sentence that cites nothing is not supported."""
        return bool(self.passages) and entailed[self._by(self.passages)] > ENTAILED

    def needed(self, entailed: Mapping[Pair, float]) -> int:
        """How many of its citations count."""
        if not self.is_supported(entailed):
            return 0
        if len(self.passages) == 1:
            return 1
        return sum(
            entailed[self._by([passage])] > ENTAILED or entailed[self._by(self._without(number))] <= ENTAILED
            for number, passage in enumerate(self.passages)
        )

    def _without(self, number: int) -> tuple[str, ...]:
        return self.passages[:number] + self.passages[number + 1 :]

    def _by(self, passages: Sequence[str]) -> Pair:
        return "\n".join(passages), self.text


def sentences(question: str, answer: str, passages: Sequence[str]) -> list[Cited]:
    """The sentences of an answer, each after its question, with the passages that it cites as [n], n from 1.

    An answer of one phrase says nothing without its question. Marks of passages that were not shown cite nothing.
    """
    found = []
    for sentence in (m.group().strip() for m in _SENTENCE.finditer(answer)):
        numbers = marks(sentence)
        bare = " ".join(MARKED.sub("", sentence).split())
        if bare.strip(".!? "):
            cited = tuple(passages[n - 1] for n in numbers if 0 < n <= len(passages))
            found.append(Cited(f"{question} {bare}", cited))
    return found


def alce(said: Sequence[Cited], entailed: Mapping[Pair, float]) -> tuple[float | None, float | None]:
    """(citation recall, citation precision): the share of the sentences that are supported, and the share of the
    citations that count. The first is None without sentences, the second without citations.

    `entailed` has the probability of each pair of each sentence.
    """
    if not said:
        return None, None
    cited = sum(len(s.passages) for s in said)
    recall = sum(s.is_supported(entailed) for s in said) / len(said)
    return recall, (sum(s.needed(entailed) for s in said) / cited if cited else None)
