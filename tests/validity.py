"""What the verdict and the gate get wrong, simulated on systems whose truth is known: `make validity`.

Writes docs/validity.md, a row for each fault that a verdict could make, with its rate and the bound that it must keep.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from bench.gate.decisions import gate, verdict
from bench.gate.noise import run_noise
from bench.gate.rules import Rule, Rules
from bench.gate.snapshot import Snapshot, SystemSnapshot, Values
from bench.metrics.abstention import abstains
from bench.scoring.grade import Column
from bench.scoring.schema import Costs
from bench.spec.model import Weights
from bench.stats.bootstrap import Spread
from bench.stats.comparisons import Panel, compare
from bench.stats.intervals import estimate
from bench.stats.planning import needed, needed_within, plan
from bench.stats.rounds import repeated, spreads, within
from bench.verdict.decision import Decision, Weighing, decide
from bench.verdict.noise import Noise

OUT = Path(__file__).resolve().parent.parent / "docs" / "validity.md"
RUNS = 1000
MARGIN = 0.05
Rows = np.ndarray
UNPRICED = Costs(
    build_usd=None,
    thousand_questions_usd=None,
    refresh_s=None,
    refresh_usd=None,
    storage_usd_per_month=0.0,
    fixed_usd_per_month=None,
)


@dataclass(frozen=True)
class Row:
    """One simulation. `at_most`: the rate must stay below the bound, else above it."""

    what: str
    setting: str
    rate: float
    bound: float
    runs: int
    at_most: bool = True

    @property
    def holds(self) -> bool:
        """Whether the rate keeps the bound, within two standard errors of the simulation."""
        slack = 2 * math.sqrt(self.bound * (1 - self.bound) / self.runs)
        return self.rate <= self.bound + slack if self.at_most else self.rate >= self.bound - slack


def share(once: Callable[[np.random.Generator], bool], runs: int, seed: int = 0) -> float:
    """How often something happens."""
    rng = np.random.default_rng(seed)
    return sum(once(rng) for _ in range(runs)) / runs


def panel(**values: Rows) -> Panel:
    count = next(iter(values.values())).shape[1]
    return Panel(values, [f"q{i}" for i in range(count)])


def answers(rng: np.random.Generator, levels: Rows | float, n: int) -> Rows:
    """(seeds, n) right or wrong answers, each seed of its level."""
    levels = np.atleast_1d(levels)
    return (rng.random((len(levels), n)) < np.clip(levels, 0, 1)[:, None]).astype(float)


def decided(values: dict[str, Rows], margin: float | None) -> Decision:
    """The decision of the verdict on these answers."""
    count = next(iter(values.values())).shape[1]
    ids = [f"q{i}" for i in range(count)]
    columns = {name: Column(ids, rows, ids, ["all"] * count) for name, rows in values.items()}
    offset = {name: {} for name in columns}
    weighing = Weighing(offset, Weights(), Noise({}, dict.fromkeys(columns, UNPRICED)))
    return decide(columns, weighing, margin)


def rivals_at_the_margin(rng: np.random.Generator, systems: int, n: int) -> dict[str, Rows]:
    """A best system, and others that are worse by exactly the margin."""
    best = rng.random((1, n)) < 0.8
    found = {"best": best.astype(float)}
    for i in range(systems - 1):
        found[f"r{i}"] = (best & (rng.random((1, n)) < (0.8 - MARGIN) / 0.8)).astype(float)
    return found


def families(runs: int, systems: int) -> Iterator[Row]:
    for n in (60, 300, 2000):
        setting = f"{systems} systems, n = {n:,}"

        def equals(rng: np.random.Generator, systems: int = systems, n: int = n) -> bool:
            values = {f"s{i}": answers(rng, 0.7, n) for i in range(systems)}
            return any(pair.verdict in ("better", "worse") for pair in compare(panel(**values), resamples=400))

        def margin(rng: np.random.Generator, systems: int = systems, n: int = n) -> bool:
            found = compare(panel(**rivals_at_the_margin(rng, systems, n)), margin=MARGIN, resamples=400)
            return any(p.verdict == "equivalent" for p in found if p.a == "best")

        def chosen(rng: np.random.Generator, systems: int = systems, n: int = n) -> bool:
            found = decided(rivals_at_the_margin(rng, systems, n), MARGIN)
            return found.is_no_worse and found.choice != "best"  # a winner has none that cannot be told from it

        def apart(rng: np.random.Generator, systems: int = systems, n: int = n) -> bool:
            values = {"best": answers(rng, 0.8, n)} | {
                f"r{i}": answers(rng, 0.8 - MARGIN, n) for i in range(systems - 1)
            }
            found = decided(values, MARGIN)
            return found.is_no_worse and found.choice != "best"

        def winner(rng: np.random.Generator, systems: int = systems, n: int = n) -> bool:
            values = {f"s{i}": answers(rng, 0.7, n) for i in range(systems)}
            return decided(values, None).outcome == "winner"

        yield Row("equal systems: any is called better or worse", setting, share(equals, runs), 0.05, runs)
        yield Row("rivals worse by the margin: any is called equivalent", setting, share(margin, runs), 0.05, runs)
        yield Row("rivals worse by the margin: one of them is recommended", setting, share(chosen, runs), 0.05, runs)
        yield Row("the same, right on other questions: one is recommended", setting, share(apart, runs), 0.05, runs)
        yield Row("equal systems: one is the winner", setting, share(winner, runs), 0.05, runs)


def seeds(runs: int) -> Iterator[Row]:
    for mine, other in ((3, 3), (3, 2), (2, 5)):
        for sd in (0.02, 0.04):

            def once(rng: np.random.Generator, mine: int = mine, other: int = other, sd: float = sd) -> bool:
                a, b = (answers(rng, 0.7 + sd * rng.normal(size=s), 600) for s in (mine, other))
                return compare(panel(a=a, b=b), resamples=400)[0].verdict != "inconclusive"

            setting = f"{mine} seeds against {other}, seed SD {sd}, n = 600"
            yield Row("equal tuned systems: told apart", setting, share(once, runs), 0.05, runs)
    for systems, sd, n in ((3, 0.05, 1000), (5, 0.05, 1000), (10, 0.04, 600)):

        def any_two(rng: np.random.Generator, systems: int = systems, sd: float = sd, n: int = n) -> bool:
            values = {f"s{i}": answers(rng, 0.7 + sd * rng.normal(size=3), n) for i in range(systems)}
            return any(pair.verdict != "inconclusive" for pair in compare(panel(**values), resamples=400))

        setting = f"any two of {systems}, 3 seeds each, seed SD {sd}, n = {n:,}"
        yield Row("equal tuned systems: told apart", setting, share(any_two, runs), 0.05, runs)

    def against_one(rng: np.random.Generator) -> bool:
        a, b = answers(rng, 0.7 + 0.05 * rng.normal(size=3), 2000), answers(rng, 0.7, 2000)
        return compare(panel(a=a, b=b), resamples=400)[0].verdict != "inconclusive"

    setting = "3 seeds against one run of what is not trained, seed SD 0.05, n = 2,000"
    yield Row("equal systems: told apart", setting, share(against_one, runs), 0.05, runs)
    for number in (2, 3):

        def covers(rng: np.random.Generator, number: int = number) -> bool:
            found = estimate(answers(rng, 0.7 + 0.05 * rng.normal(size=number), 600), [str(i) for i in range(600)])
            return found is not None and found.low <= 0.7 <= found.high

        setting = f"{number} seeds, seed SD 0.05, n = 600"
        yield Row("a score: its 95% interval covers", setting, share(covers, runs), 0.95, runs, at_most=False)


def plans(runs: int) -> Iterator[Row]:
    n = needed(0.05, 0.2 - 0.05**2, power=0.9) or 0

    def questions(rng: np.random.Generator) -> bool:
        d = rng.choice([1.0, -1.0, 0.0], n, p=[0.125, 0.075, 0.8])
        return compare(panel(a=(d >= 0)[None] * 1.0, b=(d <= 0)[None] * 1.0), resamples=50)[0].verdict == "better"

    yield Row(
        "planned questions find the effect", f"5 points, n = {n:,}", share(questions, runs), 0.9, runs, at_most=False
    )
    effect, sd, size = 0.06, 0.03, 500
    by_question, by_seed = 2 * 0.24 / size / 3, 2 * (sd**2 + 0.24 / size) / 3
    seen = Spread(effect, 0.0, 2, question_variance=by_question, question_df=size - 1, interaction_variance=by_question)
    count = plan(replace(seen, seed_variance=by_seed, seed_df=2, seeds=3), size, power=0.9).seeds or 0

    def with_seeds(rng: np.random.Generator) -> bool:
        a = answers(rng, 0.6 + effect + sd * rng.normal(size=count), size)
        b = answers(rng, 0.6 + sd * rng.normal(size=count), size)
        return compare(panel(a=a, b=b), resamples=100)[0].verdict == "better"

    setting = f"6 points, seed SD {sd}, {count} seeds, n = {size}"
    yield Row("planned seeds find the effect", setting, share(with_seeds, runs), 0.9, runs, at_most=False)


def equivalence(runs: int) -> Iterator[Row]:
    n = needed_within(0.0, MARGIN, 100, lambda more: math.sqrt(0.2 / 100 / more), power=0.9) or 0

    def once(rng: np.random.Generator) -> bool:
        drawn = rng.random(n)  # 20% of the answers differ, as many either way
        a, b = (drawn < 0.1).astype(float)[None], (drawn > 0.9).astype(float)[None]
        return compare(panel(a=a, b=b), margin=MARGIN)[0].verdict == "equivalent"

    setting = f"equal systems, 20% discordant, margin 5 points, n = {n:,}"
    yield Row("planned questions show equivalence", setting, share(once, runs), 0.9, runs, at_most=False)


def rounds(runs: int) -> Iterator[Row]:
    """Times of five systems in three rounds: with noise of each turn alone, and with noise that a round gives all."""

    def times(rng: np.random.Generator, of_round: float) -> dict[str, dict[int, float]]:
        logs = rng.normal(0, of_round, (1, 3)) + rng.normal(0, 0.1, (5, 3))
        return {str(i): {n: float(np.exp(v)) for n, v in enumerate(row)} for i, row in enumerate(logs)}

    def covers(rng: np.random.Generator) -> bool:
        found = times(rng, 0.0)
        interval = repeated(list(found["0"].values()), spreads(found)["0"])
        return interval is not None and interval.low <= 1.0 <= interval.high

    yield Row(
        "a time of rounds: its 95% interval covers", "turn SD 0.10", share(covers, runs), 0.95, runs, at_most=False
    )
    for of_round in (0.1, 0.3):

        def apart(rng: np.random.Generator, of_round: float = of_round) -> bool:
            found = times(rng, of_round)
            noise = within(found)
            means = [np.mean(np.log(list(found[name].values()))) for name in ("0", "1")]
            return noise is not None and abs(means[0] - means[1]) > noise.half_width(2 / 3)

        setting = f"turn SD 0.10, SD {of_round:.2f} of what a round gives to all"
        yield Row("equal systems: their times are told apart", setting, share(apart, runs), 0.05, runs)


def snapshot(systems: dict[str, SystemSnapshot]) -> Snapshot:
    machine = {"cpu": "x", "cores": 2, "threads": 2, "gpus": []}
    return Snapshot("run", "data", "spec", machine, {}, "em", systems)


def measured(em: Rows, latency: Rows) -> SystemSnapshot:
    ids = [f"q{i}" for i in range(len(em))]
    seconds = {f"q{i}": float(v) for i, v in enumerate(latency)}
    return SystemSnapshot("done", 1, {"em": Values(ids, ids, [em.tolist()])}, seconds, {})


def gates(runs: int) -> Iterator[Row]:
    rules = Rules(rules=(Rule(metric="em", margin=0.02), Rule(metric="p50_latency_s", margin=0.1)))
    for systems in (1, 10):
        for sd in (0.05, 0.10, 0.15):

            def once(rng: np.random.Generator, systems: int = systems, sd: float = sd, slower: float = 1.0) -> str:
                shares, seconds = np.where(rng.random((systems, 200)) < 0.7, 0.95, 0.1), rng.lognormal(-3, 0.3, 30)

                def a_run(slower: float = 1.0) -> Snapshot:
                    return snapshot(
                        {
                            f"s{i}": measured(
                                (rng.random(200) < shares[i]).astype(float),
                                seconds * rng.lognormal(0, 0.02, 30) * rng.lognormal(0, sd) * slower,
                            )
                            for i in range(systems)
                        }
                    )

                runs = [a_run() for _ in range(3)]
                return verdict(gate(a_run(slower), replace(runs[0], noise=run_noise(runs)), rules))

            setting = f"{systems} stochastic systems, run SD {sd:.2f}, three repeats"
            yield Row(
                "gate on an unchanged run fails", setting, share(lambda rng, o=once: o(rng) == "fail", runs), 0.05, runs
            )

    def caught(rng: np.random.Generator) -> bool:
        seconds, em = rng.lognormal(-3, 0.3, 30), (rng.random(400) < 0.8).astype(float)

        def a_run(slower: float = 1.0) -> Snapshot:
            noise = rng.lognormal(0, 0.02, 30) * rng.lognormal(0, 0.02)
            return snapshot({f"s{i}": measured(em, seconds * noise * (slower if i == 3 else 1)) for i in range(10)})

        runs = [a_run() for _ in range(3)]
        return verdict(gate(a_run(1.25), replace(runs[0], noise=run_noise(runs)), rules)) == "fail"

    setting = "one of 10 systems, run SD 0.02, three repeats"
    yield Row("gate finds a quarter more latency", setting, share(caught, runs), 0.9, runs, at_most=False)
    yield from restless(runs)


def restless(runs: int) -> Iterator[Row]:
    """A machine whose runs differ by 15%, and a reference work beside each time that differs as it does, but for 2%."""
    rules = Rules(rules=(Rule(metric="p50_latency_s", margin=0.1),))

    def once(rng: np.random.Generator, slower: float) -> str:
        seconds, em = rng.lognormal(-3, 0.3, 16), np.ones(16)

        def system(slower: float) -> SystemSnapshot:
            state = rng.lognormal(0, 0.15)
            took = seconds * rng.lognormal(0, 0.02, 16) * state * slower * rng.lognormal(0, 0.02)
            found = measured(em, took)
            ratios = {question: s / (0.02 * state) for question, s in found.latency_s.items()}
            return replace(found, latency_beside=ratios, reference_s={"answering": 0.02 * state})

        runs = [snapshot({f"s{i}": system(1.0) for i in range(10)}) for _ in range(3)]
        new = snapshot({f"s{i}": system(slower if i == 3 else 1.0) for i in range(10)})
        return verdict(gate(new, replace(runs[0], noise=run_noise(runs)), rules))

    setting = "one of 10 systems, run SD 0.15, 0.02 beside the reference work, three repeats"
    for what, slower, said, bound, at_most in (
        ("gate on an unchanged run fails", 1.0, "fail", 0.05, True),
        ("gate finds a quarter more latency", 1.25, "fail", 0.9, False),
    ):
        rate = share(lambda rng, slower=slower, said=said: once(rng, slower) == said, runs)
        yield Row(what, setting, rate, bound, runs, at_most=at_most)


def seldom(runs: int) -> Iterator[Row]:
    """A graded measure of which one system fails seldom and is a little better else, so that both means are equal."""
    for n in (30, 100, 300):

        def apart(rng: np.random.Generator, n: int = n) -> bool:
            fails = np.where(rng.random((1, n)) < 0.02, 0.02, 1.0)
            return compare(panel(a=fails, b=np.full((1, n), 0.9804)))[0].verdict != "inconclusive"

        yield Row("equal graded systems: told apart", f"one fails on 2%, n = {n}", share(apart, runs), 0.05, runs)


def unequal(runs: int) -> Iterator[Row]:
    """Questions in groups of very unequal size, which agree within a group."""
    for groups in (20, 40):

        def sizes(rng: np.random.Generator, groups: int = groups) -> Rows:
            counts = np.maximum(1, np.round(rng.lognormal(1, 2, groups))).astype(int)
            return np.repeat(np.arange(groups), counts)

        def covers(rng: np.random.Generator) -> bool:
            group = sizes(rng)
            levels = rng.beta(0.6, 0.6, group.max() + 1)[group]
            found = estimate((rng.random(len(group)) < levels).astype(float), [str(g) for g in group])
            return found is not None and found.low <= 0.5 <= found.high

        def no_worse(rng: np.random.Generator) -> bool:
            group = sizes(rng)
            level = np.clip(rng.normal(0.6, 0.15, group.max() + 1), 0.1, 0.9)[group]
            a, b = ((rng.random((1, len(group))) < level - lost).astype(float) for lost in (MARGIN, 0.0))
            return bool(compare(Panel({"a": a, "b": b}, [str(g) for g in group]), margin=MARGIN)[0].non_inferior)

        setting = f"{groups} groups, SD 2 of the logarithm of their sizes"
        yield Row("a score: its 95% interval covers", setting, share(covers, runs), 0.95, runs, at_most=False)
        yield Row("worse by the margin: called no worse", setting, share(no_worse, runs), 0.05, runs)


def uneven(runs: int) -> Iterator[Row]:
    """Gates on runs of which a system or a training varies in a way of its own."""
    quality = Rules(rules=(Rule(metric="em", margin=0.02),))
    times = Rules(rules=(Rule(metric="p50_latency_s", margin=0.1),))

    def fails(a_run: Callable[[], Snapshot], rules: Rules) -> bool:
        repeats = [a_run() for _ in range(3)]
        return verdict(gate(a_run(), replace(repeats[0], noise=run_noise(repeats)), rules)) == "fail"

    def restless_one(rng: np.random.Generator) -> bool:
        seconds, sd = rng.lognormal(-3, 0.3, 30), [0.3, *[0.01] * 9]

        def a_run() -> Snapshot:
            return snapshot({f"s{i}": measured(np.ones(30), seconds * rng.lognormal(0, sd[i])) for i in range(10)})

        return fails(a_run, times)

    def trained_once(rng: np.random.Generator) -> bool:
        def a_run() -> Snapshot:
            each = [(rng.random(500) < 0.7 + 0.03 * rng.normal()).astype(float) for _ in range(5)]
            trained = [replace(measured(em, em), figures={"step_s": [1.0]}) for em in each]
            return snapshot({f"l{i}": system for i, system in enumerate(trained)})

        return fails(a_run, quality)

    for setting, once in (
        ("one of 10 systems of run SD 0.30, the others of 0.01, three repeats", restless_one),
        ("5 systems trained with one seed, SD 0.03, three repeats", trained_once),
    ):
        yield Row("gate on an unchanged run fails", setting, share(once, runs), 0.05, runs)


def refusals(runs: int) -> Iterator[Row]:
    from tests.unit.test_abstention import ANSWERS, REFUSALS

    found, wrong = (sum(abstains(said, ["unknown"]) for said in texts) for texts in (REFUSALS, ANSWERS))
    setting = f"{len(REFUSALS)} refusals and {len(ANSWERS)} answers, written with the patterns in view"
    yield Row("abstention: recall", setting, found / len(REFUSALS), 0.9, len(REFUSALS), at_most=False)
    yield Row("abstention: precision", setting, found / (found + wrong), 0.9, found + wrong, at_most=False)


HEAD = """\
# Validity

What the verdict and the gate get wrong, simulated on systems whose truth is known. Made by `make validity`. A rate
keeps its bound within two standard errors of the simulation. Rules that allow no error by construction, such as that
two seeds give no winner, are contract tests: `tests/contract/test_adversarial.py`, `tests/contract/test_say_less.py`.

| what | setting | rate | bound | runs | holds |
|---|---|---|---|---|---|
"""


PARTS: tuple[Callable[[int], Iterator[Row]], ...] = (
    *(partial(families, systems=systems) for systems in (2, 5, 10)),
    seeds,
    plans,
    equivalence,
    rounds,
    gates,
    seldom,
    unequal,
    uneven,
    refusals,
)


def simulated(part: Callable[[int], Iterator[Row]], runs: int) -> list[Row]:
    """The rows of a part, each from so many runs."""
    return list(part(runs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="of each simulation")
    runs = parser.parse_args().runs
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        rows = [row for found in pool.map(partial(simulated, runs=runs), PARTS) for row in found]
    lines = [
        f"| {r.what} | {r.setting} | {r.rate:.3f} | {'at most' if r.at_most else 'at least'} {r.bound:.2f} "
        f"| {r.runs} | {'yes' if r.holds else '**no**'} |\n"
        for r in rows
    ]
    OUT.write_text(HEAD + "".join(lines), encoding="utf-8")
    print(f"{OUT}: {sum(not r.holds for r in rows)} of {len(rows)} bounds broken")


if __name__ == "__main__":
    main()
