"""A run's times, memory and money, and its pairs, as tidy frames: a row a figure, with its unit and its interval."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from bench.scoring.schema import MeasuredSystem, Scores

if TYPE_CHECKING:
    import pandas

FIGURES = ("system", "figure", "unit", "value", "low", "high", "n")
PAIRS = (
    *("measure", "a", "b", "difference", "low", "high", "n", "clusters", "seeds"),
    *("p", "p_holm", "margin", "verdict", "test"),
)
Row = tuple[object, ...]


def figures(scores: Scores) -> pandas.DataFrame:
    """One row for each system and figure that was measured. `low` and `high` are of 95%, from the rounds, where there
    are some; `n` the questions that it is of."""
    import pandas

    rows = [(name, *row) for name, system in scores.measured.items() for row in _figures(scores, name, system)]
    return pandas.DataFrame([row for row in rows if row[3] is not None], columns=FIGURES)


def _figures(scores: Scores, name: str, system: MeasuredSystem) -> Iterator[Row]:
    speed, memory, cost = system.speed, system.memory, scores.recommendation.costs.get(name)
    none = (None, None)
    yield "latency_p50", "s", speed.p50_s, *(speed.p50_interval_s or none), speed.n
    yield "latency_p90", "s", speed.p90_s, *none, speed.n
    yield "first_token", "s", speed.first_token_s, *none, speed.n
    yield "per_token", "s", speed.per_token_s, *none, speed.n
    rate = speed.questions_per_s_interval or none
    yield "throughput", "questions/s", speed.questions_per_s, *rate, speed.batched_n
    yield "memory_serving", "bytes", memory.peak_bytes, *none, None
    yield "memory_training", "bytes", system.build.train_peak_bytes, *none, None
    yield "build", "s", system.build.total_s or None, *none, None
    yield "update", "s", cost.refresh_s if cost else system.refresh_s, *none, None
    if cost:
        thousand = cost.thousand_questions_interval_usd or none
        yield "thousand_questions", "USD", cost.thousand_questions_usd, *thousand, None
        yield "month", "USD", cost.usd_per_month, *(cost.usd_per_month_interval or none), None


def pairs(scores: Scores) -> pandas.DataFrame:
    """One row for each measure and pair of systems that was compared: `a` minus `b`, its interval of 95% for this pair
    alone, and its p, by itself and corrected (`p_holm`), which the verdict is by."""
    import pandas

    rows = [{"measure": measure, **asdict(pair)} for measure, found in scores.compared.items() for pair in found]
    return pandas.DataFrame(rows, columns=PAIRS)
