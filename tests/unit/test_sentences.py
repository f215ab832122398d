"""Every sentence of the verdict, word by word, and the figures at the very limit: on runs and schemas made by hand."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.gate.decisions import gate
from bench.gate.noise import detectable, floors
from bench.gate.rules import Rule, Rules
from bench.gate.snapshot import Snapshot, SystemSnapshot, of_run
from bench.scoring import money
from bench.scoring.grade import Column
from bench.scoring.schema import Contradiction, Costs, Need, QuestionTypes, Recommendation, TypeRow
from bench.spec.model import Needs
from bench.stats.comparisons import Pair
from bench.stats.few import Few, Open
from bench.stats.intervals import Estimate
from bench.stats.shares import wilson
from bench.verdict.score import score
from bench.verdict.sentence import by_type, no_system, sentence
from tests.conftest import ROOT
from tests.made_up import Made, asked, costs, right, scored


def needed(name: str, state: Any) -> Need:
    return Need(need=name, limit=1.0, value=2.0, met=state == "met", state=state)


def test_why_nothing_is_recommended() -> None:
    assert no_system({}, finished=True) == (
        "No verdict: no question has a reference answer that the measure could be scored on."
    )
    assert no_system({}, finished=False) == "No verdict: no system outside the controls finished."
    needs = {
        "a": [needed("cost", "missed"), needed("memory", "missed"), needed("quality", "met")],
        "b": [needed("cost", "unmeasured"), needed("memory", "met"), needed("quality", "met")],
        "c": [needed("cost", "missed"), needed("memory", "unmeasured"), needed("quality", "met")],
    }
    assert no_system(needs, finished=True) == (
        "No system is shown to meet the needs. The closest is b, which was not measured for cost."
    )
    del needs["b"]
    both = "No system is shown to meet the needs. The closest is a, which misses cost and memory."
    assert no_system(needs, finished=True) == both  # as many as c, and named first


def test_controls_alone_are_no_systems(tmp_path: Path) -> None:
    found = scored(tmp_path, {"base": Made(right(0.5), kind="closed_book")}, asked(40)).recommendation
    assert found.sentence == "No verdict: no system outside the controls finished." and not found.flips
    unscored = asked(40, answers=None)
    systems = {"base": Made(right(0.5), kind="closed_book"), "rag": Made(right(0.5))}
    told = scored(tmp_path / "unscored", systems, unscored).recommendation.sentence
    assert told == "No verdict: no question has a reference answer that the measure could be scored on."


def test_experiments_alone_compare_no_systems(tmp_path: Path) -> None:
    """The published run on a GPU: its two experiments were done, and none of its systems."""
    shutil.copy(ROOT / "reports" / "published" / "nvidia-h200-shapes" / "run.json", tmp_path / "run.json")
    (tmp_path / "records.jsonl").touch()
    found = score(tmp_path)
    assert found.recommendation.sentence == (
        "No systems were compared: lora, qlora and closed-book did not finish. The experiments of the run did. Their "
        "results are below."
    )
    claims = {claim.id: claim for claim in found.claims}
    assert claims["qlora-slower"].status == "refuted"
    assert "2,048 tokens a step: ratio 1.33 (1.28 to 1.93)" in claims["qlora-slower"].measured
    assert claims["qlora-70b"].status == "confirmed" and "peak 49.8 GB" in claims["qlora-70b"].measured


def test_systems_beside_an_experiment_are_compared(tmp_path: Path) -> None:
    """And where nobody meets the needs, the need that keeps the best one out is told."""
    systems = {"slow": Made(right(0.9), latency_s=9.0), "bad": Made(right(0.1, "b"), latency_s=9.0)}
    found = scored(tmp_path, systems, asked(200), needs={"p50_latency_s": 0.5}).recommendation
    assert found.sentence.startswith("No system is shown to meet the needs.")
    assert [flip.to for flip in found.flips] == ["slow", "bad"]


def test_what_weighs_on_two_alike_sets_neither_ahead(tmp_path: Path) -> None:
    """Two quick systems, as good as one another, beside a slow one: their latency counts for both."""
    systems = {
        "one": Made(right(0.8, "one"), latency_s=0.01),
        "other": Made(right(0.8, "other"), latency_s=0.01),
        "slow": Made(right(0.8, "slow"), latency_s=1.0),
    }
    found = scored(tmp_path, systems, asked(200), needs={"weights": {"latency": 0.3}}).recommendation
    verdicts = {pair.b: pair.verdict for pair in found.against}
    assert found.choice in ("one", "other") and verdicts["slow"] == "better"
    assert verdicts["other" if found.choice == "one" else "one"] != "better"


def types(*rows: tuple[str, tuple[str, ...], float]) -> QuestionTypes:
    made = [
        TypeRow(
            type=name,
            n=9,
            scores={system: Estimate(mean, 0.0, 1.0, 9, 9, "Wilson") for system in ("a", "b")},
            pairs=(),
            ahead=ahead,
        )
        for name, ahead, mean in rows
    ]
    return QuestionTypes(systems=("a", "b"), rows=tuple(made))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, ""),
        (
            types(("x", (), 0.5), ("y", (), 0.5)),
            "On no type of question is a difference between the leading systems shown.",
        ),
        (types(("x", ("a",), 0.5), ("y", (), 0.5)), "On no type of question is a shown to be behind."),
        (types(("x", ("a", "b"), 0.5), ("y", (), 0.5)), "On no type of question is a or b shown to be behind."),
        (
            types(("x", ("a",), 0.5), ("y", ("b",), 0.5), ("lists", (), 0.0), ("style", (), 0.0)),
            "No leading system is right on any question of lists or style.",
        ),
    ],
)
def test_what_is_said_of_the_types_of_question(found: QuestionTypes | None, expected: str) -> None:
    assert by_type(found) == expected


def recommended(**fields: Any) -> Recommendation:
    empty: dict[str, Any] = {"needs": {}, "costs": {}, "criteria": {}, "break_even": ()}
    return Recommendation(
        **{"metric": "em", "feasible": ("a", "b", "c"), "pareto": ("a",), "choice": "a", **empty, **fields}
    )


def said(found: Recommendation, *, right: float = 0.5) -> str:
    """The sentence of a recommendation; each system is right on this share of ten questions, b on one more."""
    numbers = [str(n) for n in range(10)]
    ranked = {
        name: Column(numbers, np.array([[float(n < 10 * share) for n in range(10)]]), numbers, numbers)
        for name, share in (("a", right), ("b", right + 0.1), ("c", right))
    }
    run: Any = SimpleNamespace(spec=SimpleNamespace(needs=Needs()), systems={})
    named = dict.fromkeys("abcd", SimpleNamespace(trained=False))
    evidence: Any = SimpleNamespace(
        run=run,
        ranked=ranked,
        named=named,
        quality=lambda name: ranked[name].mean,
        answered=lambda name: ranked[name].mean,
        few_seeds=lambda names: {},
    )
    return sentence(evidence, found, [])


def contradicted(best: str, *rows: Contradiction) -> str:
    return said(recommended(outcome="contradicted", best=best, contradictions=rows))


def rival(name: str, **fields: Any) -> Pair:
    """A pair of the choice with a rival that cannot be told from it, on 100 questions of 40 documents."""
    empty = dict.fromkeys(("effect", "n80", "n90", "margin", "non_inferior"))
    known = {"a": "a", "b": name, "difference": 0.1, "low": -0.1, "high": 0.3, "n": 100, "clusters": 40, "seeds": 2}
    tested = {"p": 0.2, "p_holm": 0.2, "test": "t", "method": "m", "won": 2.0, "lost": 1.0, "verdict": "inconclusive"}
    return Pair(**{**empty, **known, **tested, **fields})


@pytest.mark.parametrize(
    ("rivals", "takes"),
    [
        ([{}], "no difference was seen between them, so the number of questions needed cannot be estimated"),
        ([{"n90": 900}, {"n90": 700}], "about 900 questions are needed to decide"),
        (
            [{"n90": 900}, {}],
            "about 900 questions are needed to decide; from c no difference was seen",
        ),
        ([{"n90": 100}], "a difference was seen, but 40 groups of questions are too few to show it"),
        (
            [{"n90": 100}, {"n90": 90, "clusters": 30}],
            "a difference was seen, but 30 groups of questions are too few to show it",
        ),
        ([{"n90": 0, "clusters": 100}], "a difference was seen, but 100 questions are too few to show it"),
        (
            [{"seeds90": 5}, {"seeds90": 7}],
            "about 7 seeds are needed to decide, and more questions alone will not do",
        ),
        ([{"both90": (400, 6)}, {"both90": (300, 9)}], "about 400 questions and 9 seeds are needed to decide"),
        ([{"n90": 900}, {"seeds90": 7}], "about 900 questions and 7 seeds are needed to decide"),
        (
            [{"margin": 0.05, "within90": 150}],
            "about 150 questions are needed to show that they differ by less than 0.05",
        ),
        (  # fewer than were asked, and did not show it
            [{"margin": 0.05, "within90": 2}],
            "no difference was seen between them, so the number of questions needed cannot be estimated",
        ),
    ],
)
def test_what_would_decide(rivals: list[dict[str, Any]], takes: str) -> None:
    names = ["b", "c"][: len(rivals)]
    against = tuple(rival(name, **fields) for name, fields in zip(names, rivals, strict=True))
    found = recommended(outcome="undecided", best="b", among=tuple(names), against=against, needs={"a": ()})
    told = said(found)
    assert told.startswith(
        f"No clear winner between a and {' or '.join(names)}; {takes}. So far a has: exact match 0.50 ("
    )


def test_who_is_highest_where_nothing_works() -> None:
    """The highest stands in the sentence, whatever the order; ten questions show of nobody that it is useless."""
    told = said(recommended(outcome="nothing works", best="a", needs={"a": ()}), right=0.0)
    assert told.startswith("Nothing is shown to work: the highest is b, exact match 0.10 (")


def test_who_is_not_known_to_meet_the_needs_is_named() -> None:
    needs = {
        "a": [needed("cost", "met")],
        "b": [needed("cost", "unmeasured"), needed("memory", "missed")],
        "c": [needed("cost", "missed")],
    }
    found = recommended(outcome="winner", best="a", feasible=("a",), needs=needs)
    assert said(found).endswith(
        ", n = 10). No other system meets the needs. It was not compared with the base model alone."
    )
    needs |= {"b": [needed("cost", "unmeasured"), needed("memory", "met")], "c": [needed("memory", "unmeasured")]}
    assert (
        "No other system is shown to meet the needs: b was not measured for cost; c was not measured for memory. "
        in said(found.model_copy(update={"needs": needs}))
    )


def test_parts_that_contradict_are_told_with_the_strongest_of_each() -> None:
    clean = [Contradiction(view="clean", to=to, mine=0.1, its=its, n=60) for to, its in (("b", 0.5), ("c", 0.5))]
    higher = Contradiction(view="clean", to="d", mine=0.1, its=0.6, n=60)
    judge = Contradiction(view="judge", to="e", mine=0.2, its=0.9, n=80)
    first = "No winner: a has the highest exact match on all questions together, but "
    assert contradicted("a", *clean) == (
        f"{first}on the 60 questions that training has not seen, b scores 0.50 against 0.10."
    )
    assert contradicted("a", *clean, higher, judge) == (
        f"{first}on the 60 questions that training has not seen, d scores 0.60 against 0.10; if every failed verdict "
        "of the judge had gone the other way, e scores 0.90 against 0.20."
    )
    assert contradicted("b", judge).startswith(
        "No winner: a is equivalent to the highest exact match on all questions together, but if "
    )


def test_the_control_that_is_not_beaten_is_named(tmp_path: Path) -> None:
    """Of two base models one is far behind and the other ahead: that one stands in the sentence."""
    systems = {
        "weak": Made(right(0.1, "w"), kind="closed_book"),
        "strong": Made(right(0.9, "s"), kind="closed_book"),
        "rag": Made(right(0.7, "r")),
    }
    found = scored(tmp_path, systems, asked()).recommendation
    assert [(pair.b, pair.verdict) for pair in found.controls] == [("weak", "better"), ("strong", "worse")]
    assert "is worse than the base model alone (strong, 0.8" in found.sentence


def test_a_figure_at_the_limit_meets_its_need(tmp_path: Path) -> None:
    """Whoever is right on everything does not miss a need of 1.0, though so few questions cannot show it."""
    systems = {"sure": Made(right(1.1))}
    found = scored(tmp_path, systems, asked(50), needs={"min_quality": 1.0, "memory_bytes": 1e12})
    states = {need.need: need for need in found.recommendation.needs["sure"]}
    assert states["min_quality"].state == "not decided" and states["min_quality"].high == 1.0
    room = states["memory_bytes"].value
    exact = scored(tmp_path / "exact", systems, asked(50), needs={"memory_bytes": room}).recommendation
    assert [need.state for need in exact.needs["sure"]] == ["met"]


def test_wilsons_interval_of_none_and_of_all_ends_at_the_bound() -> None:
    for n in (1, 7, 60, 276, 399, 400):
        assert wilson(1.0, n)[1] == 1.0 and wilson(0.0, n)[0] == 0.0


def test_one_sided_of_few_and_of_one_cluster() -> None:
    few = Few(up=0.3, down=0.1, n=50.0)
    at = sum(few.interval(0.0)) / 2
    assert few.one_sided(at) == (0.5, 0.5)
    over, under = few.one_sided(at - 0.2)
    assert over < 0.05 and under == pytest.approx(1 - over)
    low, high = few.interval(0.9)
    assert few.one_sided(low)[0] == pytest.approx(0.05) and few.one_sided(high)[1] == pytest.approx(0.05)
    assert Open(0.4).interval() == (-1.0, 1.0) and Open(0.4).one_sided(0.0) == (1.0, 1.0)


def free(thousand: float | None, ends: tuple[float, float] | None, fixed: float) -> Costs:
    return costs(fixed, thousand, months=1, month=1.0, ends=ends)


def test_the_range_of_a_break_even_at_its_ends() -> None:
    """Questions of the tuned one cost nothing; where its fixed cost may be as low as the other's, it leads at once."""
    known = {"rag": free(2.0, (1.0, 3.0), 4.0), "tuned": free(0.0, (0.0, 0.0), 5.0)}
    (found,) = money.break_even(known, 0)
    assert found.questions_per_month == pytest.approx(500) and found.interval is not None
    assert found.interval[0] == 0.0 and found.interval[1] == pytest.approx((5 * 1.15 - 4 / 1.15) / 1.0 * 1000)
    level = known | {"rag": free(2.0, (0.0, 3.0), 4.0)}  # at its cheapest a question costs nothing either
    assert money.break_even(level, 0)[0].interval == (0.0, None)
    unknown = known | {"rag": free(2.0, None, 4.0)}
    assert money.break_even(unknown, 0)[0].interval is None


def test_what_was_brought_excuses_the_figures_of_its_build_alone() -> None:
    """A recall that the run lacks is missing, whoever built the adapter; so is a budget of what was not measured."""
    system = SystemSnapshot("done", 1, {}, {}, {}, brought=True)
    snapshot = Snapshot("run", "data", "spec", {"cpu": "x"}, {}, "em", {"lora": system})
    rules = [Rule(metric="step_s", margin=0.1), Rule(metric="recall_at_k", margin=0.02), Rule(metric="step_s", max=1.0)]
    found = gate(snapshot, snapshot, Rules(rules=tuple(rules)))
    assert [result.state for result in found] == ["not comparable", "missing", "missing"]


def snapshots(tmp_path: Path, *shares: tuple[float, float]) -> list[Snapshot]:
    """Runs of two systems, each right on a share of the questions."""
    made = []
    for number, (steady, loose) in enumerate(shares):
        systems = {"loose": Made(right(loose, f"l{number}")), "steady": Made(right(steady, "s"))}
        scored(tmp_path / str(number), systems, asked(200))
        made.append(of_run(tmp_path / str(number)))
    return made


def test_noise_is_that_of_the_worst_system(tmp_path: Path) -> None:
    """The first system varies and the second does not: the floor is the first one's, and so is what can be found."""
    runs = snapshots(tmp_path, (0.5, 0.4), (0.5, 0.6), (0.5, 0.5))
    worst = [run.systems["loose"].values["em"] for run in runs]
    means = [sum(values.rows[0]) / len(values.questions) for values in worst]
    assert floors(runs)["em"] == pytest.approx(max(means) - min(means)) and max(means) - min(means) > 0.1
    pair, alone = runs[:2], [replace(run, systems={"loose": run.systems["loose"]}) for run in runs[:2]]
    assert detectable(*pair)["em"] == detectable(*alone)["em"] > 0.05
    only = [replace(run, systems={"steady": run.systems["steady"]}) for run in pair]
    assert detectable(*only)["em"] < detectable(*pair)["em"]


@pytest.mark.parametrize(
    ("rivals", "equivalent", "ruled_out"),
    [
        ("b", (), "That b is better by 0.05 or more is ruled out, and it is not"),
        ("bc", (), "That any of b and c is better by 0.05 or more is ruled out, and none is"),
        ("b", ("d",), "d is equivalent to it. That b is better by 0.05 or more is ruled out, and it is not"),
    ],
)
def test_what_is_ruled_out_of_whom(rivals: str, equivalent: tuple[str, ...], ruled_out: str) -> None:
    far = rival("far", verdict="better", margin=0.1)
    against = (far, *(rival(name, margin=0.05, non_inferior=True) for name in rivals))
    found = recommended(
        outcome="not worse", best="a", among=tuple(rivals), equivalent=equivalent, against=against, needs={"a": ()}
    )
    told, whole = said(found), f"{ruled_out} clearly cheaper, quicker or smaller. All others are behind."
    assert told.startswith("Use a: exact match 0.50 (95% interval ") and f"). {whole}" in told
    assert "XX" not in told and "ruled out" not in said(found.model_copy(update={"among": (), "outcome": "winner"}))


def test_who_is_ahead_where_both_were_asked_is_said() -> None:
    found = recommended(
        outcome="undecided", best="a", among=("b",), against=(rival("b", verdict="worse", n=1200),), needs={"a": ()}
    )
    assert "No clear winner between a and b; on the 1,200 questions that both have, b is ahead of a." in said(found)
