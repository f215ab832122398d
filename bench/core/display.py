"""Numbers as people read them. `n/a`: does not apply or was not measured."""

from __future__ import annotations

from typing import Protocol

NONE = "n/a"


class Interval(Protocol):
    """A mean between the ends of its interval."""

    @property
    def mean(self) -> float:
        """The mean."""

    @property
    def low(self) -> float:
        """The lower end."""

    @property
    def high(self) -> float:
        """The upper end."""


class Difference(Protocol):
    """A difference between the ends of its interval."""

    @property
    def difference(self) -> float:
        """The difference."""

    @property
    def low(self) -> float:
        """The lower end."""

    @property
    def high(self) -> float:
        """The upper end."""


def interval(found: Interval | None) -> str:
    """A share with its 95% interval: `0.62 (0.55-0.69)`."""
    return NONE if found is None else f"{found.mean:.2f} ({found.low:.2f}\N{EN DASH}{found.high:.2f})"


def share(value: float | None) -> str:
    """A share with two decimals: `0.62`."""
    return NONE if value is None else f"{value:.2f}"


def percent(value: float | None) -> str:
    """A share as a percentage of two digits."""
    if value is None:
        return NONE
    return f"{100 * value:.2g}%" if value < 0.0995 else f"{100 * value:.0f}%"


def _three(value: float) -> str:
    """Three digits, and no power of ten."""
    return f"{value:.3g}" if abs(value) < 99.95 else f"{value:.0f}"


def count(value: float | None) -> str:
    """A number of things, thousands separated."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"


def many(number: int, noun: str) -> str:
    """A number of things: `1 passage`, `396 passages`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def span(seconds: float | None) -> str:
    """A time in the unit that suits it."""
    if seconds is None:
        return NONE
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.0f} \N{MICRO SIGN}s"
    if seconds < 0.9995:
        return f"{_three(seconds * 1e3)} ms"
    return f"{_three(seconds)} s" if seconds < 600 else f"{_three(seconds / 60)} min"


def size(count: float | None) -> str:
    """Bytes in powers of 1000, as disks and vendors count them."""
    if count is None:
        return NONE
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 999.5:
            return f"{_three(count)} {unit}"
        count /= 1000
    return f"{_three(count)} TB"


def money(usd: float | None) -> str:
    """US dollars with two digits."""
    if usd is None:
        return "not priced"
    if 0 < usd < 1e-4:
        return "under $0.0001"
    if usd == 0:
        return "$0"
    return f"${usd:.2g}" if usd < 99.5 else f"${usd:,.0f}"


def joules(value: float | None) -> str:
    """An energy with its unit: `840 J`, `12.5 kJ`, `3.1 MJ`."""
    if value is None:
        return NONE
    for factor, unit in ((1e6, "MJ"), (1e3, "kJ")):
        if value >= 0.9995 * factor:  # which three digits round up
            return f"{value / factor:.3g} {unit}"
    return f"{value:.3g} J"


def difference(found: Difference | None) -> str:
    """A difference with its 95% interval: `+0.12 (+0.05 to +0.19)`."""
    if found is None:
        return NONE
    text = f"{found.difference:+.2f} ({found.low:+.2f} to {found.high:+.2f})"
    return text.replace("-0.00", "0.00").replace("+0.00", "0.00").replace("-", "\N{MINUS SIGN}")


def four(value: float | None) -> str:
    """A number with four digits; nothing for None."""
    return "" if value is None else f"{value:.4g}"


def change(value: float | None, low: float | None, high: float | None, *, is_share: bool) -> str:
    """A change with its interval: points of a share, per cent of anything else; nothing for None."""
    if value is None:
        return ""
    shown = [f"{v:+.3f}" if is_share else f"{100 * v:+.1f}%" for v in (value, low, high) if v is not None]
    return f"{shown[0]} ({shown[1]} to {shown[2]})" if len(shown) == 3 else shown[0]


def need(value: float, name: str) -> str:
    """A figure of a need, in the unit that its name says."""
    if name.endswith("_s"):
        return span(value)
    if name.endswith("_bytes"):
        return size(value)
    return money(value) if "usd" in name else share(value)


def model(name: str) -> str:
    """The name of a model; of one that comes with ragtune not where it lies."""
    return f"micro ({name.rpartition('/')[2]})" if is_bundled(name) else name


def is_bundled(model: str) -> bool:
    """Whether a model comes with ragtune."""
    return "/systems/micro/" in model
