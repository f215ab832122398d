"""scores.json: when it is computed anew, when it is refused, what it says of a run that is counted by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.core.digest import sealed
from bench.core.errors import UserError
from bench.core.files import content_digest
from bench.metrics.registry import MEASURES
from bench.report import frames
from bench.scoring import grade
from bench.scoring.schema import VERSION, Scores
from bench.stats.comparisons import Pair
from bench.verdict.score import is_current, read_scores, score, scores
from tests.made_up import Asked, Made, asked, right, saying, scored, showing, turns

QUESTIONS = [Asked(f"q{i}", stratum="even" if i % 2 == 0 else "odd") for i in range(20)]
FINISH = "Finish it with `ragtune run`."
AGAIN = "Run `ragtune score` on it."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scored run: `low` is right on the first five questions of twenty, `high` on the first fifteen."""
    systems = {"low": Made(saying((range(5), "yes"))), "high": Made(saying((range(15), "yes")))}
    scored(tmp_path / "r", systems, QUESTIONS, leaked=["q1", "q2"])
    return tmp_path / "r"


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The file with a change in what it says."""
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


def refusal(of: Callable[[Path], Scores], folder: Path) -> str:
    with pytest.raises(UserError) as refused:
        of(folder)
    return str(refused.value)


def test_scores_that_are_missing_old_damaged_or_changed_are_refused(folder: Path) -> None:
    path = folder / "scores.json"
    whole = path.read_text()
    raw = json.loads(whole)
    path.write_text(json.dumps({**raw, "headline": "f1"}))
    assert refusal(read_scores, folder) == (
        f"{path}: these scores were changed after they were computed. Run `ragtune score` on the run: it computes them "
        "again from the records."
    )
    unsealed = {key: value for key, value in raw.items() if key != "seal"}
    path.write_text(json.dumps(unsealed))
    assert "these scores were changed" in refusal(read_scores, folder)
    path.write_text(json.dumps({"version": VERSION, "seal": sealed({"version": VERSION})}))
    assert refusal(read_scores, folder) == f"{path}: damaged scores: `source`: Field required. {AGAIN}"
    for old in ({**raw, "version": VERSION - 1}, [raw], {}):
        path.write_text(json.dumps(old))
        assert refusal(read_scores, folder) == f"{folder}: an older ragtune scored this run. {AGAIN}"
        assert not is_current(old)
    path.unlink()
    assert refusal(read_scores, folder) == f"{folder}: this run is not scored yet. {AGAIN}"
    assert score(folder).model_dump(mode="json") == raw and path.read_text() == whole and is_current(raw)


def test_a_run_without_records_or_without_an_end_is_not_scored(folder: Path) -> None:
    records, path = folder / "records.jsonl", folder / "run.json"
    changed(path, lambda raw: raw.update(files={"records.jsonl": content_digest(records)}))
    score(folder)
    lines = records.read_text().splitlines(keepends=True)
    records.write_text("".join(lines[:-1]))
    assert refusal(score, folder) == (
        f"{records}: these are not the records that the run wrote: the file was changed or cut short. Run the spec "
        "again: what its cells hold is gathered anew."
    )
    records.unlink()
    assert refusal(score, folder) == f"{folder}: this run has no records yet. {FINISH}"
    records.write_text("".join(lines))
    changed(path, lambda raw: raw.update(cells=None))
    assert refusal(score, folder) == f"{folder}: this run was stopped before it ended. {FINISH}"


@pytest.mark.parametrize(
    "change",
    [
        {"prices": {"cpu_hour_usd": 7.0}},
        {"volumes": {"questions_per_month": 9}},
        {"needs": {"p90_latency_s": 3.0}},
        {"margin": 0.07},
        {"judge": {"model": "other", "base_url": "http://127.0.0.1:9"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_the_spec_asks_of_the_verdict_is_scored_anew(change: Mapping[str, Any], folder: Path) -> None:
    before = score(folder).source
    changed(folder / "run.json", lambda raw: raw["spec"].update(change))
    assert score(folder).source == read_scores(folder).source != before


def test_scores_are_computed_once_for_their_files(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    before = score(folder, tell=lambda *of: told.append(of))
    assert not told  # they were read
    changed(folder / "run.json", lambda raw: raw.update(ended=raw["ended"] + 1))
    assert score(folder, tell=lambda *of: told.append(of)) == before and not told
    for name, text in (("judged.jsonl", "\n"), ("entailed.jsonl", "\n")):
        (folder / name).write_text(text)
        assert score(folder).source != before.source
        (folder / name).unlink()
    changed(folder / "run.json", lambda raw: raw.update(identity="another"))
    assert score(folder).source != before.source
    changed(folder / "run.json", lambda raw: next(iter(raw["cells"].values())).update(refresh_s=4.0))
    again = score(folder, tell=lambda *of: told.append(of))
    assert again.source != before.source and told == [(n, len(MEASURES)) for n in range(1, len(MEASURES) + 1)]
    assert again.seal and again.seal == read_scores(folder).seal != before.seal


def test_what_the_scores_of_a_run_say(folder: Path) -> None:
    found = score(folder)
    assert found.run == json.loads((folder / "run.json").read_text())["name"] and len(found.source) == 64
    assert found.headline == "em" and found.metrics["em"] == "Exact match" and list(found.metrics) == list(MEASURES)
    assert found.leaks == {"all": 2, "exact": 2} and found.judge is None and found.experiments == {}
    assert list(found.systems) == ["low", "high"]
    assert found.outcomes == {"low": {"right": 5, "wrong": 15}, "high": {"right": 15, "wrong": 5}}
    assert len(found.questions) == 20
    first = found.questions[0]
    assert set(first.outcomes.values()) == {"right", "wrong"} and first.stratum in ("even", "odd")
    assert {q.question: q.stratum for q in found.questions} == {q.id: q.stratum for q in QUESTIONS}
    (pair,) = found.compared["em"]
    assert (pair.a, pair.b, pair.n, pair.difference) == ("low", "high", 20, -0.5)


def test_what_a_judge_took_stands_in_the_scores(tmp_path: Path) -> None:
    judge = {"base_url": "http://127.0.0.1:9/v1", "model": "m", "metrics": ["answer_accuracy"]}
    judged = Made(right(0.5), judged=lambda question, _: 1.0)
    found = scored(tmp_path / "r", {"a": judged, "b": judged}, asked(20), judge=judge)
    assert found.judge is not None and (found.judge.model, found.judge.verdicts, found.judge.failed) == ("m", 40, 0)


def test_a_scenario_is_no_system_of_the_comparison(tmp_path: Path) -> None:
    """Its answers are in no pair, and no question is told by them."""
    beside = Made(right(0.5), scenario={"name": "robustness", "of": "a", "what": "noise", "value": 3})
    found = scored(tmp_path / "r", {"a": Made(right(0.9)), "b": Made(right(0.1)), "robustness.a": beside}, asked(20))
    assert list(found.systems) == list(found.outcomes) == ["a", "b"]
    assert [(p.a, p.b) for p in found.compared["em"]] == [("a", "b")]


def test_figures_and_pairs_are_tables_too(tmp_path: Path) -> None:
    """Two systems of 10 and 20 ms in three rounds, one right on 90 questions and one on 10."""
    cells = {name: Made(right(share), latency_s=s, cell=turns(s, [1.0] * 3)) for name, share, s in SYSTEMS_OF_TIMES}
    found = scored(tmp_path / "r", cells, asked(100), margin=0.05, prices={"cpu_hour_usd": 1.0})
    table = frames.figures(found).set_index(["system", "figure"])
    assert list(table.columns) == ["unit", "value", "low", "high", "n"]
    for name, _, seconds in SYSTEMS_OF_TIMES:
        row = table.loc[(name, "latency_p50")]
        assert row.unit == "s" and row.low <= row.value <= row.high and row.value == pytest.approx(seconds, rel=0.05)
        rate = table.loc[(name, "throughput")]
        assert rate.unit == "questions/s" and rate.value == pytest.approx(1 / seconds, rel=0.05)
        assert table.loc[(name, "month")].unit == "USD"
    assert ("fast", "first_token") not in table.index  # was not measured
    pairs = frames.pairs(found).set_index("measure")
    (em,) = pairs.loc[["em"]].itertuples()
    assert {em.a, em.b} == {"fast", "slow"} and em.verdict in ("better", "worse") and em.p_holm >= em.p
    assert em.low < em.difference < em.high and em.n == em.clusters == 100


SYSTEMS_OF_TIMES = (("fast", 0.9, 0.01), ("slow", 0.1, 0.02))


def test_the_frame_has_a_row_for_each_system_measure_and_stratum(folder: Path) -> None:
    frame = scores(folder)
    assert list(frame.columns) == [
        "system", "metric", "stratum", "mean", "low", "high", "n", "clusters", "method", "status",
    ]  # fmt: skip
    em = frame[frame.metric == "em"].set_index(["system", "stratum"])
    assert list(em.index) == [(name, part) for name in ("low", "high") for part in ("all", "even", "odd")]
    assert em["mean"].to_dict() == {
        ("low", "all"): 0.25, ("low", "even"): 0.3, ("low", "odd"): 0.2,
        ("high", "all"): 0.75, ("high", "even"): 0.8, ("high", "odd"): 0.7,
    }  # fmt: skip
    assert em["n"].to_dict()["low", "all"] == 20 and em["clusters"].to_dict()["high", "even"] == 10
    assert ((em["low"] < em["mean"]) & (em["mean"] < em["high"])).all()
    assert scores(str(folder)).equals(frame)
    measured = {name: of for name, of in score(folder).measured["low"].scores.items() if of is not None}
    assert list(frame[frame.system == "low"].metric.unique()) == list(measured)
    assert "recall_at_k" not in measured and len(measured) > 3


def names(pairs: tuple[Pair, ...]) -> set[tuple[str, str]]:
    return {(pair.a, pair.b) for pair in pairs}


def test_of_many_systems_the_best_the_controls_and_the_first_retrieval_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a family as large as all pairs; what is better when it is lower has its own best."""
    monkeypatch.setattr(grade, "MANY", 4)
    silent, speaking = saying((range(20), "unknown")), saying((range(40), "no"))
    systems = {
        "weak": Made(saying((range(8), "yes"), otherwise="unknown")),
        "base": Made(silent, kind="closed_book"),
        "plain": Made(showing(saying((range(16), "yes"), (range(16, 30), "unknown"))), kind="rag"),
        "second": Made(showing(saying((range(12), "yes"), (range(12, 20), "unknown"))), kind="rag"),
        "never": Made(speaking),
        "best": Made(saying((range(38), "yes"), otherwise="unknown")),
    }
    found = scored(tmp_path / "some", systems, asked(40)).compared
    every = {(a, b) for i, a in enumerate(systems) for b in list(systems)[i + 1 :]}
    hubs = {"best", "base", "plain"}
    assert names(found["em"]) == {pair for pair in every if set(pair) & hubs}
    assert names(found["abstains_wrongly"]) == {pair for pair in every if set(pair) & {"never", "base", "plain"}}
    whole = scored(tmp_path / "every", systems, asked(40), all_pairs=True).compared
    assert names(whole["em"]) == every
    by_names = {(pair.a, pair.b): pair for pair in whole["em"]}
    least = min(found["em"], key=lambda pair: pair.p)
    assert least.p == by_names[least.a, least.b].p and least.p_holm == pytest.approx(min(1.0, 15 * least.p))
