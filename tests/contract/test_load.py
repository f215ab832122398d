"""Systems on an endpoint, under load and tuned elsewhere: real servers on loopback."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import parse
from bench.core.errors import UserError
from bench.core.store import Store
from bench.execution import load
from bench.execution.cell_result import LoadLevel
from bench.execution.pinning import prepare
from bench.execution.run import run
from bench.execution.run_file import read_run
from bench.report import report
from bench.scoring.load import loaded
from bench.spec.cells import cells
from bench.spec.model import Load, Needs
from bench.verdict.score import read_scores, score
from systems.parts import endpoint
from tests.conftest import raw_spec, serving
from tests.served import micro, one_at_a_time

TAKES_S = 0.02


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    with serving(micro()) as url:
        yield url


@pytest.fixture(scope="module")
def folder(served: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the micro model in its process, behind both protocols, and as if tuned elsewhere, under load."""
    root = tmp_path_factory.mktemp("served")
    here: dict[str, Any] = {"name": "micro", "base_url": served}
    systems = [
        {"name": "inside", "kind": "closed_book"},
        {"name": "chat", "kind": "closed_book", "model": here},
        {"name": "plain", "kind": "closed_book", "model": here | {"api": "completions"}},
        {"name": "tuned", "kind": "lora", "model": here, "adapter": "tuned"},
        {"name": "rag", "kind": "rag"},
        {"name": "both", "kind": "hybrid", "rag": "rag", "adapter": "tuned"},
    ]
    spec = parse(
        raw_spec(
            model={"name": "micro"},
            embedder={"name": "micro"},
            generation={"max_new_tokens": 16, "batch_size": 4},
            systems=systems,
            seeds=[1, 2],
            needs={"p95_latency_s": 30.0},
            prices={
                "cpu_hour_usd": 1.0,
                "prompt_tokens_usd_per_million": 1.0,
                "completion_tokens_usd_per_million": 1.0,
            },
            measure={"rounds": 0, "load": {"concurrency": [1, 4, 16], "arrivals_per_s": [5], "seconds": 1}},
        )
    )
    outcome = run(spec, out=root / "r", store=root / "s")
    assert outcome.status == "complete", outcome.failed
    score(outcome.folder)
    return outcome.folder


def said(folder: Path, system: str) -> dict[str, str]:
    import json

    rows = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    return {r["question"]: r["answer"]["text"] for r in rows if r["system"] == system}


@pytest.mark.heavy
def test_a_served_model_says_what_it_says_in_the_process(folder: Path) -> None:
    inside = said(folder, "inside")
    assert said(folder, "chat") == inside and any(inside.values())
    assert said(folder, "tuned") == {q: text.upper() for q, text in inside.items()}
    assert len(said(folder, "plain")) == len(inside)
    both, rag = said(folder, "both"), said(folder, "rag")
    assert both == {q: text.upper() for q, text in rag.items()} and both != said(folder, "tuned")


@pytest.mark.heavy
def test_what_was_tuned_elsewhere_is_not_trained_and_has_no_price_a_month(folder: Path) -> None:
    measured = read_scores(folder).measured
    costs = read_scores(folder).recommendation.costs
    for name in ("tuned", "both"):
        assert [cell for cell in read_run(folder).cells or {} if cell.startswith(f"{name}-")] == [f"{name}-s1"]
        assert measured[name].trained_elsewhere and measured[name].build.train_s is None
        assert costs[name].usd_per_month is None
    assert costs["tuned"].refresh_s is None and costs["both"].refresh_s  # whose index is here, and is built anew
    assert measured["tuned"].family == "tuning" and measured["both"].family == "both"
    assert costs["rag"].usd_per_month is not None
    assert "tuned was tuned elsewhere" in report(folder).read_text()


@pytest.mark.heavy
def test_every_level_of_the_load_stands_in_the_scores_and_on_the_page(folder: Path) -> None:
    found = read_scores(folder).measured
    assert not found["inside"].load and not found["rag"].load
    for name in ("chat", "plain", "tuned", "both"):
        assert [(at.mode, at.level) for at in found[name].load] == [
            ("closed", 1),
            ("closed", 4),
            ("closed", 16),
            ("open", 5),
        ]
        assert all(at.n and not at.failed and at.need_s == 30 and at.within == 1 for at in found[name].load)
    page = report(folder).read_text()
    assert 'id="load"' in page and "Most answers a second within 30 s" in page
    assert "ran inside ragtune" in page


class Asked:
    """A system that asks an endpoint, as a cell does."""

    def __init__(self, model: endpoint.Endpoint) -> None:
        self.model = model

    def answer(self, questions: Any) -> Any:
        return [self.model.reply(q, None, None) for q in questions]


@pytest.fixture(scope="module")
def levels() -> list[LoadLevel]:
    """A server that gives one answer after the other, each taking TAKES_S, at three levels."""
    from bench.core.blocks import Model, Prompt
    from bench.core.vocabulary import Question

    asked = Load(concurrency=(1, 4), arrivals_per_s=(100,), seconds=1)
    with serving(one_at_a_time(TAKES_S)) as url:
        model = endpoint.connect(Model(name="m", base_url=url), "m", max_new_tokens=4, prompt=Prompt())
        with model.client:
            found = load.measure(Asked(model), [Question("q", "?")], asked)
    return [LoadLevel.model_validate(level) for level in found]


@pytest.mark.heavy
def test_askers_of_a_closed_loop_wait_for_each_other(levels: list[LoadLevel]) -> None:
    alone, four, _ = levels
    assert min(whole for _, _, whole, _ in alone.samples) >= TAKES_S
    middle = sorted(four.samples)[4:]  # the first ones do not wait
    assert statistics.median(whole for _, _, whole, _ in middle) >= 3 * TAKES_S
    assert all(first is not None and first <= whole for _, first, whole, _ in four.samples)


@pytest.mark.heavy
def test_a_latency_of_the_open_loop_counts_from_when_the_question_came(levels: list[LoadLevel]) -> None:
    """More come than can be answered: the n-th answer cannot end before n times what one takes, and its asker has
    waited since the question came, however late it was sent."""
    came = sorted(levels[2].samples)
    ends = sorted(due + whole for due, _, whole, _ in came)
    assert len(came) == 82  # of this rate and these seconds, at every run
    assert all(end >= (n + 1) * TAKES_S - 1e-3 for n, end in enumerate(ends))
    with_need = loaded(levels, Needs(p95_latency_s=2.5 * TAKES_S))  # one asker is answered in time, and four are not
    assert with_need[0].goodput == with_need[0].throughput and with_need[1].goodput < 0.5 * with_need[1].throughput
    found = loaded([levels[2]], Needs(p95_latency_s=2 * TAKES_S))[0]
    assert found.throughput <= 1 / TAKES_S and found.within is not None and found.within < 0.5


def test_goodput_counts_what_was_answered_in_time() -> None:
    samples = tuple((n / 10, 0.1, 0.2 if n < 6 else 0.9, n == 0) for n in range(10))
    level = LoadLevel(mode="open", level=10, seconds=1.0, samples=samples)
    with_need, without = loaded([level], Needs(p50_latency_s=0.1, p95_latency_s=0.5))[0], loaded([level], Needs())[0]
    assert (with_need.failed, with_need.throughput, with_need.goodput, with_need.within) == (1, 5.0, 5.0, 0.5)
    assert without.goodput is None and without.within is None and without.p95_s is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"measure": {"load": {"seconds": 3}}}, "give levels"),
        ({"measure": {"load": {"concurrency": [0]}}}, "greater than 0"),
        ({"measure": {"load": {"concurrency": [10**6]}}}, "less than or equal to 1024"),
        ({"measure": {"load": {"arrivals_per_s": [math.inf]}}}, "finite"),
        ({"measure": {"load": {"concurrency": [1], "seconds": math.inf}}}, "finite"),
        ({"systems": [{"name": "x", "kind": "lora", "adapter": "served"}]}, "give `model.base_url` too"),
        (
            {"systems": [{"name": "x", "kind": "lora"}], "model": {"name": "m", "base_url": "http://h/v1"}},
            "as `adapter`",
        ),
    ],
)
def test_what_cannot_be_is_said(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        cells(parse(raw_spec(**changes)))
    assert said in str(caught.value)


def test_a_load_without_an_endpoint_is_told_before_anything_runs(tmp_path: Path) -> None:
    spec = parse(raw_spec(measure={"load": {"concurrency": [1]}}))
    with pytest.raises(UserError, match=r"measure\.load: systems on an endpoint are asked under load"):
        prepare(spec, Store(tmp_path))
