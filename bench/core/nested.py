"""Nested mappings by dotted key: set, merge, tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.core.errors import UserError


def put(target: Any, steps: Sequence[str], value: Any, where: str) -> None:
    """Set a dotted key in place. A step into a list is an index, or the name of a system, which may hold dots."""
    step: str | int = steps[0]
    rest = steps[1:]
    if isinstance(target, list):
        step, rest = _entry(target, steps, where)
    elif not isinstance(target, dict):
        raise UserError(f"{step!r} is not inside a mapping.", where=where)
    if not rest:
        target[step] = value
    else:
        put(target.setdefault(step, {}) if isinstance(target, dict) else target[step], rest, value, where)


def _entry(entries: Sequence[Any], steps: Sequence[str], where: str) -> tuple[int, Sequence[str]]:
    """(which entry of a list the first steps name, the steps after them). Raises UserError where there is none."""
    names = [str(e.get("name", i)) if isinstance(e, dict) else str(i) for i, e in enumerate(entries)]
    meant = [n for n in range(1, len(steps) + 1) if ".".join(steps[:n]) in names]
    if len(meant) > 1:
        both = " or ".join(repr(".".join(steps[:n])) for n in meant)
        raise UserError(f"{both} may be meant.", where=where, remedy="Name the system by its number, from 0 on.")
    if meant:
        return names.index(".".join(steps[: meant[0]])), steps[meant[0] :]
    if steps[0].isdigit() and int(steps[0]) < len(entries):
        return int(steps[0]), steps[1:]
    raise UserError(f"no {steps[0]!r} in the list.", where=where, remedy=f"There are: {', '.join(names)}.")


def merge(base: Mapping[str, Any], over: Any) -> Any:
    """`over` laid on `base`, mapping by mapping. What is no mapping replaces."""
    if not isinstance(over, Mapping):
        return over
    return {**base, **{k: merge(base[k], v) if isinstance(base.get(k), Mapping) else v for k, v in over.items()}}


def differences(a: Any, b: Any, key: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted key -> (in A, in B) wherever two specs differ."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        keys = list(dict.fromkeys([*a, *b]))
        return {
            k: v for name in keys for k, v in differences(a.get(name), b.get(name), f"{key}.{name}".lstrip(".")).items()
        }
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return {k: v for i in range(len(a)) for k, v in differences(a[i], b[i], f"{key}.{i}").items()}
    return {} if a == b else {key: (a, b)}
