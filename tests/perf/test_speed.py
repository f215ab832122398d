"""How fast the harness's own work is: `make bench`. Ratios against a peer in the same run; the machine may be noisy."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from bench.core.blocks import Retrieval
from bench.core.memory import Memory
from bench.metrics import retrieval, text
from bench.stats import comparisons, intervals
from systems.parts import index
from tests.perf import made_run


@pytest.mark.parametrize("library", [name for name in index.names() if name not in ("qdrant", "pgvector")])
def test_index_build_and_search(benchmark: Any, tmp_path: Any, library: str) -> None:
    vectors = np.random.default_rng(0).normal(size=(5000, 64)).astype(np.float32)
    retrieval_ = Retrieval.model_validate({"index": library})

    def work() -> list[Any]:
        chosen = index.library(library)
        chosen.build(vectors, retrieval_, tmp_path)
        return chosen.open_folder(tmp_path, vectors, retrieval_).search(vectors[:100], 4)

    assert len(benchmark.pedantic(work, rounds=3, iterations=1)) == 100


def test_scoring(benchmark: Any) -> None:
    scored = benchmark(lambda: [text.squad("14 rpm of the pump", ["14 rpm"]) for _ in range(50)])
    assert {em for em, _ in scored} == {0.0}


def test_retrieval_measures(benchmark: Any) -> None:
    rows = {f"q{i}": ([f"p{j}" for j in range(8)], {"p3": 1}) for i in range(500)}
    assert len(benchmark(lambda: retrieval.measures(rows, 4))["mrr"]) == 500


def test_interval(benchmark: Any) -> None:
    values = np.random.default_rng(0).integers(0, 2, 2000).astype(float).tolist()
    assert benchmark(lambda: intervals.estimate(values, [f"c{i // 5}" for i in range(2000)])).clusters == 400


def test_every_pair_of_ten_systems_on_ten_thousand_questions(benchmark: Any) -> None:
    """10,000 resamples and 45 pairs within 20 s, and the memory of a few blocks of draws."""
    rng = np.random.default_rng(0)
    values = {f"s{i}": (rng.random((1, 10_000)) < 0.5 + 0.01 * i).astype(float) for i in range(10)}
    panel = comparisons.Panel(values, [f"c{i}" for i in range(10_000)])

    def work() -> tuple[int, float]:
        begin = time.perf_counter()
        with Memory(whole_process=False) as memory:
            found = comparisons.compare(panel, margin=0.02, resamples=10_000)
            comparisons.joint(panel, resamples=10_000)
        facts = memory.facts()
        assert facts["start_rss_bytes"] + facts["peak_rss_growth_bytes"] < 2e9
        return len(found), time.perf_counter() - begin

    count, seconds = benchmark.pedantic(work, rounds=1, iterations=1)
    assert count == 45 and seconds < 20


def test_drawing_a_thousand_questions_of_ten_systems(benchmark: Any, tmp_path: Any) -> None:
    """A page of a run of 10 systems and 1,000 questions, with four hits an answer: under 10 s and 3 MB."""
    from bench.report import report
    from bench.verdict.score import score

    hit = {"chunk_id": "c", "text": "words of a passage " * 20, "score": 1.0, "title": ""}
    rng = np.random.default_rng(0)

    def says(system: int, q: int) -> dict[str, Any]:
        said = "right" if rng.random() < 0.4 + 0.04 * system else "wrong"
        return {"text": said, "answers": ["right"], "hits": [{**hit, "passage_id": f"p{q}-{k}"} for k in range(4)]}

    made_run.write(tmp_path, says, systems=10, questions=1000, config={})
    score(tmp_path)
    begin = time.perf_counter()
    page = benchmark.pedantic(report, (tmp_path,), {"again": True}, rounds=1, iterations=1)
    assert time.perf_counter() - begin < 10
    assert page.stat().st_size < 3_000_000 and "system-9" in page.read_text()


def test_memory_sampling_costs_under_one_per_cent(benchmark: Any) -> None:
    """Processor time of the sampling thread, not wall time: noise of the machine does not enter."""

    def sample() -> float:
        begin = time.process_time()
        with Memory():
            time.sleep(2)
        return (time.process_time() - begin) / 2

    share = benchmark.pedantic(sample, rounds=1, iterations=1)
    assert share < 0.01, share


def test_help_answers_before_a_third_of_a_second(benchmark: Any) -> None:
    """Against bare Python importing typer, which is what it cannot do without."""
    import statistics
    import subprocess
    import sys

    def seconds(*words: str) -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        return time.perf_counter() - begin

    pairs = [(seconds("-m", "bench.cli", "--help"), seconds("-c", "import typer")) for _ in range(7)]
    benchmark.pedantic(seconds, ("-m", "bench.cli", "--help"), rounds=3)
    assert statistics.median(a / b for a, b in pairs) < 1.6
    assert statistics.median(a for a, _ in pairs) < 0.3
