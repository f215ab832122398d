"""The user's mistakes, with what to write instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

MOST = 20  # mistakes that are told at once

Row = TypeVar("Row")
Read = TypeVar("Read")


class UserError(Exception):
    """Bad input. `str()` is one paragraph: where it is, what is wrong, what to write instead; `others` follow it, a
    line each. Exit code 2."""

    def __init__(self, problem: str, *, where: str = "", remedy: str = "", others: Sequence[UserError] = ()) -> None:
        super().__init__(problem)
        self.problem, self.where, self.remedy, self.others = problem, where, remedy, tuple(others)

    def __str__(self) -> str:
        start = f"{self.where}: " if self.where else ""
        end = f" {self.remedy}" if self.remedy else ""
        more = len(self.others) - MOST + 1
        told = [f"\n{other}" for other in self.others[: MOST - 1]]
        return f"{start}{self.problem}{end}{''.join(told)}{f'{chr(10)}and {more} more.' if more > 0 else ''}"


def every(read: Callable[[Row], Read], rows: Iterable[Row]) -> list[Read]:
    """What each row reads as, in order. Raises one UserError with all that is wrong, where something is: a file is
    mended once, and not once for each of its mistakes."""
    found: list[Read] = []
    wrong: list[UserError] = []
    try:
        for row in rows:
            try:
                found.append(read(row))
            except UserError as e:
                wrong.append(e)
    except UserError as e:  # the rows themselves cannot be read any further
        wrong.append(e)
    if wrong:
        first, *others = wrong
        raise UserError(first.problem, where=first.where, remedy=first.remedy, others=others)
    return found
