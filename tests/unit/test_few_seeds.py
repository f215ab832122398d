"""What two or three trainings tell: no more than they can, and more together than each alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.stats.comparisons import Panel, compare, seed_noise
from bench.stats.distributions import t_above, t_quantile, two_above, two_quantile
from bench.stats.intervals import estimate


def ids(n: int) -> list[str]:
    return [f"q{i}" for i in range(n)]


def answers(rng: np.random.Generator, levels: np.ndarray, n: int) -> np.ndarray:
    """Right or wrong at the level of each seed. (seeds, questions)"""
    return (rng.random((len(levels), n)) < np.clip(levels, 0, 1)[:, None]).astype(float)


@pytest.mark.parametrize(
    ("weights", "dfs"), [((0.95, 0.3122), (1999, 2)), ((0.6, 0.8), (1999, 2)), ((0.9, 0.436), (30, 4))]
)
def test_a_sum_of_two_t_has_the_tails_of_its_draws(weights: tuple[float, float], dfs: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    drawn = sum(w * stats.t.rvs(df, size=400_000, random_state=rng) for w, df in zip(weights, dfs, strict=True))
    parts = list(zip(weights, map(float, dfs), strict=True))
    for value in (0.5, 1.0, 2.0, 4.0):
        share = float((drawn > value).mean())
        assert two_above(value, parts) == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 400_000) + 1e-6)
    assert two_above(two_quantile(0.975, parts), parts) == pytest.approx(0.025, rel=1e-6)


def test_where_one_of_two_counts_for_nothing_it_is_students_t() -> None:
    for df in (2.0, 30.0, float("inf")):
        assert two_above(2.0, [(1e-9, 2.0), (1.0, df)]) == pytest.approx(t_above(2.0, df), rel=1e-6)
        assert two_quantile(0.975, [(1e-9, 2.0), (1.0, df)]) == pytest.approx(t_quantile(0.975, df), rel=1e-6)


def test_what_nearly_always_wins_is_told_apart() -> None:
    """33 won and 1 lost of 36: in many resamples nothing varies, and these tell nothing against the rest."""
    panel = Panel({"a": np.array([[1.0] * 34 + [0.0] * 2]), "b": np.array([[0.0] * 33 + [1.0] + [0.0, 1.0]])}, ids(36))
    grouped = Panel(panel.values, [*ids(36)[:34], "q33", "q33"])  # not of McNemar's alone
    for found in (compare(panel, margin=0.05)[0], compare(grouped, margin=0.05)[0]):
        assert found.low > 0.5 and found.p < 0.001 and found.verdict == "better" and found.non_inferior


def test_a_seed_that_diverged_leaves_the_mean_open() -> None:
    found = estimate(np.array([[1.0] * 300, [1.0] * 300, [0.0] * 300]), ids(300))
    assert found is not None and (found.low, found.high) == (0.0, 1.0)
    alike = estimate(np.ones((3, 300)), ids(300))
    assert alike is not None and alike.low > 0.98


def test_the_interval_of_two_seeds_covers() -> None:
    rng, held = np.random.default_rng(8), 0
    for _ in range(200):
        found = estimate(answers(rng, 0.7 + 0.1 * rng.normal(size=2), 300), ids(300))
        held += found is not None and found.low <= 0.7 <= found.high
    assert held / 200 >= 0.92


def test_equal_tuned_systems_are_seldom_told_apart() -> None:
    """Five of three seeds each, any two: .145 where each pair had the degrees of freedom of Satterthwaite."""
    rng, told = np.random.default_rng(11), 0
    for _ in range(150):
        panel = Panel({f"s{i}": answers(rng, 0.7 + 0.05 * rng.normal(size=3), 600) for i in range(5)}, ids(600))
        told += any(pair.verdict != "inconclusive" for pair in compare(panel, resamples=200))
    assert told / 150 <= 0.06


def test_what_is_far_apart_is_told_apart_by_three_seeds() -> None:
    rng = np.random.default_rng(3)
    values = {f"s{i}": answers(rng, 0.5 + 0.02 * rng.normal(size=3), 400) for i in range(8)}
    values["far"] = answers(rng, 0.9 + 0.02 * rng.normal(size=3), 400)
    pairs = compare(Panel(values, ids(400)), resamples=200)
    assert all(pair.verdict in ("better", "worse") for pair in pairs if "far" in (pair.a, pair.b))


def test_seeds_of_all_systems_tell_of_each_but_for_one_that_varies_more() -> None:
    rows = {
        name: np.array([[level - by], [level], [level + by]])
        for name, level, by in (("a", 0.5, 0.01), ("b", 0.6, 0.012), ("c", 0.7, 0.009), ("wild", 0.5, 0.3))
    }
    rows["once"] = np.array([[0.4]])
    found = seed_noise([Panel(rows, ["q"])])
    assert "once" not in found and found["wild"] == (pytest.approx(0.3), 2)
    assert found["a"] == found["b"] == found["c"] and found["a"][1] == 6
    assert found["a"][0] == pytest.approx(np.sqrt((0.01**2 + 0.012**2 + 0.009**2) / 3))
