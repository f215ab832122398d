"""How far repeats differ, by hand: the noise of the verdict, and the figures that a gate compares."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from bench.gate.decisions import gate
from bench.gate.rules import Rule, Rules
from bench.gate.samples import middle
from bench.verdict.noise import Noise
from tests.faults.test_gate import snapshot


def timed(*medians: float, level: tuple[float, float] | None = None) -> Any:
    rounds = [SimpleNamespace(number=n, p50_s=p50_s) for n, p50_s in enumerate(medians, 1)]
    return SimpleNamespace(speed=SimpleNamespace(level_interval=level, kept=rounds))


def noise(systems: dict[str, Any], **costs: tuple[float, float] | None) -> Noise:
    priced: Any = {name: SimpleNamespace(usd_per_month_interval=ends) for name, ends in costs.items()}
    return Noise(systems, priced)


def test_the_noise_of_one_figure_is_half_its_interval_in_decimal_logarithms() -> None:
    found = noise({"a": timed(level=(0.8, 1.25)), "b": timed()}, a=(1.0, 4.0), b=(0.0, 4.0))
    assert found.of("latency", "a") == pytest.approx(math.log10(1.25))
    assert found.of("cost", "a") == pytest.approx(math.log10(2))
    unknown = math.log10(1.3) / math.sqrt(2)
    assert found.of("latency", "b") == found.of("cost", "b") == pytest.approx(unknown)
    assert found.between("memory", "a", "b") == pytest.approx(math.log10(1.1))
    assert found.between("cost", "a", "b") == pytest.approx(math.hypot(math.log10(2), unknown))


def test_latencies_are_compared_within_the_rounds_that_both_have() -> None:
    """Logarithms of a: .1 and -.1, of b: .02 and -.02. What is left of each once its round is taken away is .04: with
    one degree of freedom the standard deviation is .08, and Student's t 12.706."""
    found = noise({"a": timed(math.exp(0.1), math.exp(-0.1)), "b": timed(math.exp(0.02), math.exp(-0.02))})
    assert found.between("latency", "a", "b") == pytest.approx(12.7062 * 0.08 / math.log(10), rel=1e-5)
    still = noise({"a": timed(math.exp(0.1), math.exp(-0.1)), "b": timed(1.0, 1.0)})  # which varies not at all
    assert still.between("latency", "a", "b") == pytest.approx(math.hypot(*(still.of("latency", n) for n in "ab")))
    apart = noise({"a": timed(1.0, 1.0), "b": timed()})
    assert apart.between("latency", "a", "b") == pytest.approx(math.log10(1.3))


def test_repeats_are_compared_by_a_mean_of_shares_and_a_median_of_figures() -> None:
    system = snapshot(em=[1, 1, 1, 0], latency=[0.1, 0.2, 0.9], memory=[5.0, 100.0, 7.0]).systems["rag"]
    assert middle("em", system) == 0.75
    assert middle("p50_latency_s", system) == 0.2
    assert middle("peak_rss_growth_bytes", system) == 7.0
    assert middle("numeric", system) is None


def test_three_seeds_a_side_widen_an_increase_and_two_do_not() -> None:
    rules = Rules(rules=(Rule(metric="peak_rss_growth_bytes", margin=0.05),))

    def width(n: int) -> float:
        (found,) = gate(snapshot(memory=[99.0, 101.0, 100.0][:n]), snapshot(memory=[98.0, 102.0, 100.0][:n]), rules)
        assert found.low is not None and found.high is not None
        return found.high - found.low

    assert width(3) > width(2)


def test_a_percentile_of_too_few_is_an_error_with_its_reason() -> None:
    rules = Rules(rules=(Rule(metric="p95_latency_s", max=1.0), Rule(metric="p50_latency_s", max=1.0)))
    few = snapshot(latency=[0.1] * 10)
    late, typical = gate(few, few, rules)
    assert (late.state, typical.state, typical.why) == ("errored", "pass", "budget") and "too few samples" in late.why
