"""Who is told how a run goes, and nobody."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Who is told how a run goes."""

    def begin(self, cells: int) -> None:
        """A run of so many cells begins."""

    def cell(self, name: str, number: int) -> None:
        """A cell begins; `number` counts from 1."""

    def stage(self, name: str, done: int, total: int) -> None:
        """A cell is at a stage; a total of 0 is an unknown one."""

    def end(self, name: str, reason: str | None, cached: bool) -> None:
        """A cell has ended; `reason` says why it failed."""

    def turn(self, name: str, number: int, rounds: int) -> None:
        """A cell has its turn in a round."""


class Silent:
    """Tells nobody."""

    def begin(self, cells: int) -> None:
        """Nothing."""
        return

    def cell(self, name: str, number: int) -> None:
        """Nothing."""
        return

    def stage(self, name: str, done: int, total: int) -> None:
        """Nothing."""
        return

    def end(self, name: str, reason: str | None, cached: bool) -> None:
        """Nothing."""
        return

    def turn(self, name: str, number: int, rounds: int) -> None:
        """Nothing."""
        return
