"""Money: what a system costs to build, to ask and to keep fresh, per month, and where two systems break even."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from bench.core.vocabulary import JSON


def costs(systems: Mapping[str, Mapping[str, Any]], spec: Mapping[str, Any]) -> dict[str, dict[str, JSON]]:
    """system -> USD to build, per thousand questions, per refresh, and per month at the spec's volumes.

    None where the spec has no price, or nothing was measured that it could apply to.
    """
    return {name: _costs(s, spec["prices"], spec["volumes"]) for name, s in systems.items()}


def refresh_s(s: Mapping[str, Any]) -> float | None:
    """Seconds until a changed corpus is absorbed: index anew, or for what is tuned train anew as well."""
    seconds: float | None = s["build"]["total_s"] if s["trained"] else s["refresh_s"]
    return seconds


def _costs(s: Mapping[str, Any], prices: Mapping[str, Any], volumes: Mapping[str, Any]) -> dict[str, JSON]:
    hourly = prices["gpu_hour_usd" if s["device"] == "cuda" else "cpu_hour_usd"]
    seconds = refresh_s(s)
    storage = s["build"]["artefact_bytes"] / 1e9 * prices["storage_gb_month_usd"]
    build, served = s["cost"]["build_usd"], s["cost"]["thousand_questions_usd"]
    refresh = None if hourly is None or seconds is None else seconds / 3600 * hourly
    fixed = None if build is None else build / volumes["months"] + storage
    told: dict[str, JSON] = {
        "build_usd": build, "thousand_questions_usd": served, "refresh_s": seconds, "refresh_usd": refresh,
        "storage_usd_per_month": storage, "fixed_usd_per_month": fixed,
    }  # fmt: skip
    asked, updates = volumes["questions_per_month"], volumes["updates_per_month"]
    priced = fixed is not None and served is not None and (refresh is not None or not updates)
    return {**told, "usd_per_month": monthly(told, asked, updates) if priced else None}


def monthly(found: Mapping[str, Any], questions_per_month: float, updates_per_month: float) -> float:
    """USD a month of a system that is priced, at any volumes."""
    updates = updates_per_month * (found["refresh_usd"] or 0.0)
    return float(found["fixed_usd_per_month"] + questions_per_month * found["thousand_questions_usd"] / 1000 + updates)


def break_even(found: Mapping[str, Mapping[str, Any]], updates_per_month: float) -> list[dict[str, JSON]]:
    """Every two systems: from how many questions a month the one that costs less to ask is the cheaper one.

    `questions_per_month` is None where one is cheaper at any volume; then it is `cheaper`.
    """
    rows: list[dict[str, JSON]] = []
    known = {n: c for n, c in found.items() if c["usd_per_month"] is not None}
    for a, b in itertools.combinations(known, 2):
        low, high = sorted((a, b), key=lambda n: known[n]["thousand_questions_usd"])
        ask = (known[high]["thousand_questions_usd"] - known[low]["thousand_questions_usd"]) / 1000
        stand = [monthly(known[n], 0.0, updates_per_month) for n in (low, high)]
        more = stand[0] - stand[1]  # what the one that is cheaper to ask costs more before anything is asked
        at = more / ask if more > 0 and ask > 0 else None
        cheaper = low if more <= 0 else high if not ask else None
        rows.append({"a": a, "b": b, "low": low, "high": high, "questions_per_month": at, "cheaper": cheaper})
    return rows
