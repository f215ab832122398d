"""Nested mappings by dotted key: set, merge, tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.core.errors import UserError


def put(target: Any, steps: Sequence[str], value: Any, where: str) -> None:
    """Set a dotted key in place. A step into a list is an index, or the name of a system."""
    for position, step in enumerate(steps):
        last = position == len(steps) - 1
        if isinstance(target, list):
            names = [str(e.get("name", i)) if isinstance(e, dict) else str(i) for i, e in enumerate(target)]
            if step not in names and not (step.isdigit() and int(step) < len(target)):
                raise UserError(f"no {step!r} in the list.", where=where, remedy=f"There are: {', '.join(names)}.")
            index = names.index(step) if step in names else int(step)
            if last:
                target[index] = value
            else:
                target = target[index]
        elif isinstance(target, dict):
            if last:
                target[step] = value
            else:
                target = target.setdefault(step, {})
        else:
            raise UserError(f"{step!r} is not inside a mapping.", where=where)


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
