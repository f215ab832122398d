"""What a family of comparisons may say at most, with seeds and margins, on systems whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.core.vocabulary import Answer, Record
from bench.scoring.grade import by_measure, columns
from bench.stats.bootstrap import Spread
from bench.stats.comparisons import Panel, compare, compare_family
from bench.stats.corrections import exclusive
from bench.stats.planning import plan
from tests.validity import answers, panel


def test_shaffers_factors_golden() -> None:
    """Three pairs: the smallest p is multiplied by 3, not by 6; the fifth of six by 2."""
    first, second = exclusive([0.001, 0.02, 0.9], [0.8, 0.03, 0.004])
    assert first == pytest.approx([0.003, 0.06, 1.0]) and second == pytest.approx([1.0, 0.09, 0.012])
    three = exclusive([0.001, 0.9], [0.01, 0.02], [0.8, 0.03])  # of six at most two are true
    assert [p for of in three for p in of] == pytest.approx([0.002, 1.0, 0.02, 0.04, 1.0, 0.06])


@pytest.mark.parametrize("rivals", [1, 4, pytest.param(9, marks=pytest.mark.slow)])
def test_rivals_at_the_margin_are_rarely_equivalent(rivals: int) -> None:
    """Rivals that are worse by exactly the margin: in at most one run in twenty is any called equivalent."""
    rng, runs, margin, wrong = np.random.default_rng(rivals), 100, 0.05, 0
    for _ in range(runs):
        best = rng.random((1, 1000)) < 0.8
        others = {f"r{i}": (best & (rng.random((1, 1000)) < 0.75 / 0.8)).astype(float) for i in range(rivals)}
        found = compare(panel(best=best.astype(float), **others), margin=margin, resamples=400)
        wrong += any(pair.verdict == "equivalent" for pair in found if pair.a == "best")
    assert wrong / runs <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)


def test_equal_systems_are_found_equivalent_and_others_apart() -> None:
    rng = np.random.default_rng(1)
    base = rng.random((1, 2000)) < 0.8
    flip = rng.random((4, 2000)) < 0.02
    same = {f"s{i}": (base[0] ^ flip[i])[None].astype(float) for i in range(4)}
    worse = (base & (rng.random((1, 2000)) < 0.7)).astype(float)
    found = compare(panel(**same, worse=worse), margin=0.05)
    assert {p.verdict for p in found if "worse" not in (p.a, p.b)} == {"equivalent"}
    assert {p.verdict for p in found if p.b == "worse"} == {"better"}


@pytest.mark.parametrize(("seeds_a", "seeds_b"), [(3, 2), (2, 4), (5, 3)])
def test_unequal_seeds_find_no_difference_where_there_is_none(seeds_a: int, seeds_b: int) -> None:
    """Seeds of one quality that vary by .04: one cell failed, and the mean of the rest is no single run."""
    rng, runs, found = np.random.default_rng(seeds_a), 300, 0
    for _ in range(runs):
        a, b = (answers(rng, 0.7 + 0.04 * rng.normal(size=s), 600) for s in (seeds_a, seeds_b))
        found += compare(panel(a=a, b=b), resamples=400)[0].verdict != "inconclusive"
    assert found / runs <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / runs)


def test_unequal_seeds_find_what_there_is() -> None:
    rng = np.random.default_rng(2)
    a, b = answers(rng, 0.8 + 0.01 * rng.normal(size=3), 800), answers(rng, 0.6 + 0.01 * rng.normal(size=2), 800)
    (pair,) = compare(panel(a=a, b=b))
    assert pair.verdict == "better" and pair.seeds == 2
    assert pair.difference == pytest.approx(a.mean() - b.mean())


def test_more_questions_do_not_help_where_seeds_vary() -> None:
    """Three seeds that vary by .06: no number of questions finds .05, a number of seeds does."""
    levels = np.array([-0.06, 0.0, 0.06])
    base = np.tile([1.0, 0.0], 1000)[None]
    a = np.stack([np.concatenate([np.ones(int(2000 * (0.55 + up))), np.zeros(2000)])[:2000] for up in levels])
    (pair,) = compare(panel(a=a, b=base))
    assert pair.verdict == "inconclusive" and pair.n90 is None and pair.seeds90 and pair.seeds90 > 10
    (level,) = compare(panel(a=a - 0.05, b=base))
    assert (level.n90, level.seeds90, level.both90) == (None, None, None)  # no difference was seen


def test_planned_seeds_find_the_effect() -> None:
    """From the true variances of three seeds: the seeds that are planned for 90% power have about that power."""
    effect, sd, n = 0.06, 0.03, 500
    by_question, by_seed = 2 * 0.24 / n / 3, 2 * (sd**2 + 0.24 / n) / 3  # means of seeds hold answers
    seen = Spread(effect, 0.0, 2, question_variance=by_question, question_df=n - 1, interaction_variance=by_question)
    seen = replace(seen, seed_variance=by_seed, seed_df=2, seeds=3)
    seeds = plan(seen, n, power=0.9).seeds
    assert seeds is not None and 6 <= seeds <= 13
    rng, found = np.random.default_rng(3), 0
    for _ in range(200):
        a = answers(rng, 0.6 + effect + sd * rng.normal(size=seeds), n)
        b = answers(rng, 0.6 + sd * rng.normal(size=seeds), n)
        found += compare(panel(a=a, b=b), resamples=100)[0].verdict == "better"
    assert found / 200 >= 0.85


def test_a_pair_does_not_lose_questions_to_a_third_system() -> None:
    rng = np.random.default_rng(4)
    a, b = (rng.random((1, 300)) < 0.9).astype(float), (rng.random((1, 300)) < 0.6).astype(float)
    both = panel(a=a, b=b)
    third = Panel({"a": a[:, :6], "c": a[:, :6]}, both.clusters[:6])
    found = compare_family([(both, [("a", "b")]), (third, [("a", "c")])])
    assert [(p.n, p.verdict) for p in found] == [(300, "better"), (6, "inconclusive")]


def test_seeds_keep_their_spread_where_values_are_missing() -> None:
    rows = []
    for seed, values in enumerate(([1.0, 1.0, None, 1.0], [0.0, 1.0, 0.0, 0.0])):
        found = [
            Record(
                cell=f"c-s{seed}",
                system="c",
                seed=seed,
                question=f"q{i}",
                stratum="s",
                group=f"g{i}",
                text="?",
                answers=("x",),
                gold=(),
                choices=(),
                answer=Answer(""),
                batch=0,
                batch_size=1,
                batch_s=0.1,
                latency_s=None,
            )
            for i in range(4)
        ]
        rows.append((found, by_measure([{"em": v} for v in values])))
    column = columns(rows)["em"]
    assert column.values.shape == (2, 4)
    assert column.values.mean(0).tolist() == pytest.approx([0.5, 1.0, 0.0, 0.5])
    assert column.values[0].mean() > column.values[1].mean()
