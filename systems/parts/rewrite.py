"""Queries that a system's model writes: a passage that could answer (HyDE), or other wordings of the question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from bench.core.vocabulary import Hit
from systems.parts.retrieve import fuse

WORDINGS = 3  # of a question, beside its own
REQUESTS = {
    "hyde": "Write a short passage that answers the question.\nQuestion: {question}\nPassage:",
    "multi_query": "Write {count} other wordings of the question, one a line.\nQuestion: {question}",
}


def request(how: str, question: str) -> str:
    """What the model is asked to write."""
    return REQUESTS[how].replace("{count}", str(WORDINGS)).replace("{question}", question)


def queries(question: str, written: str) -> list[str]:
    """What is looked up of several wordings: the question first."""
    lines = [line.strip(" -*0123456789.)") for line in written.splitlines()]
    return list(dict.fromkeys([question, *(line for line in lines if line)]))[: WORDINGS + 1]


def search(
    look_up: Callable[[Sequence[str]], list[list[Hit]]], asked: Sequence[Sequence[str]], *, k: int, rrf_k: int
) -> list[list[Hit]]:
    """The best `k` chunks of each question over its queries, whose rankings are fused by reciprocal rank."""
    flat = iter(look_up([text for texts in asked for text in texts]))
    return [_fused([next(flat) for _ in texts], k, rrf_k) for texts in asked]


def _fused(rankings: Sequence[Sequence[Hit]], k: int, rrf_k: int) -> list[Hit]:
    if len(rankings) == 1:
        return list(rankings[0])
    hits = {hit.chunk_id: hit for ranking in rankings for hit in ranking}
    numbers = {ident: number for number, ident in enumerate(hits)}
    order = list(hits)
    fused = fuse([[(numbers[hit.chunk_id], hit.score) for hit in ranking] for ranking in rankings], rrf_k)
    return [replace(hits[order[number]], score=score) for number, score in fused[:k]]
