"""Which system is ahead on which type of question, on systems whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.core.vocabulary import Answer
from bench.report import decision
from bench.spec.model import Volumes
from bench.verdict.sentence import by_type, disagreement, mixed
from tests.made_up import Asked, Made, Says, right, scored


def knows(*types: str) -> Says:
    return lambda question, _: Answer("yes" if question.stratum in types else "no")


def of(counts: dict[str, int]) -> list[Asked]:
    return [Asked(f"{kind}{i}", stratum=kind) for kind, n in counts.items() for i in range(n)]


def test_opposite_types_are_told_and_the_share_at_which_the_other_leads(tmp_path: Path) -> None:
    systems = {"docs-rag": Made(knows("docs"), kind="rag"), "tuned": Made(knows("jargon"), kind="lora")}
    found = scored(tmp_path / "r", systems, of({"docs": 60, "jargon": 40})).recommendation
    assert found.types and found.types.systems == ("docs-rag", "tuned")
    assert {row.type: row.ahead for row in found.types.rows} == {"docs": ("docs-rag",), "jargon": ("tuned",)}
    depends = "It depends on the type of question: docs-rag is ahead on docs; tuned is ahead on jargon."
    assert disagreement(found.types) == depends and found.sentence.startswith(f"{depends} Over all questions: ")
    assert by_type(found.types) == ""
    (mix,) = found.types.mixes  # of the rest all is lost, of jargon all is gained: half of each
    assert (mix.type, mix.to, mix.now, mix.share) == ("jargon", "tuned", 0.4, 0.5)
    assert mixed(mix) == "tuned overtakes when more than 50% of the questions are of the type jargon (now 40%)."
    assert decision.changes(found, Volumes())[0] == mixed(mix)


def test_one_that_leads_everywhere_is_said_to(tmp_path: Path) -> None:
    systems = {"good": Made(knows("a", "b"), kind="rag"), "bad": Made(right(0.1), kind="lora")}
    found = scored(tmp_path / "r", systems, of({"a": 50, "b": 50})).recommendation
    assert by_type(found.types) == "On no type of question is good shown to be behind."
    assert found.types and not found.types.mixes


def test_noise_on_many_types_is_no_lead(tmp_path: Path) -> None:
    """Ten types of twelve questions, and two systems that are alike: corrected over the types, nothing is shown."""
    told = 0
    for draw in range(20):
        systems = {"one": Made(right(0.5, f"a{draw}"), kind="rag"), "two": Made(right(0.5, f"b{draw}"), kind="lora")}
        folder = tmp_path / f"r{draw}"
        types = scored(folder, systems, of({f"t{i}": 12 for i in range(10)})).recommendation.types
        assert types and len(types.rows) == 10
        told += any(row.ahead for row in types.rows)
    assert told <= 3  # one in twenty is expected


def test_without_two_families_or_two_types_nothing_is_said(tmp_path: Path) -> None:
    rag: Callable[[], Made] = lambda: Made(knows("a"), kind="rag")
    one_family = scored(tmp_path / "f", {"x": rag(), "y": rag()}, of({"a": 30, "b": 30}))
    one_type = scored(tmp_path / "t", {"x": rag(), "y": Made(knows("a"), kind="lora")}, of({"a": 30}))
    assert one_family.recommendation.types is None and one_type.recommendation.types is None
    assert by_type(None) == ""


def test_systems_of_the_same_outcomes_share_a_line(tmp_path: Path) -> None:
    same = {"flat": Made(knows("a"), kind="rag"), "hnsw": Made(knows("a"), kind="rag")}
    found = scored(tmp_path / "r", same | {"tuned": Made(knows("b"), kind="lora")}, of({"a": 40, "b": 20}))
    assert decision.ranked(found) == [("flat", ("hnsw",)), ("tuned", ())]
    labels, texts = decision.profile(found)
    assert labels[1:3] == ["b", "a"] or labels[1:3] == ["a", "b"]
    assert set(texts) == {"flat", "hnsw", "tuned"} and all(len(t) == len(labels) for t in texts.values())


def some(**shares: float) -> Says:
    """Right on the first so many of each type's questions, as a share of a hundred."""
    return lambda q, _: Answer("yes" if int(q.id.removeprefix(q.stratum)) % 10 < 10 * shares[q.stratum] else "no")


def test_the_share_of_a_mix_by_hand(tmp_path: Path) -> None:
    systems = {
        "worse-rag": Made(some(docs=0.1, jargon=0.0, dates=0.1), kind="rag"),
        "rag": Made(some(docs=0.9, jargon=0.2, dates=0.7), kind="rag"),
        "tuned": Made(some(docs=0.1, jargon=0.9, dates=0.6), kind="lora"),
    }
    counts = {"jargon": 60, "docs": 100, "dates": 40}
    found = scored(tmp_path / "r", systems, of(counts), margin=0.04).recommendation.types
    assert found and found.systems == ("rag", "tuned")  # the better of a family, and the highest first
    assert [row.type for row in found.rows] == ["docs", "jargon", "dates"]  # gaps of .8, .7 and .1
    assert [row.ahead for row in found.rows] == [("rag",), ("tuned",), ()]
    assert {pair.margin for row in found.rows for pair in row.pairs} == {0.04}
    assert not [row for row in found.rows if row.is_beyond_all]
    (mix,) = found.mixes  # .7 gained on jargon; on the rest (100 * .8 + 40 * .1) / 140 = .6 lost
    assert mix.now == 0.3 and abs(mix.share - 0.6 / (0.6 + 0.7)) < 1e-9


def test_below_which_share_of_its_own_type_the_lead_is_lost(tmp_path: Path) -> None:
    """Ahead by what it alone can do; of the 160 others it misses four more, which shows nothing."""
    missed = {"docs0", "docs40", "docs80", "docs120"}
    rest = some(docs=0.9, orders=0.9)
    systems = {
        "rag": Made(some(docs=0.9, orders=0.0), kind="rag"),
        "both": Made(lambda q, seed: Answer("no") if q.id in missed else rest(q, seed), kind="hybrid"),
    }
    found = scored(tmp_path / "r", systems, of({"docs": 160, "orders": 40}), margin=0.05).recommendation
    assert found.choice == "both" and found.types and found.types.rows[0].ahead == ("both",)
    (mix,) = found.types.mixes
    assert (mix.type, mix.to, mix.below) == ("orders", "rag", True) and abs(mix.share - 0.025 / 0.925) < 1e-9
    turns = "rag overtakes, by its mean on the others, when fewer than 2.7% of the questions"
    assert mixed(mix) == f"{turns} are of the type orders (now 20%)."
    told = decision.changes(found, Volumes())
    assert mixed(mix) in told and not any(text.startswith("Another share") for text in told)


def test_a_type_that_nobody_answers_is_one_sentence(tmp_path: Path) -> None:
    systems = {"rag": Made(knows("docs"), kind="rag"), "tuned": Made(knows("jargon"), kind="lora")}
    found = scored(tmp_path / "r", systems, of({"docs": 60, "jargon": 40, "lists": 20})).recommendation.types
    assert found and [row.type for row in found.answered] == ["docs", "jargon"]
    assert by_type(found).endswith("No leading system is right on any question of lists.")
