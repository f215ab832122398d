"""Money: what a system costs to build, to ask and to keep fresh, per month, and where two systems break even."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from bench.scoring.schema import BreakEven, Costs, MeasuredSystem
from bench.spec.model import Prices, Volumes


def costs(systems: Mapping[str, MeasuredSystem], prices: Prices, volumes: Volumes) -> dict[str, Costs]:
    """system -> USD to build, per thousand questions, per refresh, and per month at the volumes.

    None where there is no price, or nothing was measured that it could apply to.
    """
    return {name: _costs(system, prices, volumes) for name, system in systems.items()}


def refresh_s(system: MeasuredSystem) -> float | None:
    """Seconds until a changed corpus is absorbed: index anew, or for what is tuned train anew as well."""
    return system.build.total_s if system.trained else system.refresh_s


def hourly_usd(prices: Prices, *, on_gpu: bool) -> float | None:
    """The price of an hour of the machine that a system runs on."""
    return prices.gpu_hour_usd if on_gpu else prices.cpu_hour_usd


def _costs(system: MeasuredSystem, prices: Prices, volumes: Volumes) -> Costs:
    hourly = hourly_usd(prices, on_gpu=system.device == "cuda")
    seconds = refresh_s(system)
    storage = system.build.artefact_bytes / 1e9 * prices.storage_gb_month_usd
    build, served = system.cost.build_usd, system.cost.thousand_questions_usd
    refresh = None if hourly is None or seconds is None else seconds / 3600 * hourly
    found = Costs(
        build_usd=build,
        thousand_questions_usd=served,
        refresh_s=seconds,
        refresh_usd=refresh,
        storage_usd_per_month=storage,
        fixed_usd_per_month=None if build is None else build / volumes.months + storage,
    )
    month = monthly(found, volumes.questions_per_month, volumes.updates_per_month)
    return found.model_copy(update={"usd_per_month": month})


def monthly(found: Costs, questions_per_month: float, updates_per_month: float) -> float | None:
    """USD a month at any volumes; None where a price is missing that these volumes need."""
    fixed, thousand = found.fixed_usd_per_month, found.thousand_questions_usd
    if fixed is None or thousand is None or (found.refresh_usd is None and updates_per_month):
        return None
    updates = updates_per_month * (found.refresh_usd or 0.0)
    return float(fixed + questions_per_month * thousand / 1000 + updates)


def break_even(found: Mapping[str, Costs], updates_per_month: float) -> list[BreakEven]:
    """Every two priced systems: from how many questions a month the one that costs less to ask is the cheaper one."""
    priced = {name: costs for name, costs in found.items() if costs.usd_per_month is not None}
    return [_break_even(a, b, priced, updates_per_month) for a, b in itertools.combinations(priced, 2)]


def _break_even(a: str, b: str, priced: Mapping[str, Costs], updates_per_month: float) -> BreakEven:
    def thousand(name: str) -> float:
        return priced[name].thousand_questions_usd or 0.0

    low, high = sorted((a, b), key=thousand)
    saved = (thousand(high) - thousand(low)) / 1000  # on each question
    standing = {name: monthly(priced[name], 0.0, updates_per_month) or 0.0 for name in (low, high)}
    more = standing[low] - standing[high]  # what `low` costs more before anything is asked
    if more <= 0:
        return BreakEven(a=a, b=b, low=low, high=high, questions_per_month=None, cheaper=low)
    if not saved:
        return BreakEven(a=a, b=b, low=low, high=high, questions_per_month=None, cheaper=high)
    return BreakEven(a=a, b=b, low=low, high=high, questions_per_month=more / saved, cheaper=None)
