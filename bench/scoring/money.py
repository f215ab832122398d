"""Money: what a system costs to build, to ask and to keep fresh, per month, and where two systems break even."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from bench.scoring.schema import BreakEven, Costs, MeasuredSystem
from bench.spec.model import Prices, Volumes

TIMED = 1.15  # a build is timed once: it is known within the factor up to which a yardstick counts as usual


def costs(
    systems: Mapping[str, MeasuredSystem],
    prices: Prices,
    volumes: Volumes,
    retrained: Mapping[str, float | None] = {},
) -> dict[str, Costs]:
    """system -> USD to build, per thousand questions, per refresh, and per month at the volumes.

    None where there is no price, or nothing was measured that it could apply to. `retrained`: the seconds of a system
    that was trained anew on an updated corpus.
    """
    return {name: _costs(system, prices, volumes, retrained.get(name)) for name, system in systems.items()}


def refresh_s(system: MeasuredSystem, retrained_s: float | None = None) -> float | None:
    """Seconds until a changed corpus is absorbed: index anew, or train anew what has its facts in its weights alone, as
    long as that took when it was done, else as its first training. None where it was tuned elsewhere."""
    if not (system.trained and system.family == "tuning"):
        return system.refresh_s
    if system.trained_elsewhere:
        return None
    return system.build.total_s if retrained_s is None else retrained_s


def hourly_usd(prices: Prices, *, on_gpu: bool) -> float | None:
    """The price of an hour of the machine that a system runs on."""
    return prices.gpu_hour_usd if on_gpu else prices.cpu_hour_usd


def _costs(system: MeasuredSystem, prices: Prices, volumes: Volumes, retrained_s: float | None) -> Costs:
    hourly = hourly_usd(prices, on_gpu=system.device == "cuda")
    seconds = refresh_s(system, retrained_s)
    storage = system.build.artefact_bytes / 1e9 * prices.storage_gb_month_usd
    build, served = system.cost.build_usd, system.cost.thousand_questions_usd
    people = (prices.training_question_usd or 0.0) * system.written / volumes.months
    refresh = None if hourly is None or seconds is None else seconds / 3600 * hourly
    if hourly is None and not system.build.artefacts:
        refresh = 0.0  # nothing that an update touches was built
    found = Costs(
        build_usd=build,
        thousand_questions_usd=served,
        refresh_s=seconds,
        refresh_usd=refresh,
        storage_usd_per_month=storage,
        people_usd_per_month=people,
        fixed_usd_per_month=None if build is None else build / volumes.months + storage + people,
    )
    month = monthly(found, volumes.questions_per_month, volumes.updates_per_month)
    ends = _thousand_interval(system)
    priced = found.model_copy(update={"usd_per_month": month, "thousand_questions_interval_usd": ends})
    return priced.model_copy(update={"usd_per_month_interval": _monthly_interval(priced, volumes)})


def _thousand_interval(system: MeasuredSystem) -> tuple[float, float] | None:
    """USD for a thousand questions at the ends of the throughput's interval; an endpoint's price has no width."""
    usd, rate, ends = (
        system.cost.thousand_questions_usd,
        system.speed.questions_per_s,
        system.speed.questions_per_s_interval,
    )
    if usd is None or system.endpoint:
        return None if usd is None else (usd, usd)
    return None if ends is None or rate is None else (usd * rate / ends[1], usd * rate / ends[0])


def _monthly_interval(found: Costs, volumes: Volumes) -> tuple[float, float] | None:
    """USD a month when everything that was timed is at its lower end, and at its upper end; None without rounds."""
    return _ends(found) and _monthly_ends(found, volumes.questions_per_month, volumes.updates_per_month)


def _ends(found: Costs) -> tuple[Costs, Costs] | None:
    """The costs at the lower and at the upper end of everything that was timed; None where there is no interval."""
    served, fixed, refresh = found.thousand_questions_interval_usd, found.fixed_usd_per_month, found.refresh_usd
    if served is None or fixed is None:
        return None
    known = found.storage_usd_per_month + found.people_usd_per_month
    low, high = (
        found.model_copy(
            update={
                "thousand_questions_usd": usd,
                "refresh_usd": None if refresh is None else refresh * factor,
                "fixed_usd_per_month": (fixed - known) * factor + known,
            }
        )
        for usd, factor in zip(served, (1 / TIMED, TIMED), strict=True)
    )
    return low, high


def cheapest(found: Mapping[str, Costs], questions_per_month: float, updates_per_month: float) -> tuple[str, ...]:
    """The systems that none is shown to cost less than, in the order given; none where nothing is priced."""
    ends = {name: _monthly_ends(costs, questions_per_month, updates_per_month) for name, costs in found.items()}
    known = {name: both for name, both in ends.items() if both is not None}
    limit = min((high for _, high in known.values()), default=0.0)
    return tuple(name for name, (low, _) in known.items() if low <= limit)


def _monthly_ends(found: Costs, questions: float, updates: float) -> tuple[float, float] | None:
    """The interval of a month's costs; without rounds, what two runs of one system may differ by."""
    usd, ends = monthly(found, questions, updates), _ends(found)
    if usd is None or ends is None:
        return None if usd is None else (usd / TIMED, usd * TIMED)
    low, high = (monthly(at, questions, updates) or 0.0 for at in ends)
    return low, high


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
        same = not more and not saved
        return BreakEven(a=a, b=b, low=low, high=high, questions_per_month=None, cheaper=None if same else low)
    if not saved:
        return BreakEven(a=a, b=b, low=low, high=high, questions_per_month=None, cheaper=high)
    return BreakEven(
        a=a,
        b=b,
        low=low,
        high=high,
        questions_per_month=more / saved,
        cheaper=None,
        interval=_crossing(priced[low], priced[high], updates_per_month),
    )


def _crossing(low: Costs, high: Costs, updates_per_month: float) -> tuple[float, float | None] | None:
    """Where two costs may cross: at least, and at most; None without intervals."""
    mine, other = _ends(low), _ends(high)
    if mine is None or other is None:
        return None
    standing = [[monthly(at, 0.0, updates_per_month) or 0.0 for at in ends] for ends in (mine, other)]
    each = [[(at.thousand_questions_usd or 0.0) / 1000 for at in ends] for ends in (mine, other)]
    more = (standing[0][0] - standing[1][1], standing[0][1] - standing[1][0])
    saved = (each[1][0] - each[0][1], each[1][1] - each[0][0])
    return max(0.0, more[0] / saved[1]), more[1] / saved[0] if saved[0] > 0 else None
