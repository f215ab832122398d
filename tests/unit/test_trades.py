"""What speaks for a system beside its quality, figure by figure and at its very limits."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from bench.scoring.schema import Criteria
from bench.spec.model import Volumes
from bench.verdict.trades import are_comparable, trades
from tests.made_up import costs

ALIKE = {"cost": 100.0, "latency": 1.0, "memory": 1e9, "build": 1e4, "update": 100.0}


def known(one: Mapping[str, float] = MappingProxyType({}), **other: float | None) -> tuple[Any, dict[str, Criteria]]:
    """Two systems with the same figures, but for those that are given of each. A fifth is noise of latencies."""
    figures = {"one": {**ALIKE, **one}, "other": {**ALIKE, **other}}
    systems = {
        name: SimpleNamespace(speed=SimpleNamespace(p50_s=of["latency"]), build=SimpleNamespace(total_s=of["build"]))
        for name, of in figures.items()
    }
    priced = {}
    for name, of in figures.items():
        usd = of["cost"]
        ends = None if usd is None else (usd / 100, usd / 100)
        month = costs(0.0, None if usd is None else usd / 100, months=1, month=usd, ends=ends)
        priced[name] = month.model_copy(update={"refresh_s": of["update"]})
    noise = SimpleNamespace(
        systems=systems, costs=priced, volumes=Volumes(questions_per_month=100_000), between=lambda *_: 0.0792
    )  # 10 ** 0.0792 is 1.2001
    criteria = {
        name: Criteria(
            cost=of["cost"], latency=of["latency"], memory=None if of["memory"] is None else int(of["memory"])
        )
        for name, of in figures.items()
    }
    return noise, criteria


@pytest.mark.parametrize(
    ("what", "small", "clear"),
    [
        ("cost", 99.5, 98.5),  # a dollar a month, where prices are known exactly
        ("latency", 0.85, 0.80),  # a tenth of a second, and more than rounds differ by
        ("memory", 0.92e9, 0.85e9),  # a tenth
        ("build", 8e3, 3e3),
        ("update", 80.0, 30.0),
    ],
)
def test_a_figure_speaks_where_it_is_clearly_less(what: str, small: float, clear: float) -> None:
    assert list(trades(*known(**{what: small}), "one", "other")) == []
    (trade,) = trades(*known(**{what: clear}), "one", "other")
    assert (trade.what, trade.to, trade.over) == (what, "other", "one")
    assert (trade.less, trade.more) == (clear, ALIKE[what])
    (seen,) = trades(*known(**{what: clear}), "other", "one")  # from either side
    assert seen == trade


@pytest.mark.parametrize(
    ("what", "mine", "its"),
    [
        ("latency", 0.05, 0.14),
        ("memory", 5e7, 1.4e8),
        ("build", 1.0, 3600.0),
        ("update", 1.0, 60.0),
        ("cost", 0.1, 1.0),
    ],
)
def test_what_is_small_speaks_for_nothing(what: str, mine: float, its: float) -> None:
    """However many times it is less."""
    noise, figures = known({what: its}, **{what: mine})
    assert list(trades(noise, figures, "one", "other")) == []


def test_a_long_build_is_told_from_another_by_a_third() -> None:
    noise, figures = known(build=4e4)
    noise.systems["one"].build.total_s = 5e4
    assert list(trades(noise, figures, "one", "other")) == []  # a quarter more is what two runs may differ by
    noise.systems["one"].build.total_s = 5.4e4
    assert [trade.what for trade in trades(noise, figures, "one", "other")] == ["build"]


def test_nothing_at_all_is_less_than_any() -> None:
    (trade,) = trades(*known(update=0.0), "one", "other")
    assert (trade.what, trade.to, trade.less) == ("update", "other", 0.0)


@pytest.mark.parametrize("what", ALIKE)
def test_what_one_alone_has_cannot_be_compared(what: str) -> None:
    noise, figures = known(**{what: None})
    assert not are_comparable(noise, figures, "one", "other") and not are_comparable(noise, figures, "other", "one")
    assert list(trades(noise, figures, "one", "other")) == []
    assert are_comparable(*known(), "one", "other")
