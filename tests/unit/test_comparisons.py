"""Comparisons with known truth: what must not be found, what must be found, and naive ways that get it wrong."""

import math

import numpy as np
import pytest
from scipy import stats as distributions
from statsmodels.stats.multitest import multipletests

from bench.stats import intervals
from bench.stats.comparisons import Panel, compare, joint
from bench.stats.corrections import holm
from bench.stats.distributions import binomial_quantile, t_above, t_below, t_quantile
from bench.stats.permutation import mcnemar
from bench.stats.planning import needed, needed_within
from bench.stats.shares import wilson

Rows = np.ndarray


def outcomes(rng: np.random.Generator, k: int, m: int, rho: float, up: float, down: float) -> tuple[Rows, Rows]:
    """Two systems on k clusters of m questions: one wins `up` of them, the other `down`, and the differences of
    two questions of one cluster correlate by `rho`."""
    levels, weights = np.array([1, -1, 0]), [up, down, 1 - up - down]
    alone, common = rng.choice(levels, (k, m), p=weights), rng.choice(levels, (k, 1), p=weights)
    d = np.where(rng.random((k, m)) < math.sqrt(rho), common, alone).ravel()
    return (d >= 0).astype(float), (d <= 0).astype(float)


def panel(a: Rows, b: Rows, k: int) -> Panel:
    return Panel({"a": a[None], "b": b[None]}, [f"c{i // (a.size // k)}" for i in range(a.size)])


def naive(a: Rows, b: Rows) -> float:
    """Paired test that takes every question as independent, by the normal distribution."""
    gaps = (a - b).ravel()
    spread = gaps.std(ddof=1)
    return math.erfc(abs(gaps.mean()) / spread * math.sqrt(gaps.size / 2)) if spread else 1.0


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.7])
def test_no_difference_is_rarely_found(rho: float) -> None:
    """V1: 2,000 comparisons of a system with its equal, on 40 clusters of 5."""
    rng = np.random.default_rng(int(10 * rho))
    found = fooled = 0
    for _ in range(2000):
        a, b = outcomes(rng, 40, 5, rho, 0.15, 0.15)
        found += compare(panel(a, b, 40), resamples=50)[0].verdict != "inconclusive"
        fooled += naive(a, b) <= 0.05
    assert found / 2000 <= 0.065
    assert rho == 0.0 or fooled / 2000 > 0.1  # the negative control


def test_planned_questions_find_the_effect() -> None:
    """V2: five points at 20% discordance; the published plan is 831 questions for 90% power, 2,325 for three points."""
    assert needed(0.05, 0.2 - 0.05**2, power=0.9) == 831 and needed(0.03, 0.2 - 0.03**2, power=0.9) == 2325
    rng = np.random.default_rng(3)
    clusters = 831 // 3
    found = {1.0: 0, 0.5: 0}
    for _ in range(300):
        for share in found:
            k = int(clusters * share)
            a, b = outcomes(rng, k, 3, 0.0, 0.125, 0.075)
            found[share] += compare(panel(a, b, k), resamples=50)[0].verdict == "better"
    assert found[1.0] / 300 >= 0.9 - 2 * math.sqrt(0.09 / 300)
    assert found[0.5] / 300 < 0.75  # half of the questions are too few


def test_planned_questions_show_equivalence() -> None:
    """Equal systems at 20% discordance: (1.645 + 1.645)^2 .2 / .05^2 = 866 questions show 5 points with 90% power."""

    def error(more: float) -> float:
        return math.sqrt(0.2 / 100 / more)

    assert needed_within(0.0, 0.05, 100, error, power=0.9) == pytest.approx(866, abs=2)
    assert (needed_within(0.02, 0.05, 100, error, power=0.9) or 0) > 1800
    assert needed_within(0.05, 0.05, 100, error, power=0.9) is None  # as large as the margin
    assert needed_within(0.0, 0.05, 100, lambda more: 0.1 + error(more), power=0.9) is None  # of seeds
    rng, found = np.random.default_rng(8), {866: 0, 433: 0}
    for n in found:
        for _ in range(300):
            a, b = outcomes(rng, n, 1, 0.0, 0.1, 0.1)
            found[n] += compare(panel(a, b, n), margin=0.05, resamples=200)[0].verdict == "equivalent"
    assert found[866] / 300 >= 0.9 - 2 * math.sqrt(0.09 / 300) and found[433] / 300 < 0.75


def test_planned_questions_count_the_clustering() -> None:
    """On 400 questions that agree within clusters the plan is larger by the design effect, within 5% on average."""
    rng = np.random.default_rng(4)
    plans = {0.0: [], 0.7: []}
    for rho, seen in plans.items():
        for _ in range(60):
            a, b = outcomes(rng, 400, 5, rho, 0.25, 0.10)
            pair = compare(panel(a, b, 400), resamples=50)[0]
            seen.append((pair.n90 or 0) * pair.difference**2)  # z^2 times the variance of one question
    z2, variance = 10.507, 0.35 - 0.15**2
    for rho, seen in plans.items():
        assert np.mean(seen) == pytest.approx(z2 * variance * (1 + 4 * rho), rel=0.05)


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_a_difference_at_the_margin_is_not_equivalent(rho: float) -> None:
    """V3: five points apart, with a margin of five points."""
    rng = np.random.default_rng(5)

    def equivalent(runs: int, gained: float, lost: float) -> float:
        pairs = (outcomes(rng, 200, 4, rho, gained, lost) for _ in range(runs))
        found = [compare(panel(a, b, 200), margin=0.05, resamples=200)[0].verdict for a, b in pairs]
        return found.count("equivalent") / runs

    assert equivalent(400, 0.125, 0.075) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)
    assert equivalent(60, 0.05, 0.05) > 0.4  # the control: equal systems are found equivalent


def test_paired_intervals_cover() -> None:
    """V4: five points apart on 80 clusters of 5 that agree."""
    rng = np.random.default_rng(6)
    held = fooled = 0
    for _ in range(1200):
        a, b = outcomes(rng, 80, 5, 0.4, 0.2, 0.15)
        pair = compare(panel(a, b, 80), resamples=999)[0]
        held += pair.low <= 0.05 <= pair.high
        d = a - b
        half = 1.96 * d.std(ddof=1) / math.sqrt(d.size)
        fooled += abs(d.mean() - 0.05) <= half
    assert held / 1200 == pytest.approx(0.95, abs=0.015)
    assert fooled / 1200 < 0.9


def test_wilson_covers_and_wald_does_not() -> None:
    """V4: mean coverage over proportions at n = 50, from the binomial itself."""
    n, shares = 50, np.linspace(0.01, 0.99, 197)
    right = np.arange(n + 1)
    ends = np.array([wilson(r / n, n) for r in right])
    half = 1.96 * np.sqrt(right / n * (1 - right / n) / n)
    wald = np.stack([right / n - half, right / n + half], 1)

    def mean_coverage(intervals: Rows) -> float:
        holds = (intervals[:, 0] <= shares[:, None]) & (shares[:, None] <= intervals[:, 1])
        return float((distributions.binom.pmf(right, n, shares[:, None]) * holds).sum(1).mean())

    assert mean_coverage(ends) == pytest.approx(0.95, abs=0.005)
    assert mean_coverage(wald) < 0.93


def test_many_nulls_give_one_false_alarm_in_twenty_runs() -> None:
    """V5: 20 true nulls, corrected as one family."""
    rng = np.random.default_rng(7)
    p = distributions.ttest_1samp(rng.normal(size=(400, 20, 30)), 0, axis=2).pvalue.tolist()
    assert np.mean([min(holm(row)) <= 0.05 for row in p]) <= 0.065
    assert np.mean([min(row) <= 0.05 for row in p]) > 0.4


def test_corrections_golden() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 40):
        values = rng.beta(0.3, 1, size)
        assert holm(values) == pytest.approx(multipletests(values, method="holm")[1])
    assert holm([]) == []
    assert mcnemar(2, 10) == pytest.approx(0.03857421875)
    assert mcnemar(0, 0) == 1.0


def test_seeds_are_no_questions() -> None:
    """A tuned system whose seeds differ by more than the questions do: pooling its answers would find a difference."""
    rng = np.random.default_rng(8)
    found = pooled = 0
    for _ in range(300):
        level = np.clip(0.5 + 0.12 * rng.normal(size=(3, 1)), 0, 1)
        tuned, base = (rng.random((3, 300)) < level).astype(float), (rng.random((1, 300)) < 0.5).astype(float)
        found += (
            compare(Panel({"a": tuned, "b": base}, [f"q{i}" for i in range(300)]), resamples=400)[0].verdict
            != "inconclusive"
        )
        pooled += naive(tuned.ravel(), np.repeat(base, 3, 0).ravel()) <= 0.05
    assert found / 300 <= 0.09 and pooled / 300 > 0.25


def test_two_level_intervals_cover() -> None:
    rng = np.random.default_rng(9)
    held = 0
    for _ in range(500):
        level = np.clip(0.6 + 0.08 * rng.normal(size=(3, 1)), 0, 1)
        found = intervals.estimate((rng.random((3, 200)) < level).astype(float), [f"q{i}" for i in range(200)])
        held += found is not None and found.low <= 0.6 <= found.high
    assert 0.93 <= held / 500 <= 0.99


def test_nothing_differs_is_not_certainty() -> None:
    same = np.ones((1, 100))
    found = compare(Panel({"a": same, "b": same}, [f"c{i}" for i in range(100)]), margin=0.1)[0]
    assert found.difference == 0.0 and found.high == -found.low > 0.03
    assert found.n90 is None and found.verdict == "equivalent"
    few = compare(Panel({"a": same[:, :10], "b": same[:, :10]}, [f"c{i}" for i in range(10)]), margin=0.1)[0]
    assert few.verdict == "inconclusive"  # ten questions cannot tell


def test_one_cluster_decides_nothing() -> None:
    a, b = np.ones((1, 50)), np.zeros((1, 50))
    found = compare(Panel({"a": a, "b": b}, ["c"] * 50), margin=0.1)[0]
    assert found.verdict == "inconclusive" and (found.low, found.high) == (-1.0, 1.0)


def test_joint_bootstrap_keeps_the_pairing() -> None:
    """Two systems that differ on every tenth question only: their means move together."""
    rng = np.random.default_rng(10)
    a = (rng.random((1, 400)) < 0.5).astype(float)
    b = a.copy()
    b[0, ::10] = 1 - b[0, ::10]
    drawn = joint(Panel({"a": a, "b": b}, [f"c{i}" for i in range(400)]), resamples=4000)
    assert np.corrcoef(drawn["a"], drawn["b"])[0, 1] > 0.7


def test_values_must_fit_the_clusters() -> None:
    with pytest.raises(ValueError, match="seeds, 3"):
        Panel({"a": np.ones((1, 2))}, ["c"] * 3)


@pytest.mark.parametrize("df", [1.0, 1.7, 30.0, 399.0, math.inf])
def test_students_t_golden(df: float) -> None:
    for value in (-5.0, -1.3, 0.0, 0.2, 8.0):
        assert t_below(value, df) == pytest.approx(distributions.t.cdf(value, df), rel=1e-10)
        assert t_above(value, df) == pytest.approx(distributions.t.sf(value, df), rel=1e-10)
    for level in (0.5, 0.9, 0.975, 0.9999):
        assert t_quantile(level, df) == pytest.approx(distributions.t.ppf(level, df), abs=1e-9, rel=1e-10)


@pytest.mark.parametrize("n", [1, 8, 64, 131, 5000])
def test_binomial_golden(n: int) -> None:
    for share in (0.5, 0.9, 0.99):
        for level in (0.025, 0.975):
            assert binomial_quantile(level, n, share) == int(distributions.binom.ppf(level, n, share))
    for won in {0, n // 3, n // 2, n}:
        exact = distributions.binomtest(won, n, 0.5).pvalue
        assert mcnemar(won, n - won) == pytest.approx(exact, rel=1e-9)
