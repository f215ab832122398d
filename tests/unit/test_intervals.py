"""Intervals with known answers, and simulations in which the naive way fails."""

import numpy as np
import pytest

from bench.stats import intervals
from bench.stats.shares import wilson


def test_wilson_golden() -> None:
    """Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20."""
    for right, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        assert wilson(right / n, n) == pytest.approx((low, high), abs=5e-5)


def test_constant_scores_do_not_claim_certainty() -> None:
    found = intervals.estimate([1.0] * 30, [f"c{i // 3}" for i in range(30)])
    assert found is not None and found.mean == 1.0 and found.low < 0.8  # ten clusters, not thirty questions


def test_nothing_is_no_estimate() -> None:
    assert intervals.estimate([], []) is None


def _coverage(clustered: bool, trials: int = 300) -> float:
    """Share of 95% intervals that hold the truth, when questions of a cluster agree."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(trials):
        p = rng.beta(0.6, 0.6, 60)  # strong agreement inside each of 60 clusters of 5; the truth is 0.5
        x = (rng.random((60, 5)) < p[:, None]).astype(float)
        names = [f"c{i}" if clustered else f"q{i}-{j}" for i in range(60) for j in range(5)]
        found = intervals.estimate(x.ravel().tolist(), names)
        assert found is not None
        held += found.low <= 0.5 <= found.high
    return held / trials


def test_cluster_interval_covers_where_the_naive_one_does_not() -> None:
    assert _coverage(clustered=True) >= 0.91
    assert _coverage(clustered=False) <= 0.85


def test_percentiles_only_with_support() -> None:
    assert intervals.percentile(list(range(64)), 90) is not None
    assert intervals.percentile(list(range(63)), 90) is None
    assert intervals.percentile(list(range(661)), 99) is None and intervals.percentile(list(range(662)), 99) is not None
