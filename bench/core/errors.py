"""The user's mistakes, with what to write instead."""

from __future__ import annotations


class UserError(Exception):
    """Bad input. `str()` is one paragraph: where it is, what is wrong, what to write instead. Exit code 2."""

    def __init__(self, problem: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(problem)
        self.problem, self.where, self.remedy = problem, where, remedy

    def __str__(self) -> str:
        start = f"{self.where}: " if self.where else ""
        end = f" {self.remedy}" if self.remedy else ""
        return f"{start}{self.problem}{end}"
