"""Made-up systems of which less is known than it seems: the verdict says less, not more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.vocabulary import Answer, Hit
from bench.report import decision
from bench.scoring.schema import Scores
from bench.stats.comparisons import Panel, compare
from bench.stats.intervals import estimate
from tests.made_up import Asked, Made, asked, right, scored, showing

JUDGE = {"base_url": "http://localhost:1/v1", "model": "m", "metrics": ["answer_accuracy"], "max_failed": 0.1}
JUDGED: dict[str, Any] = {"needs": {"metric": "answer_accuracy"}, "judge": JUDGE}


def number(question: Asked) -> int:
    return int(question.id[1:])


def says(what: Any) -> Any:
    """Says yes where it holds of a question's number."""
    return lambda question, seed: Answer("yes" if what(number(question)) else "no")


def yes_to(share: float) -> Any:
    """Says yes to as many of each ten questions, and nothing to the others."""
    return lambda question, seed: Answer("yes" if number(question) % 10 < 10 * share else "unknown")


def verdict(share: float) -> Any:
    """A judge that finds as many of each ten answers right."""
    return lambda question, seed: float(number(question) % 10 < 10 * share)


def tuned(what: Any, **more: Any) -> Made:
    return Made(what, **{"kind": "lora", "tuned": True, "seeds": 3, **more})


def test_a_lead_that_may_be_memory_is_none(tmp_path: Path) -> None:
    """It knows the 150 questions that training has seen, and is ahead by two questions on the others."""
    memory = tuned(says(lambda n: n < 150 or n % 10 < 7 or n in (157, 158)))
    rag = Made(says(lambda n: n % 10 < 7))
    leaked = [f"q{n}" for n in range(150)]
    found = scored(tmp_path / "leaked", {"memory": memory, "rag": rag}, asked(300), leaked=leaked).recommendation
    assert found.outcome == "contradicted"
    assert found.sentence == (
        "No winner: memory has the highest exact match on all questions together, but on the 150 questions that "
        "training has not seen, that is not shown: 0.71 against 0.70 of rag."
    )
    able = tuned(says(lambda n: n < 150 or n % 10 < 9))
    assert (
        scored(tmp_path / "able", {"a": able, "rag": rag}, asked(300), leaked=leaked).recommendation.outcome == "winner"
    )


def test_a_lead_over_the_base_model_that_may_be_memory_is_none(tmp_path: Path) -> None:
    memory = tuned(says(lambda n: n < 150 or n % 10 < 3 or n == 155))
    base = Made(says(lambda n: n % 10 < 3), kind="closed_book")
    leaked = [f"q{n}" for n in range(150)]
    assert (
        scored(tmp_path, {"m": memory, "base": base}, asked(300), leaked=leaked).recommendation.outcome
        == "contradicted"
    )


def test_who_is_ahead_on_a_type_is_not_told_by_leaked_questions(tmp_path: Path) -> None:
    questions = [Asked(f"q{n}", stratum="docs" if n < 200 else "jargon") for n in range(300)]
    systems = {
        "rag": Made(says(lambda n: n % 10 < (9 if n < 200 else 5)), kind="rag"),
        "lora": tuned(says(lambda n: n >= 200 or n % 10 < 3)),
    }
    leaked = [f"q{n}" for n in range(200, 300)]
    assert "lora is ahead" in scored(tmp_path / "all", systems, questions).recommendation.sentence
    assert "lora is ahead" not in scored(tmp_path / "unseen", systems, questions, leaked=leaked).recommendation.sentence


def graded(words: int) -> Answer:
    return Answer(" ".join(f"w{n}" for n in range(words)))


WORDS = (" ".join(f"w{n}" for n in range(20)),)


def test_ten_equal_differences_have_an_interval(tmp_path: Path) -> None:
    questions = [Asked(f"q{n}", answers=WORDS) for n in range(10)]
    systems = {"a": Made(lambda q, s: graded(15)), "b": Made(lambda q, s: graded(14))}
    found = scored(tmp_path, systems, questions, margin=0.05, needs={"metric": "f1"})
    (pair,) = found.recommendation.against
    assert pair.verdict == "inconclusive" and pair.low < 0 < pair.high and pair.within90 is None
    score = found.measured["a"].score("f1")
    assert score is not None and score.high - score.low > 0.2


def test_a_rare_failure_that_was_not_drawn_is_not_ruled_out(tmp_path: Path) -> None:
    """One is better by a little on 30 questions; had it failed on one of thirty, it would not be."""
    questions = [Asked(f"q{n}", answers=WORDS) for n in range(30)]
    systems = {"a": Made(lambda q, s: graded(16)), "b": Made(lambda q, s: graded(15))}
    assert scored(tmp_path, systems, questions, needs={"metric": "f1"}).recommendation.outcome == "undecided"


@pytest.mark.parametrize("size", [30, 100])
def test_what_fails_seldom_is_no_better_than_its_mean(size: int) -> None:
    """98 in 100 differ by +.02 and two by -.98, so that the means are equal: told apart in at most one run of ten."""
    rng = np.random.default_rng(size)
    told = 0
    for _ in range(200):
        better = np.where(rng.random(size) < 0.02, 0.0, 0.98)[None] + 0.02
        pairs = compare(Panel({"a": better, "b": np.full((1, size), 0.98)}, [f"q{n}" for n in range(size)]))
        told += pairs[0].verdict != "inconclusive"
    assert told <= 20


@pytest.mark.parametrize(("size", "most"), [(30, 0.05), (100, 0.05), (300, 0.08)])
def test_rare_failures_among_small_differences_win_nothing(size: int, most: float) -> None:
    """One is better by 2 points of a grade, give or take one, and fails on 2%: both means are equal."""
    rng, told = np.random.default_rng(size), 0
    for _ in range(200):
        a = np.where(rng.random(size) < 0.02 / 0.995, 0.0, 1 - 0.01 * rng.random(size))
        b = 0.98 - 0.01 * rng.random(size)
        (pair,) = compare(Panel({"a": a[None], "b": b[None]}, [f"q{n}" for n in range(size)]))
        told += pair.verdict != "inconclusive"
        assert (pair.verdict == "inconclusive") or pair.low > 0 or pair.high < 0  # as its own interval says
    assert told / 200 <= most


def test_what_is_ahead_by_a_grade_is_told() -> None:
    rng = np.random.default_rng(5)
    a, b = (np.clip(rng.normal(level, 0.2, (1, 60)), 0, 1) for level in (0.75, 0.55))
    assert compare(Panel({"a": a, "b": b}, [f"q{n}" for n in range(60)]))[0].verdict == "better"


def test_one_huge_group_is_worth_one_question() -> None:
    rng = np.random.default_rng(0)
    groups = ["manual"] * 500 + [f"d{n}" for n in range(12)]
    same = (rng.random(500) < 0.8).astype(float)
    a, b = (np.append(same, np.arange(12) % 2 == odd)[None].astype(float) for odd in (0, 1))
    (pair,) = compare(Panel({"a": a, "b": b}, groups), margin=0.02)
    assert pair.verdict == "inconclusive" and pair.high - pair.low > 1
    score = estimate(a[0], groups)
    assert score is not None and score.high - score.low > 0.4


def test_a_rival_who_could_be_ahead_counts_what_was_not_answered_as_wrong(tmp_path: Path) -> None:
    """Were all failed verdicts right: .8 stays ahead of one that answers a tenth of the questions."""
    lost = lambda q, s: None if number(q) == 0 else float(number(q) % 10 < 8)
    systems = {"able": Made(yes_to(1.0), judged=lost), "shy": Made(yes_to(0.1), judged=verdict(1.0))}
    assert scored(tmp_path / "shy", systems, asked(300), **JUDGED).recommendation.sentence.startswith("Use able: ")
    close = lambda q, s: None if number(q) % 21 in (3, 8) else float(number(q) % 10 in (1, 5, 8))
    systems = {
        "third": Made(lambda q, s: Answer("yes" if number(q) % 100 < 33 else "unknown"), judged=verdict(1.0)),
        "judged": Made(yes_to(1.0), judged=close),
    }
    found = scored(tmp_path / "close", systems, asked(2000), **JUDGED).recommendation
    assert found.outcome in ("contradicted", "undecided")


def shy_and_bold(folder: Path) -> Scores:
    shy = Made(yes_to(0.1), judged=verdict(1.0))
    bold = Made(yes_to(1.0), judged=verdict(0.8))
    return scored(folder, {"shy": shy, "bold": bold}, asked(300), **JUDGED)


def test_the_first_screen_ranks_as_the_sentence_does(tmp_path: Path) -> None:
    found = shy_and_bold(tmp_path)
    assert found.recommendation.sentence.startswith("Use bold: ")
    assert [name for name, _ in decision.ranked(found)] == ["bold", "shy"]
    assert found.recommendation.quality == pytest.approx({"shy": 0.1, "bold": 0.8})


def test_what_answers_seldom_meets_no_need_by_itself(tmp_path: Path) -> None:
    shy = {"shy": Made(yes_to(0.1), judged=verdict(1.0))}
    needs = {"metric": "answer_accuracy", "min_quality": 0.5}
    found = scored(tmp_path, shy, asked(300), needs=needs, judge=JUDGE).recommendation
    assert found.needs["shy"][0].state == "missed" and not found.feasible


def test_claims_rank_as_the_sentence_does(tmp_path: Path) -> None:
    """QLoRA answers a fifth of the questions: it is not level with LoRA. Nor is anything shown by a doubted judge."""

    def claimed(folder: str, lora: Made, qlora: Made) -> str:
        found = scored(tmp_path / folder, {"lora": lora, "qlora": qlora}, asked(500), margin=0.05, **JUDGED)
        return next(claim.status for claim in found.claims if claim.id == "qlora-quality")

    config = {"method": "lora", "tuning.passages": False, "tuning.paraphrases": False}
    of = lambda what, judged, kind="lora": tuned(what, judged=judged, kind=kind, config=config)
    able = of(yes_to(1.0), verdict(0.8))
    assert claimed("shy", able, of(yes_to(0.2), verdict(0.8), "qlora")) == "refuted"
    assert claimed("level", able, of(yes_to(1.0), verdict(0.8), "qlora")) == "confirmed"
    doubted = of(yes_to(1.0), lambda q, s: None if number(q) % 3 == 0 else 1.0)
    assert claimed("doubted", doubted, of(yes_to(1.0), verdict(1.0), "qlora")) == "inconclusive"


def test_claims_of_a_sample_count_what_it_was_asked(tmp_path: Path) -> None:
    """Trained on less, it answers a fifth: not level with retrieval. Nor is a doubted judge's claim confirmed."""
    scenario = {"name": "data", "of": "lora", "what": "size", "value": 100}
    systems = {
        "rag": Made(yes_to(1.0), judged=verdict(0.8), kind="rag"),
        "lora": tuned(yes_to(1.0), judged=verdict(0.8)),
        "data.100": tuned(yes_to(0.2), judged=verdict(0.8), scenario=scenario),
    }
    found = scored(tmp_path / "data", systems, asked(500), margin=0.1, **JUDGED)
    told = {claim.id: claim for claim in found.claims}
    assert told["small-data"].status == "refuted" and found.scenarios.data is not None
    assert found.scenarios.data.retrieval_score is not None
    assert found.scenarios.data.retrieval_score.mean == pytest.approx(found.recommendation.quality["rag"])
    doubted = lambda q, s: None if number(q) % 3 == 0 else 0.0
    systems = {
        "rag": systems["rag"],
        "base": Made(yes_to(1.0), kind="closed_book", judged=doubted),
        "lora": tuned(yes_to(1.0), judged=doubted),
    }
    found = scored(tmp_path / "judge", systems, [Asked(f"q{n}", stratum="two_hop") for n in range(300)], **JUDGED)
    assert {claim.id: claim.status for claim in found.claims}["rag-multi"] == "inconclusive"


def test_what_one_training_says_is_told_as_that(tmp_path: Path) -> None:
    config = {"method": "lora", "tuning.passages": False, "tuning.paraphrases": False}
    for seeds in (1, 3):
        lora, qlora = (tuned(right(0.8, "l"), kind=kind, config=config, seeds=seeds) for kind in ("lora", "qlora"))
        found = scored(tmp_path / str(seeds), {"lora": lora, "qlora": qlora}, asked(500), margin=0.05)
        (claim,) = (claim for claim in found.claims if claim.id == "qlora-quality")
        assert claim.status == "confirmed" and ("of one seed each; three tell" in claim.takes) == (seeds == 1)
    base = Made(right(0.9, "b"), kind="closed_book")
    lost = scored(tmp_path / "base", {"lora": tuned(right(0.5, "l"), seeds=1), "base": base}, asked(300))
    assert lost.recommendation.sentence.startswith("Nothing is recommended, provisionally (one seed): lora, ")


def test_claims_leave_leaked_questions_out(tmp_path: Path) -> None:
    config = {
        "method": "lora",
        "tuning.passages": False,
        "tuning.paraphrases": False,
        "raft": None,
        "distractors": None,
    }
    config |= {"retrieval.index": "faiss_flat"}
    systems = {
        "rag": Made(right(0.7, "r"), kind="rag"),
        "lora": tuned(right(0.5, "l"), config=config, tokens=1000),
        "both": tuned(says(lambda n: n < 280), kind="hybrid", config=config, tokens=1000),
    }
    for folder, leaked, status in (("none", 0, "confirmed"), ("most", 280, None), ("all", 300, "not tested")):
        found = scored(tmp_path / folder, systems, asked(300), leaked=[f"q{n}" for n in range(leaked)])
        (told,) = (claim.status for claim in found.claims if claim.id == "hybrid-best")
        assert told == status or (status is None and told != "confirmed")


def test_a_type_led_by_what_was_tuned_once_is_provisional(tmp_path: Path) -> None:
    questions = [Asked(f"q{n}", stratum="docs" if n < 200 else "jargon") for n in range(300)]
    rag = Made(says(lambda n: n % 10 < (9 if n < 200 else 4)), kind="rag")
    for seeds, start in ((1, " (provisional, one seed): "), (3, ": ")):
        lora = tuned(says(lambda n: n % 10 < (3 if n < 200 else 9)), seeds=seeds)
        found = scored(tmp_path / str(seeds), {"rag": rag, "lora": lora}, questions).recommendation
        assert found.sentence.startswith(f"It depends on the type of question{start}")


def test_passages_on_some_answers_are_no_sources(tmp_path: Path) -> None:
    hit = (Hit("c", "p", "yes", 1.0),)
    some = Made(lambda q, s: Answer("yes", hit if number(q) == 0 else None))
    for folder, system, state in (("some", some, "missed"), ("all", Made(showing(right(0.9))), "met")):
        found = scored(tmp_path / folder, {"a": system}, asked(100), needs={"provenance": True}).recommendation
        assert [need.state for need in found.needs["a"]] == [state]


def test_what_did_not_take_part_is_named(tmp_path: Path) -> None:
    crashed = Made(right(0.0), on=(), cell={"status": "failed", "reason": "x"})
    systems = {"a": Made(right(0.6, "l")), "c": Made(right(0.2, "c")), "b": crashed}
    told = scored(tmp_path / "crashed", systems, asked()).recommendation.sentence
    assert "ahead of every other system that meets the needs. b did not finish." in told
    told = scored(tmp_path / "alone", {"a": systems["a"], "b": crashed}, asked()).recommendation.sentence
    assert "No other system was compared. b did not finish." in told
    silent = {"rag": Made(showing(right(0.9, "l"), "yes")), "lora": Made(right(0.95, "b"))}
    told = scored(tmp_path / "lacking", silent, asked(), needs={"metric": "k_precision"}).recommendation.sentence
    assert "No other system was compared. lora has no k-precision." in told


def test_the_base_model_of_another_system_is_no_control(tmp_path: Path) -> None:
    base = Made(right(0.3, "b"), kind="closed_book")
    for folder, config, said in (("own", {}, False), ("other", {"model.name": "huge-7b"}, True)):
        systems = {"big": Made(right(0.8, "l"), config=config, kind="rag"), "base": base}
        told = scored(tmp_path / folder, systems, asked()).recommendation.sentence
        assert ("It was not compared with the base model alone." in told) == said
    judged = {"a": Made(yes_to(1.0), judged=verdict(0.8))}
    assert (
        "It was not compared with the base model"
        in scored(tmp_path / "j", judged, asked(), **JUDGED).recommendation.sentence
    )


def test_a_figure_that_is_not_known_is_told_where_it_is_weighed(tmp_path: Path) -> None:
    systems = {"a": Made(right(0.8, "a")), "b": Made(right(0.95, "b"), cell={"notes": {"device": "cuda"}})}
    spec = {"prices": {"cpu_hour_usd": 1.0}, "needs": {"weights": {"cost": 0.2}}}
    found = scored(tmp_path, systems, asked(400), **spec).recommendation
    assert found.criteria["b"].cost is None
    assert "once cost is weighed. The cost of b is not known; the highest that is known was weighed." in found.sentence


def test_what_nobody_knows_is_not_weighed(tmp_path: Path) -> None:
    unknown = {"memory": None, "peak_rss_growth_bytes": None}
    systems = {"a": Made(right(0.9, "a"), cell=unknown), "b": Made(right(0.6, "b"), cell=unknown)}
    told = scored(tmp_path, systems, asked(400), needs={"weights": {"memory": 0.1}}).recommendation.sentence
    assert "once" not in told and "No memory is known, so that it was not weighed." in told


def test_the_share_of_a_type_counts_its_leaked_questions_too(tmp_path: Path) -> None:
    questions = [Asked(f"q{n}", stratum="docs" if n < 200 else "jargon") for n in range(300)]
    systems = {
        "rag": Made(says(lambda n: n % 10 < (9 if n < 200 else 4)), kind="rag"),
        "lora": tuned(says(lambda n: n % 10 < (5 if n < 200 else 9))),
    }
    found = scored(tmp_path, systems, questions, leaked=[f"q{n}" for n in range(240, 300)]).recommendation
    assert found.types is not None and [mix.now for mix in found.types.mixes] == [pytest.approx(1 / 3)]


def test_a_latency_lies_in_its_interval(tmp_path: Path) -> None:
    """Of three seeds two are ten times slower: the need is held against all of them."""
    import json

    from bench.verdict.score import score

    needs = {"p50_latency_s": 0.05}
    scored(tmp_path, {"lora": tuned(right(0.8, "l"))}, asked(300), needs=needs)
    path = tmp_path / "records.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    slow = [row | {"latency_s": row["latency_s"] * 10} if row["latency_s"] and row["seed"] > 1 else row for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in slow))
    (need,) = score(tmp_path).recommendation.needs["lora"]
    assert need.state == "missed" and need.low is not None and need.low <= need.value <= (need.high or 0.0)
