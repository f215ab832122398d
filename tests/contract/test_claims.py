"""Every rule of the ledger on made-up runs: one that confirms it, one that refutes it, one that leaves it open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.core.vocabulary import Answer, Hit
from bench.execution.run_file import read_run
from bench.scoring.schema import Slowdown
from bench.verdict import claims
from bench.verdict.claim_terms import Finding
from bench.verdict.evidence import Evidence
from tests.golden.make import STORED
from tests.made_up import Asked, Made, Says, asked, right, scored, turns

TUNING = {"tuning.passages": False, "tuning.paraphrases": False}


def rag(says: Says, **more: Any) -> Made:
    config = {"retrieval.index": "faiss_flat", **more.pop("config", {})}
    return Made(says, kind="rag", config=config, **more)


def lora(says: Says, *, seeds: int = 3, **more: Any) -> Made:
    config = {"method": "lora", **TUNING, **more.pop("config", {})}
    return Made(says, kind=more.pop("kind", "lora"), config=config, tuned=True, seeds=seeds, **more)


def hybrid(says: Says, **more: Any) -> Made:
    config = {"raft": None, "distractors": None, "retrieval.index": "faiss_flat", **more.pop("config", {})}
    return lora(says, kind=more.pop("kind", "hybrid"), config=config, **more)


def claim(
    folder: Path, name: str, systems: dict[str, Made], questions: Sequence[Asked] | None = None, **spec: Any
) -> Any:
    found = {c.id: c for c in scored(folder, systems, questions or asked(400), **spec).claims}
    return found[name]


HIGH, LOW = right(0.9, "x"), right(0.4, "x")
CLOSE = right(0.88, "y")


@pytest.mark.parametrize(
    ("updated", "anew", "status"), [(HIGH, LOW, "confirmed"), (LOW, HIGH, "refuted"), (HIGH, CLOSE, "inconclusive")]
)
def test_rag_external(updated: Says, anew: Says, status: str, tmp_path: Path) -> None:
    """At equal freshness: the tuned system has been trained again, with the new facts."""
    changed = [Asked(f"q{i}", answers=("old",), updated=("yes",), stratum="updated") for i in range(200)]
    again = [Asked(f"q{i}", stratum="changed") for i in range(200)]
    plain = rag(lambda q, s: Answer("old"), later=updated, cell={"refresh_s": 1.0})
    tuned = lora(lambda q, s: Answer("old"), seeds=1, later=lambda q, s: Answer("old"))
    retrained = {"name": "freshness", "of": "lora", "what": "trained anew", "value": True}
    artefact = {"kind": "adapter", "build_s": 1.1, "bytes": 1, "hit": False, "facts": {"train_loop_s": 1.0}}
    fresh = lora(anew, seeds=1, scenario=retrained, on=again, cell={"artefacts": [artefact]})
    found = claim(tmp_path, "rag-external", {"rag": plain, "lora": tuned, "freshness.lora": fresh}, changed)
    assert found.status == status and "by training anew" in found.measured


def test_rag_external_is_not_confirmed_by_construction(tmp_path: Path) -> None:
    """A tuned system that was not trained again cannot know the new fact: that tests nothing."""
    changed = [Asked(f"q{i}", answers=("old",), updated=("yes",), stratum="updated") for i in range(200)]
    plain, tuned = rag(HIGH, later=HIGH, cell={"refresh_s": 1.0}), lora(HIGH, later=lambda q, s: Answer("old"))
    assert claim(tmp_path, "rag-external", {"rag": plain, "lora": tuned}, changed).status == "not tested"


@pytest.mark.parametrize(
    ("says", "seconds", "status"),
    [(HIGH, 60.0, "confirmed"), (HIGH, 1.0, "refuted"), (LOW, 60.0, "inconclusive")],  # LOW: as the base model does
)
def test_a_quick_update_of_equal_quality_confirms_retrieval(
    says: Says, seconds: float, status: str, tmp_path: Path
) -> None:
    changed = [Asked(f"q{i}", answers=("old",), updated=("yes",), stratum="updated") for i in range(400)]
    retrained = {"name": "freshness", "of": "lora", "what": "trained anew", "value": True}
    artefact = {"kind": "adapter", "build_s": seconds, "bytes": 1, "hit": False}
    on = [Asked(f"q{i}", stratum="changed") for i in range(400)]
    systems = {
        "base": Made(LOW, kind="closed_book", later=LOW),
        "rag": rag(says, later=says, cell={"refresh_s": 1.0}),
        "lora": lora(LOW, seeds=1, later=LOW),
        "freshness.lora": lora(says, seeds=1, scenario=retrained, on=on, cell={"artefacts": [artefact]}),
    }
    assert claim(tmp_path, "rag-external", systems, changed, margin=0.05).status == status


@pytest.mark.parametrize(
    ("a", "b", "status"), [(HIGH, LOW, "confirmed"), (LOW, HIGH, "refuted"), (HIGH, CLOSE, "inconclusive")]
)
def test_ft_paraphrase(a: Says, b: Says, status: str, tmp_path: Path) -> None:
    """Against passages alone, at equal tokens."""
    questions = [Asked(f"q{i}", stratum="corpus_only") for i in range(300)]
    said = lora(a, tokens=1000, config={"tuning.passages": True, "tuning.paraphrases": True})
    alone = lora(b, tokens=1050, config={"tuning.passages": True})
    assert claim(tmp_path, "ft-paraphrase", {"said": said, "alone": alone}, questions).status == status


def test_ft_paraphrase_takes_equal_tokens(tmp_path: Path) -> None:
    questions = [Asked(f"q{i}", stratum="corpus_only") for i in range(300)]
    said = lora(HIGH, tokens=5000, config={"tuning.passages": True, "tuning.paraphrases": True})
    alone = lora(LOW, tokens=1000, config={"tuning.passages": True})
    found = claim(tmp_path, "ft-paraphrase", {"said": said, "alone": alone, "pairs": lora(LOW, tokens=1000)}, questions)
    assert (
        found.status == "inconclusive"
        and "said trained on 5,000 tokens, alone trained on 1,000 tokens" in found.measured
    )


def test_tokens_that_nobody_counted_are_not_taken_for_equal(tmp_path: Path) -> None:
    questions = asked(stratum="corpus_only")
    said = lora(HIGH, tokens=5000, config={"tuning.passages": True, "tuning.paraphrases": True})
    alone = lora(LOW, config={"tuning.passages": True})
    found = claim(tmp_path, "ft-paraphrase", {"said": said, "alone": alone, "pairs": lora(LOW)}, questions)
    assert found.status == "inconclusive"
    assert found.measured.endswith("said trained on 5,000 tokens, the training tokens of alone are not known")


@pytest.mark.parametrize(
    ("both", "trained", "status"),
    [
        (HIGH, LOW, "confirmed"),
        (LOW, HIGH, "confirmed"),  # by RAFT
        (right(0.2, "x"), right(0.2, "x"), "refuted"),
        (right(0.45, "z"), right(0.2, "z"), "inconclusive"),
    ],
)
def test_hybrid_best(both: Says, trained: Says, status: str, tmp_path: Path) -> None:
    middle = right(0.4, "m")
    raft = hybrid(trained, kind="raft", config={"raft": {"distractors": 2}}, tokens=1000)
    systems = {"rag": rag(middle), "lora": lora(middle, tokens=1000), "both": hybrid(both, tokens=1000), "raft": raft}
    assert claim(tmp_path, "hybrid-best", systems).status == status


def test_raft_on_more_tokens_is_left_out(tmp_path: Path) -> None:
    middle = right(0.4, "m")
    raft = hybrid(HIGH, kind="raft", config={"raft": {"distractors": 2}}, tokens=9000)
    systems = {"rag": rag(middle), "lora": lora(middle, tokens=1000), "both": hybrid(LOW, tokens=1000), "raft": raft}
    found = claim(tmp_path, "hybrid-best", systems)
    assert found.status == "inconclusive" and "raft is left out: raft trained on 9,000 tokens" in found.measured
    assert "as many tokens" in found.takes  # the other hybrid is worse, and says nothing of this one


@pytest.mark.parametrize(
    ("a", "b", "status"), [(HIGH, LOW, "confirmed"), (LOW, HIGH, "refuted"), (HIGH, CLOSE, "inconclusive")]
)
def test_raft(a: Says, b: Says, status: str, tmp_path: Path) -> None:
    raft = hybrid(a, kind="raft", config={"raft": {"distractors": 2}}, tokens=1000)
    assert claim(tmp_path / "as-many", "raft", {"raft": raft, "both": hybrid(b, tokens=1000)}).status == status
    found = claim(tmp_path / "fewer", "raft", {"raft": raft, "both": hybrid(b, tokens=300)})
    assert (
        found.status == "inconclusive" and "as many tokens" in found.takes and "both trained on 300" in found.measured
    )


@pytest.mark.parametrize(
    ("a", "b", "status"), [(HIGH, LOW, "confirmed"), (LOW, HIGH, "refuted"), (HIGH, CLOSE, "inconclusive")]
)
def test_full_breaks_rag(a: Says, b: Says, status: str, tmp_path: Path) -> None:
    oracle = Made(a, kind="oracle", config={"distractors": 3})
    broken = hybrid(b, config={"method": "full", "distractors": 3})
    assert claim(tmp_path, "full-breaks-rag", {"oracle": oracle, "full-read": broken}).status == status


@pytest.mark.parametrize("name", ["lora-full", "qlora-quality"])
@pytest.mark.parametrize(
    ("a", "b", "margin", "status"),
    [
        (HIGH, HIGH, 0.05, "confirmed"),
        (LOW, HIGH, 0.05, "refuted"),
        (HIGH, CLOSE, 0.01, "inconclusive"),
        (HIGH, HIGH, None, "inconclusive"),
    ],
)
def test_level_with(name: str, a: Says, b: Says, margin: float | None, status: str, tmp_path: Path) -> None:
    other = lora(b, kind="full", config={"method": "full"}) if name == "lora-full" else lora(b)
    mine = lora(a) if name == "lora-full" else lora(a, kind="qlora", config={"precision": "nf4"})
    systems = {"lora": mine, "full": other} if name == "lora-full" else {"qlora": mine, "lora": other}
    assert claim(tmp_path, name, systems, margin=margin).status == status


@pytest.mark.parametrize(
    ("a", "b", "status"), [(HIGH, LOW, "confirmed"), (LOW, HIGH, "refuted"), (HIGH, CLOSE, "inconclusive")]
)
def test_rag_multi(a: Says, b: Says, status: str, tmp_path: Path) -> None:
    questions = [Asked(f"q{i}", stratum="two_hop") for i in range(300)] + [Asked(f"r{i}") for i in range(100)]
    systems = {"rag": rag(a), "closed": Made(right(0.1, "c"), kind="closed_book"), "lora": lora(b)}
    assert claim(tmp_path, "rag-multi", systems, questions).status == status
    hops = {"one": rag(right(0.0)), "hops": rag(a, config={"retrieval": {"hops": 2}})}  # one look-up finds one page
    found = claim(tmp_path / "hops", "rag-multi", hops | {"lora": lora(b)}, questions)
    assert found.status == status and "hops minus lora" in found.measured


@pytest.mark.parametrize(
    ("a", "b", "margin", "status"),
    [
        (HIGH, HIGH, 0.05, "confirmed"),
        (LOW, HIGH, 0.05, "refuted"),
        (HIGH, CLOSE, 0.01, "inconclusive"),
        (LOW, HIGH, None, "inconclusive"),
    ],
)
def test_small_data(a: Says, b: Says, margin: float | None, status: str, tmp_path: Path) -> None:
    small = {"name": "data", "of": "lora", "what": "training questions", "value": 16}
    systems = {"rag": rag(b), "lora": lora(b), "data.lora-16": lora(a, scenario=small)}
    assert claim(tmp_path, "small-data", systems, margin=margin).status == status


@pytest.mark.parametrize(("share", "status"), [(0.9, "confirmed"), (0.1, "refuted"), (0.5, "inconclusive")])
def test_rag_source(share: float, status: str, tmp_path: Path) -> None:
    def cites(question: Asked, seed: int) -> Answer:
        good = right(share, "s")(question, seed).text == "yes"
        return Answer("yes [1]", (Hit("c", "p" if good else "other", "yes", 1.0),))

    assert claim(tmp_path, "rag-source", {"rag": rag(cites)}).status == status


@pytest.mark.parametrize(
    ("a", "b", "status"), [(HIGH, LOW, "confirmed"), (LOW, HIGH, "refuted"), (HIGH, CLOSE, "inconclusive")]
)
def test_ft_style(a: Says, b: Says, status: str, tmp_path: Path) -> None:
    questions = asked(400, form="yes", facts=("yes",))
    assert claim(tmp_path, "ft-style", {"lora": lora(a), "rag": rag(b)}, questions).status == status


def alike(says: Says) -> dict[str, dict[str, Made]]:
    """claim -> systems that all say the same, on as many tokens."""
    plain, pairs, both = rag(says), lora(says, tokens=1000), hybrid(says, tokens=1000)
    raft = hybrid(says, kind="raft", config={"raft": {"distractors": 2}}, tokens=1000)
    full = lora(says, kind="full", config={"method": "full"})
    said = {"tuning.passages": True, "tuning.paraphrases": True}
    return {
        "ft-paraphrase": {
            "said": lora(says, tokens=1000, config=said),
            "alone": lora(says, tokens=1000, config=said | {"tuning.paraphrases": False}),
        },
        "ft-style": {"rag": plain, "lora": pairs},
        "hybrid-best": {"rag": plain, "lora": pairs, "both": both},
        "raft": {"both": both, "raft": raft},
        "full-breaks-rag": {
            "oracle": Made(says, kind="oracle", config={"distractors": 3}),
            "full-read": hybrid(says, config={"method": "full", "distractors": 3}),
        },
        "lora-full": {"lora": pairs, "full": full},
        "qlora-quality": {"lora": pairs, "qlora": lora(says, kind="qlora", config={"precision": "nf4"})},
        "small-data": {
            "rag": plain,
            "lora": pairs,
            "data.lora-16": lora(says, scenario={"name": "data", "of": "lora", "what": "questions", "value": 16}),
        },
    }


@pytest.mark.parametrize("name", sorted(alike(HIGH)))
def test_systems_that_are_level_with_the_base_model_show_nothing(name: str, tmp_path: Path) -> None:
    base = {"base": Made(LOW, kind="closed_book")}
    questions = asked(900, form="yes", facts=("yes",), stratum="corpus_only")
    above = claim(tmp_path / "above", name, base | alike(HIGH)[name], questions, margin=0.05)
    assert above.status in ("confirmed", "refuted")
    level = claim(tmp_path / "level", name, base | alike(LOW)[name], questions, margin=0.05)
    assert level.status == "inconclusive"
    assert level.measured.endswith("none is better than base") and "better than the base model" in level.takes


def evidence(**of: Any) -> Evidence:
    return Evidence(
        read_run(STORED).model_copy(update=of.pop("run", {})),
        **{"systems": {}, "columns": {}, "experiments": {}, "headline": "em", "latency": {}, **of},
    )


BASE = {"model": "m", "device": "cuda", "memory": {"lora_bytes": 2e9, "qlora_bytes": 1e9}}


def slow(**facts: Any) -> Evidence:
    return evidence(experiments={"slowdown": (Slowdown.model_validate({**BASE, **facts}),)})


def memory(lora_gb: Sequence[float], qlora_gb: Sequence[float]) -> dict[str, Any]:
    runs = {"lora_runs": [int(x * 1e9) for x in lora_gb], "qlora_runs": [int(x * 1e9) for x in qlora_gb]}
    return {"lora_bytes": runs["lora_runs"][0], "qlora_bytes": runs["qlora_runs"][0], **runs}


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({"memory": memory([20, 20.1, 20], [13, 13.2, 13])}, "confirmed"),
        ({"memory": memory([13, 13.1, 13], [20, 20.1, 20])}, "refuted"),
        ({"memory": memory([20, 20.1, 20], [19.5, 19.6, 19.4])}, "inconclusive"),
        ({"memory": memory([20, 12, 20], [13, 13.2, 13])}, "inconclusive"),  # noisy runs
        ({"memory": memory([20], [18.5])}, "inconclusive"),  # one run: within what runs differ by
        ({"memory": memory([2, 2, 2], [1, 1, 1]), "parameters": 5_000_000}, "inconclusive"),  # too small to tell
        ({"memory": memory([2, 2, 2], [1, 1, 1]), "parameters": 500_000_000}, "confirmed"),
    ],
)
def test_qlora_memory(facts: dict[str, Any], status: str) -> None:
    found = claims.qlora_memory(slow(**facts))
    assert found is not None and found.status == status


@pytest.mark.parametrize(
    ("factor", "rounds", "status"),
    [
        (
            1.2,
            [1.0, 1.01, 0.99],
            "confirmed",
        ),  # less than two processes at two times may differ, and rounds agree on it
        (1.2, None, "inconclusive"),
        (1.2, [1.0, 1.8, 0.6], "inconclusive"),  # of the one alone: its times do not repeat
        (0.8, [1.0, 1.01, 0.99], "refuted"),
    ],
)
def test_four_bit_slower_by_rounds(tmp_path: Path, factor: float, rounds: list[float] | None, status: str) -> None:
    def timed(latency_s: float, factors: list[float] | None) -> dict[str, Any]:
        return turns(latency_s, factors) if factors else {}

    plain = rag(HIGH, latency_s=0.01, cell=timed(0.01, rounds and [1.0, 0.99, 1.01]))
    four = rag(HIGH, latency_s=0.01 * factor, cell=timed(0.01 * factor, rounds), config={"precision": "nf4"})
    found = claim(tmp_path, "four-bit-slower", {"rag": plain, "four": four})
    assert found.status == status, found.measured


@pytest.mark.parametrize(("peak", "status"), [(70e9, "confirmed"), (90e9, "refuted"), (79e9, "inconclusive")])
def test_qlora_70b(peak: float, status: str) -> None:
    found = claims.qlora_70b(slow(model="llama3-70b", memory={"lora_bytes": 2e11, "qlora_bytes": int(peak)}))
    assert found is not None and found.status == status
    assert claims.qlora_70b(slow(model="llama3-8b")) is None


@pytest.mark.parametrize(
    ("intervals", "status"),
    [
        ([(1.2, 1.4)], "confirmed"),
        ([(1.2, 1.4), (1.6, 1.9)], "refuted"),
        ([(1.0, 1.1)], "refuted"),
        ([(1.1, 1.5)], "inconclusive"),
        ([(None, None)], "inconclusive"),
    ],
)
def test_qlora_slower(intervals: list[tuple[float | None, float | None]], status: str) -> None:
    points = [
        {"tokens": 128, "rows": 1, "ratio": 1.3, "low": low, "high": high, "pairs": 20, "lora_s": 1.0, "qlora_s": 1.3}
        for low, high in intervals
    ]
    found = claims.qlora_slower(slow(points=points))
    assert found is not None and found.status == status


def point(tokens: int, ratio: float, low: float | None, high: float | None, pairs: int = 20) -> dict[str, Any]:
    ends = {"low": low, "high": high, "pairs": pairs}
    return {"tokens": tokens, "rows": 1, "ratio": ratio, **ends, "lora_s": 1.0, "qlora_s": ratio}


def test_what_is_said_of_the_time_of_a_step() -> None:
    """Each size with its interval, or that it has none; a curve where sizes disagree; what it takes."""
    confirmed = claims.qlora_slower(slow(points=[point(128, 1.3, 1.15, 1.45)]))  # both ends are still "about 30%"
    assert confirmed == Finding("confirmed", "m on cuda, 128 tokens a step: ratio 1.30 (1.15 to 1.45)")
    curve = claims.qlora_slower(slow(points=[point(128, 1.3, 1.2, 1.4), point(8192, 1.01, 1.0, 1.14)]))
    assert curve == Finding(
        "refuted",
        "m on cuda, 128 tokens a step: ratio 1.30 (1.20 to 1.40); "
        "m on cuda, 8,192 tokens a step: ratio 1.01 (1.00 to 1.14)",
        "It depends on the tokens of a step: not every size refutes it, and the answer is a curve.",
    )
    assert claims.qlora_slower(slow(points=[point(128, 1.5, 1.46, 1.6)])).takes == ""
    for low, high in ((None, 1.4), (1.2, None), (None, None)):
        open_ = claims.qlora_slower(slow(points=[point(64, 1.3, 1.1, 1.5, 12), point(128, 1.3, low, high, 9)]))
        assert open_ == Finding(
            "inconclusive",
            "m on cuda, 64 tokens a step: ratio 1.30 (1.10 to 1.50); "
            "m on cuda, 128 tokens a step: ratio 1.30 (no interval from 9 pairs)",
            "It takes more than 12 pairs of steps at each size, or a quieter machine.",
        )
    whole = Slowdown.model_validate({**BASE, "recipe": {"upcast": True}, "points": [point(128, 2.0, 1.9, 2.1)]})
    alone = Slowdown.model_validate({**BASE, "points": [point(128, 1.3, 1.2, 1.4)]})
    both = claims.qlora_slower(evidence(experiments={"a": (whole, {"own": 1}), "b": (alone,)}))
    assert both == Finding("confirmed", "m on cuda, 128 tokens a step: ratio 1.30 (1.20 to 1.40)")
    assert claims.qlora_slower(evidence(experiments={"a": (whole,)})).status == "refuted"
    assert claims.qlora_slower(slow()) is None


def test_what_is_said_of_the_memory_of_training() -> None:
    runs = claims.qlora_memory(slow(memory=memory([20, 20.1, 20], [13, 13.2, 13]), recipe={"tokens": [64, 2048]}))
    assert runs == Finding(
        "confirmed",
        "m on cuda: peak 20.00 to 13.00 GB at 2,048 tokens a step (ratio 0.65 to 0.66: over 3 runs)",
    )
    once = claims.qlora_memory(slow(memory=memory([20], [13])))
    assert once == Finding(
        "confirmed",
        "m on cuda: peak 20.00 to 13.00 GB (ratio 0.59 to 0.72: one run, and processes may differ by 10%)",
    )
    twice = claims.qlora_memory(slow(memory=memory([20, 20], [13, 13]), parameters=99_999_999))
    assert twice is not None and twice.measured.endswith("(ratio 0.65 to 0.65: over 2 runs)")
    assert twice.takes == "It takes a model of 100 million parameters or more."
    assert claims.qlora_memory(slow(memory=memory([20, 20], [13, 13]), parameters=100_000_000)).status == "confirmed"
    level = claims.qlora_memory(slow(memory=memory([20, 20], [19, 19])))  # exactly 5% below
    assert level.status == "inconclusive"
    assert level.takes == "The peaks are within 5% of each other, or of the noise of their runs."
    assert claims.qlora_memory(slow(memory={"lora_bytes": None, "qlora_bytes": 1})) is None


def test_what_is_said_of_seventy_billion_parameters() -> None:
    """The highest of what steps take, what loading takes, and what NVML sees."""
    base = {"model": "llama3-70b", "recipe": {"tokens": [256, 2048]}}
    below = claims.qlora_70b(slow(**base, memory={"lora_bytes": None, "qlora_bytes": int(48e9)}))
    assert below == Finding(
        "confirmed", "peak 48.0 GB on cuda with 2,048 tokens a step, 32.0 GB below the 80 GB of one GPU"
    )
    for more in ({"loading": {"qlora": int(90e9)}}, {"process": {"qlora": int(90e9)}}):
        above = claims.qlora_70b(slow(**base, memory={"lora_bytes": None, "qlora_bytes": int(48e9), **more}))
        assert above == Finding(
            "refuted", "peak 90.0 GB on cuda with 2,048 tokens a step, 10.0 GB above the 80 GB of one GPU"
        )
    near = claims.qlora_70b(slow(**base, memory={"lora_bytes": None, "qlora_bytes": int(77e9)}))
    assert near.takes == "The peak is within 5% of the 80 GB, as two runs may differ."
    assert claims.qlora_70b(slow(**base, device="cpu")) is None


@pytest.mark.parametrize(
    ("recall", "passages", "status"),
    [(0.97, 20_000, "confirmed"), (1.0, 20_000, "refuted"), (1.0, 500, "inconclusive")],
)
def test_hnsw_recall(recall: float, passages: int, status: str, tmp_path: Path) -> None:
    questions = asked(100)
    found = {q.id: recall for q in questions}
    from bench.scoring.records import graded

    scored(
        tmp_path,
        {"hnsw": Made(HIGH, kind="rag", config={"retrieval.index": "hnswlib"}, cell={"index_recall": found})},
        questions,
    )
    whole = Evidence.of(graded(tmp_path), headline="em", experiments={})
    large = whole.run.model_copy(update={"dataset": whole.run.dataset.model_copy(update={"passages": passages})})
    told = claims.hnsw_recall(Evidence(large, whole.systems, whole.columns, {}, "em", {}))
    assert told is not None and told.status == status


def test_every_rule_is_of_a_claim_and_tested_here() -> None:
    source = Path(__file__).read_text()
    assert {claim["test"] for claim in claims.ledger()} == set(claims.RULES)
    elsewhere = {"four_bit_slower"}  # tests/unit/test_paired_timing.py
    for name in set(claims.RULES) - elsewhere - {"lora_full", "qlora_quality"}:
        assert f"def test_{name}(" in source, name


def test_the_base_model_alone_is_that_of_the_systems(tmp_path: Path) -> None:
    """Being better than a smaller model is nothing that was learned."""
    questions = asked(900, form="yes", facts=("yes",), stratum="corpus_only")
    small = Made(right(0.0), kind="closed_book", config={"model": {"name": "small"}})
    level = {"small": small, "base": Made(LOW, kind="closed_book")} | alike(LOW)["qlora-quality"]
    found = claim(tmp_path / "both", "qlora-quality", level, questions, margin=0.05)
    assert found.status == "inconclusive" and found.measured.endswith("none is better than base")
    without = {name: system for name, system in level.items() if name != "base"}
    assert claim(tmp_path / "one", "qlora-quality", without, questions, margin=0.05).status == "confirmed"
