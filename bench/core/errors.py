"""The user's mistakes, with what to write instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

MOST = 20  # mistakes that are told at once

Row = TypeVar("Row")
Read = TypeVar("Read")
Typed = TypeVar("Typed", bound="BaseModel")


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


class Mistakes:
    """Collects what is wrong, so that it is told at once: a file is mended once, and not once for each mistake."""

    def __init__(self) -> None:
        self._found: dict[str, UserError] = {}

    @contextmanager
    def noted(self) -> Iterator[None]:
        """What is raised inside is kept, and the work goes on after the block."""
        try:
            yield
        except UserError as e:
            self._found.setdefault(str(e), e)

    def __bool__(self) -> bool:
        """Whether anything was noted."""
        return bool(self._found)

    def tell(self) -> None:
        """Raises one UserError with all that was noted, where something was."""
        if self:
            first, *others = _together(plain for e in self._found.values() for plain in (_alone(e), *e.others))
            raise UserError(first.problem, where=first.where, remedy=first.remedy, others=others)


def _alone(error: UserError) -> UserError:
    return UserError(error.problem, where=error.where, remedy=error.remedy)


def _together(errors: Iterable[UserError]) -> list[UserError]:
    """What is wrong in the same way at many places, once, with where else."""
    places: dict[tuple[str, str], list[str]] = {}
    for error in errors:
        places.setdefault((error.problem, error.remedy), []).append(error.where)
    return [
        UserError(problem, where=first, remedy=f"{remedy} {_elsewhere(others)}".strip() if others else remedy)
        for (problem, remedy), (first, *others) in places.items()
    ]


def _elsewhere(places: Sequence[str]) -> str:
    more = f" and {len(places) - 3:,} more places" if len(places) > 3 else ""
    return f"The same is wrong at {', '.join(places[:3])}{more}."


def every(read: Callable[[Row], Read], rows: Iterable[Row]) -> list[Read]:
    """What each row reads as, in order. Raises one UserError with all that is wrong, where something is."""
    found: list[Read] = []
    mistakes = Mistakes()
    with mistakes.noted():  # the rows themselves may end in one
        for row in rows:
            with mistakes.noted():
                found.append(read(row))
    mistakes.tell()
    return found


def non_empty(value: object, key: str, row: Mapping[str, object], where: str) -> str:
    """The value of a row's key, which must be a string that is not blank. Raises UserError with the keys there are."""
    if not isinstance(value, str) or not value.strip():
        raise UserError(
            f"`{key}` must be a non-empty string.",
            where=where,
            remedy=f"The line has: {', '.join(map(str, row)) or 'nothing'}.",
        )
    return value


def fitted(of: type[Typed], path: Path, raw: object, *, wrong: str, remedy: str) -> Typed:
    """What a file holds, as its type. Raises UserError with the key that does not fit."""
    from pydantic import ValidationError  # a third of what `--help` would take

    try:
        return of.model_validate(raw)
    except ValidationError as e:
        raise UserError(f"{wrong}: {first_error(e)}.", where=str(path), remedy=remedy) from None


def first_error(error: ValidationError) -> str:
    """The first thing that is wrong with a file, with its key."""
    first = error.errors()[0]
    return f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}"
