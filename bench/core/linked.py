"""Rows that are one because they share something, with others between them or at once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence


def linked(rows: Iterable[Iterable[Hashable]]) -> Sequence[int]:
    """The first row that each row is one with, of the keys of each: two that share a key are one, and so are those that
    a third joins."""
    parent: list[int] = []
    owner: dict[Hashable, int] = {}

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    for row, keys in enumerate(rows):
        parent.append(row)
        for key in keys:
            one, other = sorted((root(owner.setdefault(key, row)), root(row)))
            parent[other] = one
    return [root(row) for row in range(len(parent))]


def of_first(asked: Iterable[tuple[Hashable, str]]) -> list[str]:
    """The group of each question, by its key; that of the first, where one is asked again."""
    first: dict[Hashable, str] = {}
    return [first.setdefault(key, group) for key, group in asked]


def same_question(text: str, answers: Sequence[str] | None, gold: Sequence[str]) -> Hashable:
    """The key of a question that is asked again: in the same words, of the same passages, with the same answers."""
    asked, *said = (" ".join(words.casefold().split()) for words in (text, *(answers or ())))
    return asked, tuple(sorted(said)), tuple(sorted(gold))
