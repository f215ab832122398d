"""Each way that a rule of the gate can end, on snapshots of a few questions, with the figures that it tells."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from scipy import stats

from bench.core.errors import UserError
from bench.gate.decisions import BROUGHT, gate
from bench.gate.noise import floors
from bench.gate.rules import Rule, Rules
from bench.gate.snapshot import RunNoise, Snapshot, SystemSnapshot, Values
from bench.scoring.schema.gate import Result
from bench.stats.comparisons import Panel, compare

MACHINE = {"cpu": "x", "cores": 2, "threads": 2, "gpus": []}
LATENCY = Rules(rules=(Rule(metric="p50_latency_s", margin=0.15),))
STEP = Rules(rules=(Rule(metric="step_s", margin=0.10),))
BESIDE = "p50_latency_s beside the reference work"
CALM = {name: RunNoise(0.01, 30) for name in ("p50_latency_s", BESIDE, "step_s", "step_s beside the reference work")}


def right(count: int, n: int = 200, *, seeds: int = 1) -> dict[str, Values]:
    """Right on the first so many of n questions."""
    ids = [f"q{i}" for i in range(n)]
    return {"em": Values(ids, ids, [[float(i < count) for i in range(n)]] * seeds, ["all"] * n)}


def system(**facts: Any) -> SystemSnapshot:
    base: dict[str, Any] = {"status": "done", "seeds": 1, "values": {}, "latency_s": {}, "figures": {}}
    return SystemSnapshot(**{**base, **facts})


def run(*systems: SystemSnapshot, **facts: Any) -> Snapshot:
    names = ("a", "b", "c")
    whole = Snapshot("run", "data", "spec", MACHINE, {}, "em", dict(zip(names, systems, strict=False)), {}, CALM)
    return replace(whole, **facts)


def one(new: Snapshot, old: Snapshot, rules: Rules) -> Result:
    """What the rule says of the first system."""
    return next(result for result in gate(new, old, rules) if result.system == "a")


def quality(new: dict[str, Values], old: dict[str, Values], *, metric: str = "em", margin: float = 0.02) -> Result:
    return one(run(system(values=new)), run(system(values=old)), Rules(rules=(Rule(metric=metric, margin=margin),)))


def test_quality_that_is_lost_fails_with_its_test() -> None:
    found = quality(right(120), right(150))
    assert (found.state, found.old, found.new, found.change) == ("fail", 0.75, 0.6, pytest.approx(-0.15))
    (pair,) = compare(
        Panel(
            {"new": right(120)["em"].column.values, "old": right(150)["em"].column.values},
            [f"q{i}" for i in range(200)],
        )
    )
    assert (found.low, found.high) == (pair.low, pair.high) and pair.low < -0.15 < pair.high < 0
    assert found.why == f"exact McNemar, p = {pair.p:.2g}" and found.rule == "em within 0.020"


def test_quality_that_is_gained_or_kept_passes() -> None:
    assert quality(right(150), right(120)).state == "improved"
    kept = quality(right(150), right(150))
    assert (kept.state, kept.change) == ("pass", 0.0)
    assert quality(right(151), right(150)).state == "pass"  # better by less than the margin
    assert quality(right(150), right(120), margin=0.16).state == "pass"


def test_a_small_loss_is_open_and_says_how_many_questions_would_tell() -> None:
    found = quality(right(147), right(150))
    assert found.state == "inconclusive" and found.change == pytest.approx(-0.015)
    assert found.low is not None and found.high is not None
    error = (
        (found.high - found.low) / 2 / 1.96
    )  # of 200 questions; that of N rules out a loss of .02, where .015 is seen
    needed = math.ceil(200 * ((1.96 + 1.2816) * error / 0.005) ** 2)
    assert found.why == f"a loss of the margin is not ruled out; about {needed:,} questions would tell"
    lost = quality(right(0, 5), right(5, 5))
    assert lost.state == "inconclusive" and "5 questions are too few to show any loss" in lost.why
    shown = quality(right(130, 2000), right(150, 2000), margin=0.02)  # a loss is shown, and it is within the margin
    assert shown.state == "pass" and shown.change == pytest.approx(-0.01)
    mixed = right(120)
    rows = [[1.0 if i == 199 else v for i, v in enumerate(mixed["em"].rows[0])]]
    assert quality({"em": replace(mixed["em"], rows=rows)}, right(120)).state == "pass"  # nothing got worse


def no_worse(found: Result, sd: float, df: int) -> float:
    """One-sided p of "it is no worse", with the noise of two runs beside that of 200 questions; by Satterthwaite."""
    assert found.high is not None and found.low is not None and found.change is not None
    error = (found.high - found.low) / 2 / stats.t.ppf(0.975, 199)
    parts = [(error**2, 199), (2 * sd**2, df)]
    whole = sum(variance for variance, _ in parts)
    both = whole**2 / sum(variance**2 / df for variance, df in parts)
    return float(stats.t.sf(-found.change / math.sqrt(whole), both))


def test_what_repeats_differ_by_counts_beside_the_questions() -> None:
    """A loss of .15 with a noise that few repeats, or many, showed."""
    new, old = (run(system(values=right(count))) for count in (120, 150))
    rules = Rules(rules=(Rule(metric="em", margin=0.02),))
    plain = one(new, old, rules)
    noisy = one(new, replace(old, noise={"em of a": RunNoise(0.05, 2)}), rules)
    assert plain.state == "fail" and noisy.state == "inconclusive" and noisy.change == plain.change
    assert 0.05 < no_worse(plain, 0.05, 2) < 0.15
    calm = one(new, replace(old, noise={"em of a": RunNoise(0.001, 2)}), rules)
    assert calm.state == "fail" and ", and " in calm.why and calm.why.endswith(" by what repeats differ by")
    told = one(new, replace(old, noise={"em of a": RunNoise(0.03, 30)}), rules)
    assert told.why.endswith(f", and {2 * no_worse(plain, 0.03, 30):.2g} by what repeats differ by")


def test_a_question_that_one_run_alone_answers_counts_as_nothing_in_the_other() -> None:
    """Of a measure that has no value where a system does not answer."""

    def cited(*ids: str) -> dict[str, Values]:
        return {"citation_recall": Values([*ids], [*ids], [[1.0] * len(ids)], ["all"] * len(ids))}

    every = [f"q{i}" for i in range(100)]
    fewer = quality(cited(*every[:70]), cited(*every), metric="citation_recall")
    assert (fewer.state, fewer.old, fewer.new) == ("fail", 1.0, pytest.approx(0.7))
    more = quality(cited(*every), cited(*every[:70]), metric="citation_recall")
    assert (more.state, more.old, more.new) == ("improved", pytest.approx(0.7), 1.0)


def test_less_is_better_where_the_measure_says_so() -> None:
    worse, better = ({"stale": right(count)["em"]} for count in (150, 120))
    found = quality(worse, better, metric="stale")
    assert found.state == "fail" and (found.old, found.new) == (0.6, 0.75) and found.change == pytest.approx(-0.15)
    assert quality(better, worse, metric="stale").state == "improved"


def test_questions_that_were_not_scored_again_are_an_error() -> None:
    found = quality(right(100, 150), right(100, 200))
    assert found.state == "errored" and found.why == "50 of the baseline's questions were not scored in this run"
    other = right(10, 20)["em"]
    none = {"em": replace(other, questions=[f"other{i}" for i in range(20)])}
    assert (quality(none, right(10, 20)).state, quality(none, right(10, 20)).why) == (
        "errored",
        "no question in common",
    )


def timed(
    by: float, reference: float = 0.1, *, beside: float | None = None, n: int = 64, **facts: Any
) -> SystemSnapshot:
    """Latencies of a tenth of a second times `by`; the reference work took `reference`."""
    ratio = (by * 0.1 / reference) if beside is None else beside
    return system(
        latency_s={f"q{i}": by * 0.1 * (1 + 0.001 * (i % 5)) for i in range(n)},
        latency_beside={f"q{i}": ratio * (1 + 0.001 * (i % 5)) for i in range(n)},
        reference_s={"answering": reference},
        rounds=3,
        **facts,
    )


def test_a_time_is_compared_over_the_reference_work_and_told_in_seconds() -> None:
    slower = one(run(timed(1.3)), run(timed(1.0)), LATENCY)
    assert slower.state == "fail" and slower.old == pytest.approx(0.1, rel=0.01) and slower.change == pytest.approx(0.3)
    assert slower.why == "+30.0% over the reference work, +30.0% as the clock saw it"
    busy = one(run(timed(1.3, 0.13)), run(timed(1.0)), LATENCY)  # the machine was slower, and both with it
    assert busy.state == "pass" and busy.why == "+0.0% over the reference work, +30.0% as the clock saw it"
    assert busy.new == pytest.approx(0.13, rel=0.01) and busy.change == pytest.approx(0.0, abs=1e-9)
    assert one(run(timed(0.7)), run(timed(1.0)), LATENCY).state == "improved"


def test_a_machine_that_was_much_slower_or_faster_cannot_be_told_from() -> None:
    for factor, by in ((1.6, "60% slower"), (0.5, "50% quicker")):
        said = f"the machine was {by} than at the baseline, too unlike it to tell; "
        found = one(run(timed(factor, 0.1 * factor)), run(timed(1.0)), LATENCY)
        assert found.state == "inconclusive" and found.why.startswith(said), found.why
    assert one(run(timed(1.45, 0.145)), run(timed(1.0)), LATENCY).state == "pass"


def test_the_more_the_machine_changed_the_less_a_time_over_the_reference_work_says() -> None:
    """A quarter of what it changed by is as likely as one standard deviation: 7.6 points of logarithm at 1.36, so that
    the interval, of noise that is known well, is 1.96 times the root of its square and that of the repeats."""
    noise = {BESIDE: RunNoise(0.01, 10_000)}
    for reference, half in ((0.1, 1.96 * math.hypot(0.01, 0.01)), (0.136, 1.96 * math.hypot(0.01, 0.01, 0.0769))):
        found = one(run(timed(1.3, reference, beside=1.3)), run(timed(1.0), noise=noise), LATENCY)
        assert found.low is not None and math.log1p(found.low) == pytest.approx(math.log(1.3) - half, abs=2e-4)
        assert found.state == "fail"
    less = timed(1.2, 0.136, beside=1.17)
    assert one(run(less), run(timed(1.0), noise=noise), LATENCY).state == "fail"
    quick = replace(less, reference_s={"answering": 0.05 * 1.4})  # as far the other way
    assert one(run(quick), run(timed(1.0), noise=noise), LATENCY).state == "inconclusive"
    unknown = {BESIDE: RunNoise(0.0, 3)}
    assert one(run(less), run(timed(1.0), noise=unknown), LATENCY).state == "inconclusive"


def test_a_system_that_slows_the_reference_work_beside_it_is_not_passed() -> None:
    """Beside this system the reference work took 40% longer, beside the two others as long as before."""
    new = run(timed(1.4, 0.14), timed(1.0), timed(1.0))
    found = one(new, run(timed(1.0), timed(1.0), timed(1.0)), LATENCY)
    assert found.state == "inconclusive"
    assert found.why.startswith("the reference work was slower beside this system than beside the others, by 40%; ")
    all_alike = run(timed(1.4, 0.14), timed(1.4, 0.14), timed(1.4, 0.14))
    assert one(all_alike, run(timed(1.0), timed(1.0), timed(1.0)), LATENCY).state == "pass"
    by_less = run(timed(1.1, 0.14, beside=1.0), timed(1.0), timed(1.0))  # slower by less than the margin
    assert one(by_less, run(timed(1.0), timed(1.0), timed(1.0)), LATENCY).state == "pass"


@pytest.mark.parametrize("what", ["torch", "device", "rounds", "none"])
def test_where_the_reference_work_is_not_alike_the_clock_counts(what: str) -> None:
    new, old = timed(1.3, 0.13), timed(1.0)
    noise = {"torch": {"versions": {"torch": "2"}}}.get(what, {})
    change = {"device": {"device": "cuda"}, "rounds": {"rounds": 4}, "none": {"latency_beside": {}}}.get(what, {})
    found = one(run(replace(new, **change), **noise), run(old), LATENCY)
    assert found.state == "fail" and found.why == "+30.0%"


def test_a_slower_yardstick_leaves_a_failure_open() -> None:
    slow = {
        name: replace(timed(1.3), latency_beside={}, yardstick_s={"answering": s})
        for name, s in (("n", 1.3), ("o", 1.0))
    }
    old = replace(timed(1.0), latency_beside={}, yardstick_s={"answering": 1.0})
    found = one(run(slow["n"]), run(old), LATENCY)
    assert found.state == "inconclusive" and found.why == "the machine itself was 30% slower; +30.0%"
    assert one(run(slow["o"]), run(old), LATENCY).state == "fail"
    building = replace(slow["n"], yardstick_s={"building": 1.3})  # of another time
    assert one(run(building), run(replace(old, yardstick_s={"building": 1.0})), LATENCY).state == "fail"


def trained(*steps: float, **facts: Any) -> SystemSnapshot:
    return system(figures={"step_s": list(steps)}, seeds=len(steps), **facts)


def test_training_is_compared_over_what_was_done_beside_it() -> None:
    new = trained(0.6, figures_beside={"step_s": [5.0]}, reference_s={"building": 0.12})
    old = trained(0.5, figures_beside={"step_s": [5.0]}, reference_s={"building": 0.1})
    found = one(run(new), run(old), STEP)
    assert found.state == "pass" and found.why == "+0.0% over the reference work, +20.0% as the clock saw it"
    worse = one(run(replace(new, figures_beside={"step_s": [6.0]})), run(old), STEP)
    assert (worse.state, worse.old, worse.new) == ("fail", 0.5, 0.6) and worse.change == pytest.approx(0.2)


def test_what_varies_within_a_run_counts_too() -> None:
    """Three seeds that differ by a third: a quarter more is not shown."""
    new, old = trained(0.5, 0.625, 0.75), trained(0.4, 0.5, 0.6)
    found = one(run(new), run(old), STEP)
    assert found.state == "inconclusive" and found.why.endswith("an increase of the margin is not ruled out")
    assert found.change == pytest.approx(0.25) and found.low is not None and found.low < 0 < 0.5 < (found.high or 0)
    calm = one(run(trained(0.62, 0.625, 0.63)), run(trained(0.498, 0.5, 0.502)), STEP)
    assert calm.state == "fail" and calm.low is not None and calm.low > 0.2


def test_without_repeats_an_increase_is_open_and_a_decrease_passes() -> None:
    new, old = run(trained(0.625), noise={}), run(trained(0.5), noise={})
    found = one(new, old, STEP)
    assert found.state == "inconclusive" and found.why == (
        "+25.0%; no calibration: how much repeats of one run differ is not known; accept the baseline with --repeat"
    )
    assert one(old, new, STEP).state == "pass" and one(run(trained(0.5), noise={}), old, STEP).change == 0.0


def test_a_change_within_what_repeats_showed_is_open() -> None:
    """The floor is 30%: a fifth more is no failure, and no pass of the 10% that the rule allows."""
    old = run(trained(0.5), floors={"step_s": 0.3})
    found = one(run(trained(0.6)), old, STEP)
    assert found.state == "inconclusive" and found.why == "repeats of one run differ by 30%; +20.0%"
    assert one(run(trained(0.52)), old, STEP).state == "pass" and one(run(trained(0.7)), old, STEP).state == "fail"


def test_what_is_missing_failed_or_of_other_hardware() -> None:
    old = run(trained(0.5), system())
    rules = Rules(rules=(Rule(metric="step_s", margin=0.1, system="a"),))
    said = {
        "the run has no such system": run(),
        "the system failed in this run": run(replace(trained(0.5), status="failed")),
        "the run has no step_s of it": run(system()),
        "other hardware than the baseline's": run(trained(0.5), machine={**MACHINE, "cpu": "y", "threads": 1}),
        "threads: 1 here, 2 in the baseline; set `measure: { threads: 2 }` in the spec": run(
            trained(0.5), machine={**MACHINE, "threads": 1}
        ),
        "step_s holds what is no number": run(trained(float("nan"))),
    }
    states = ["missing", "missing", "missing", "not comparable", "not comparable", "errored"]
    for (why, new), state in zip(said.items(), states, strict=True):
        whole = replace(new, systems={**new.systems, "b": system()})
        found = one(whole, old, rules)
        assert (found.state, found.why) == (state, why)
    partly = replace(trained(0.5), status="partly failed")
    assert one(run(partly), run(trained(0.5, 0.5)), rules).why == "the system failed on some of its seeds in this run"
    assert one(run(partly), run(trained(0.5)), rules).state == "pass"  # as many as the baseline has
    assert one(run(trained(0.5)), run(system()), rules).why == "the baseline has no step_s of it"
    assert one(run(trained(0.5)), run(trained(float("inf"))), rules).why == (
        "the baseline's step_s holds what is no number"
    )
    for pair in ((system(brought=True), trained(0.5)), (trained(0.5), system(brought=True))):
        found = one(run(pair[0]), run(pair[1]), rules)
        assert (found.state, found.why) == (BROUGHT.state, BROUGHT.why)


def test_a_budget_is_held_at_its_very_bound() -> None:
    for bounds, state in (
        ({"max": 0.5}, "pass"),
        ({"max": 0.49}, "fail"),
        ({"min": 0.5}, "pass"),
        ({"min": 0.51}, "fail"),
    ):
        found = one(run(trained(0.5)), run(trained(9.0)), Rules(rules=(Rule(metric="step_s", **bounds),)))
        assert (found.state, found.new, found.why) == (state, 0.5, "budget")


def test_a_failure_must_be_shown_over_all_rules_and_systems() -> None:
    """A loss of nine questions, p = 0.0039 two-sided, is one by itself and none among forty systems; what is shown by
    far stays one."""
    names = [f"s{i}" for i in range(40)]
    old = replace(run(), systems={name: system(values=right(100)) for name in names})
    lost = {"s0": system(values=right(91)), "s1": system(values=right(50))}
    kept = {name: system(values=right(100)) for name in names}
    rules = Rules(rules=(Rule(metric="em", margin=0.02),))
    (alone,) = gate(replace(run(), systems={"s0": lost["s0"]}), replace(old, systems={"s0": kept["s0"]}), rules)
    assert alone.state == "fail" and alone.why == "exact McNemar, p = 0.0039"
    found = {r.system: r for r in gate(replace(run(), systems={**kept, **lost}), old, rules)}
    assert found["s1"].state == "fail" and {found[name].state for name in names[2:]} == {"pass"}
    assert found["s0"].state == "inconclusive"  # 0.0039 / 2, times the 39 that are left
    assert found["s0"].why == "not shown over 40 comparisons, corrected p = 0.076; exact McNemar, p = 0.0039"


def test_what_warns_and_what_may_be_missing() -> None:
    worse = run(trained(0.9))
    warns = Rules(rules=(Rule(metric="step_s", margin=0.1, warn=True),))
    found = one(worse, run(trained(0.5)), warns)
    assert found.state == "warn" and found.change == pytest.approx(0.8)
    may = Rules(rules=(Rule(metric="step_s", margin=0.1, missing="pass"),))
    found = one(run(system()), run(trained(0.5)), may)
    assert (found.state, found.why) == ("pass", "the run has no step_s of it (allowed to be missing)")
    assert one(worse, run(trained(0.5)), may).state == "fail"


def test_a_stratum_is_looked_at_alone() -> None:
    """Half of the questions are hard: what is lost there is lost."""

    def halves(easy: int, hard: int) -> dict[str, Values]:
        ids = [f"q{i}" for i in range(200)]
        row = [float(i % 100 < (easy if i < 100 else hard)) for i in range(200)]
        return {"em": Values(ids, ids, [row], ["easy"] * 100 + ["hard"] * 100)}

    rules = Rules(rules=(Rule(metric="em", margin=0.02, stratum="hard"),))
    found = one(run(system(values=halves(90, 40))), run(system(values=halves(60, 70))), rules)
    assert found.rule == "em within 0.020 on hard" and (found.state, found.old, found.new) == ("fail", 0.7, 0.4)
    none = one(run(system(values=right(100))), run(system(values=halves(60, 70))), rules)
    assert (none.state, none.why) == ("missing", "the run has no em of it on hard")


def test_what_cannot_be_gated_says_what_to_do() -> None:
    whole = run(trained(0.5), trained(0.5))
    cases = {
        "the run and the baseline are of different datasets: nothing can be compared.": (
            (replace(whole, dataset="other", name="mine"), whole, STEP),
            ("mine", "Run on the baseline's dataset, or accept a new baseline."),
        ),
        "there is no system in it.": ((run(name="mine"), whole, STEP), ("mine", "")),
        "a rule is of the system 'aa', which neither the run nor the baseline has.": (
            (whole, whole, Rules(rules=(Rule(metric="step_s", margin=0.1, system="aa"),))),
            ("rules", "Did you mean 'a'?"),
        ),
        "a rule is of the system 'nobody', which neither the run nor the baseline has.": (
            (whole, whole, Rules(rules=(Rule(metric="step_s", margin=0.1, system="nobody"),))),
            ("rules", "There are: a, b."),
        ),
    }
    for message, (given, (where, remedy)) in cases.items():
        with pytest.raises(UserError) as told:
            gate(*given)
        assert told.value.problem == message and (told.value.where, told.value.remedy) == (where, remedy)
    with pytest.raises(UserError) as told:
        gate(whole, run(name="the baseline"), STEP)
    assert told.value.where == "the baseline"
    of_one = Rules(rules=(Rule(metric="step_s", margin=0.1, system="b"),))
    assert [r.system for r in gate(whole, whole, of_one)] == ["b"]
    gone = gate(run(trained(0.5)), whole, of_one)
    assert [(r.system, r.state, r.why) for r in gone] == [("b", "missing", "the run has no such system")]


def test_an_open_time_says_both_the_clock_and_why() -> None:
    old, new = timed(1.0), timed(1.1)
    loud = {**CALM, BESIDE: RunNoise(0.2, 30)}
    found = one(run(new), run(old, noise=loud), LATENCY)
    assert found.state == "inconclusive" and found.why == (
        "+10.0% over the reference work, +10.0% as the clock saw it; an increase of the margin is not ruled out"
    )
    torch = run(new, versions={"torch": "2"}), run(old, versions={"torch": "2"})
    assert "over the reference work" in one(*torch, LATENCY).why  # the same version counts as alike


def test_what_takes_no_memory_in_either_run_passes() -> None:
    rules = Rules(rules=(Rule(metric="peak_rss_growth_bytes", margin=0.05),))
    none = system(figures={"peak_rss_growth_bytes": [0]})
    assert one(run(none), run(none), rules).state == "pass"
    some = system(figures={"peak_rss_growth_bytes": [4096]})
    assert one(run(some), run(none), rules).state == "errored"
    assert floors([run(none), run(none), run(some)]) == {}


def test_a_margin_of_a_share_lies_below_one() -> None:
    with pytest.raises(ValueError, match=r"two points are 0\.02"):
        Rule(metric="em", margin=2)
    assert Rule(metric="p50_latency_s", margin=2).title == "p50_latency_s within 200%"
    assert Rule(metric="peak_rss_growth_bytes", margin=0.05, least=5e6).title == (
        "peak_rss_growth_bytes within 5% or 5 MB"
    )
