"""V9: the whole pipeline on systems whose truth is known, from spec to verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import parse
from bench.execution.run import run
from tests.conftest import raw_spec, scores_json

KNOWN = "tests.kinds.known"
N, TAUGHT = 300, 60


def dataset(folder: Path, n: int = N, taught: int = TAUGHT) -> Path:
    """A page and a test question on each of `n` items; training asks the first ones in the very words of the test."""
    folder.mkdir()

    def write(name: str, rows: list[dict[str, Any]]) -> None:
        (folder / name).write_text("".join(json.dumps(r) + "\n" for r in rows))

    ids = range(1000, 1000 + n)
    write("corpus.jsonl", [{"id": f"p{i}", "text": f"item {i} is ruby {i * 7}."} for i in ids])
    write("updates.jsonl", [{"id": f"p{i}", "text": f"item {i} is jade {i * 7}."} for i in ids if i % 10 == 0])
    test = [
        {
            "id": f"t{i}",
            "question": f"What is item {i} made of?",
            "answers": [f"ruby {i * 7}"],
            "gold": [f"p{i}"],
            "group": f"p{i}",
        }
        | ({"updated": [f"jade {i * 7}"]} if i % 10 == 0 else {})
        for i in ids
    ]
    write("test.jsonl", test)
    write("train.jsonl", [{**t, "id": f"train-{t['id']}", "updated": []} for t in test[:taught]])
    return folder


def system(name: str, does: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": KNOWN, "does": does, **more}


def scored(tmp: Path, systems: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    data = tmp / "data" if (tmp / "data").exists() else dataset(tmp / "data")
    outcome = run(parse(raw_spec(dataset={"path": str(data)}, systems=systems, **spec)), out=tmp / "r", store=tmp / "s")
    assert outcome.status == "complete", outcome.failed
    return scores_json(outcome.folder)


ALL = [
    system("right", "right", shows=True),
    system("chance", "chance", share=0.5),
    system("silent", "silent"),
    system("taught", "taught"),
    system("shown", "shown"),
    system("stale", "stale", shows=True),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return scored(tmp_path_factory.mktemp("known"), ALL, margin=0.05)


def mean(found: dict[str, Any], name: str, metric: str) -> float:
    value: float = found["systems"][name]["scores"][metric]["mean"]
    return value


def test_scores_are_exact(whole: dict[str, Any]) -> None:
    em = {n: mean(whole, n, "em") for n in whole["systems"]}
    assert em["right"] == em["shown"] == em["stale"] == 1.0 and em["silent"] == 0.0
    assert em["taught"] == TAUGHT / N and 0.4 < em["chance"] < 0.6
    assert mean(whole, "silent", "abstains_wrongly") == 1.0
    assert (mean(whole, "right", "updated_em"), mean(whole, "stale", "updated_em")) == (1.0, 0.0)
    assert mean(whole, "stale", "stale") == 1.0 and mean(whole, "right", "kept_em") == 1.0


def test_the_leak_is_flagged_and_taken_out(whole: dict[str, Any]) -> None:
    assert whole["leaks"]["all"] == whole["leaks"]["exact"] == TAUGHT
    clean = whole["systems"]["taught"]["scores"]["em"]["clean"]
    assert clean["mean"] == 0.0 and clean["n"] == N - TAUGHT
    assert whole["systems"]["right"]["scores"]["em"]["clean"]["mean"] == 1.0


def test_who_reads_the_gold_passage_is_a_control(whole: dict[str, Any]) -> None:
    assert whole["systems"]["shown"]["control"] and not whole["systems"]["right"]["control"]
    assert "shown" not in whole["recommendation"]["needs"]


def test_the_right_one_is_recommended(whole: dict[str, Any]) -> None:
    r = whole["recommendation"]
    assert r["choice"] == "right" and r["outcome"] == "equivalent" and r["equivalent"] == ["stale"]
    assert r["probability"] == 1.0 and "right" in r["sentence"]
    ranks = {(p["a"], p["b"]): p["verdict"] for p in whole["compared"]["em"]}
    assert ranks["right", "chance"] == ranks["chance", "silent"] == "better"
    assert ranks["right", "shown"] == "equivalent" and ranks["silent", "taught"] == "worse"


def test_a_need_decides(tmp_path: Path) -> None:
    """The best system shows no source; with provenance required the next one is chosen, and the page says why."""
    systems = [
        system("mute", "right"),
        system("sourced", "chance", share=0.7, shows=True),
        system("low", "chance", share=0.2, shows=True),
    ]
    r = scored(tmp_path, systems, needs={"provenance": True})["recommendation"]
    assert r["feasible"] == ["sourced", "low"] and r["choice"] == "sourced" and r["outcome"] == "winner"
    assert [(f["to"], f["needs"][0]["need"]) for f in r["flips"]] == [("mute", "provenance")]
    nothing = scored(tmp_path, systems[:1], name="t2", needs={"provenance": True})["recommendation"]
    assert nothing["outcome"] == "nothing feasible" and "mute" in nothing["sentence"]


def test_what_the_data_cannot_tell_is_left_open(tmp_path: Path) -> None:
    close = [system("a", "chance", share=0.80, salt="a"), system("b", "chance", share=0.82, salt="b")]
    r = scored(tmp_path, close)["recommendation"]
    assert r["outcome"] == "undecided" and "No clear winner" in r["sentence"]
    assert r["questions"] > N and f"{r['questions']:,}" in r["sentence"]
    apart = [system("a", "chance", share=0.80, salt="a"), system("b", "chance", share=0.55, salt="b")]
    decided = scored(tmp_path, apart, name="t2")["recommendation"]
    assert decided["outcome"] == "winner" and decided["choice"] == "a"  # the control: a difference that it can tell


def test_weights_change_the_choice_where_they_say(tmp_path: Path) -> None:
    """The threshold among the flips is where the choice really flips."""
    systems = [system("good", "chance", share=0.9, salt="x"), system("light", "chance", share=0.6, salt="x")]
    found = scored(tmp_path, systems, prices={"cpu_hour_usd": 1.0})["recommendation"]
    assert found["choice"] == "good"
    from bench.scoring.schema import Criteria
    from bench.spec.model import Weights
    from bench.verdict import decision

    figures = {
        "good": Criteria(cost=100.0, latency=None, memory=None),
        "light": Criteria(cost=1.0, latency=None, memory=None),
    }
    for weight, ahead in ((0.14, "good"), (0.16, "light")):  # 30 points for two powers of ten
        off = decision.offsets(figures, Weights(cost=weight))
        assert max(figures, key=lambda n: {"good": 0.9, "light": 0.6}[n] + sum(off[n].values())) == ahead


def test_answers_that_flip_are_counted(tmp_path: Path) -> None:
    systems = [system("steady", "right"), system("moody", "right", moody=True)]
    measure = {"latency_questions": 8, "warmup": 1, "determinism": 20}
    found = scored(tmp_path, systems, measure=measure)["systems"]
    assert found["steady"]["flips"] == {"n": 20, "again": 0, "alone": 0}
    assert found["moody"]["flips"] == {"n": 20, "again": 0, "alone": 20}
