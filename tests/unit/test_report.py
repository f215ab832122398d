"""The page: safe against what it shows, whole without script, and right about failures."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bench import parse
from bench.core.errors import UserError
from bench.execution.run import run
from bench.report import report
from bench.verdict.compare_runs import compare
from bench.verdict.score import scores
from tests.conftest import HOSTILE, MINI, ROOT, raw_spec, scores_json

ECHO = "tests.kinds.echo"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(folder: Path) -> Tags:
    tags = Tags()
    tags.feed((folder / "index.html").read_text())
    return tags


def test_nothing_hostile_is_markup(hostile: Path) -> None:
    found = parsed(hostile)
    names = {t for t, _ in found.tags}
    assert not names & {"img", "iframe", "link", "object", "embed", "form"}
    assert [a for t, a in found.tags if t == "script" and "type" not in a] == [{}]  # the page's own; others hold data
    attributes = [(k, v or "") for _, a in found.tags for k, v in a.items()]
    assert not [k for k, _ in attributes if k.startswith("on")]
    assert not [v for k, v in attributes if k in ("href", "src", "xlink:href") and not v.startswith("#")]
    assert "<script>alert('x')</script>" in found.text and "{{ 7 * 7 }}" in found.text
    assert "ValueError: <script>alert('planted')</script>" in found.text


def test_page_is_one_file_with_a_policy(hostile: Path) -> None:
    page = (hostile / "index.html").read_text()
    policy = next(
        a["content"]
        for t, a in parsed(hostile).tags
        if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy and policy.startswith("default-src 'none'") and "script-src 'sha256-" in policy
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", page) and "@import" not in page
    assert len(page) < 3_000_000


def test_failed_cells_and_reproduction_are_told(hostile: Path) -> None:
    text = parsed(hostile).text
    about = json.loads((hostile / "run.json").read_text())
    assert "1 cell failed" in text and "bad-s1" in text
    assert about["spec_digest"] in text and about["dataset"]["digest"] in text
    assert "torch" in text and about["environment"]["cpu"] in text


def test_page_is_drawn_once_for_its_scores(hostile: Path) -> None:
    page = hostile / "index.html"
    before = page.stat().st_mtime_ns
    report(hostile)
    assert page.stat().st_mtime_ns == before
    report(hostile, again=True)
    assert page.stat().st_mtime_ns != before


def test_scores_have_intervals_and_three_states(hostile: Path) -> None:
    echo = scores_json(hostile)["systems"]["echo"]
    em = echo["scores"]["em"]
    assert em["n"] == 40 and 0 <= em["low"] <= em["mean"] <= em["high"] <= 1 and em["strata"]
    assert echo["scores"]["k_precision"] is None and echo["scores"]["recall_at_k"] is None  # does not apply
    assert echo["scores"]["contains"]["mean"] == 0.0  # applies, and is bad
    assert echo["memory"]["peak_gpu_allocated_bytes"] is None
    assert echo["speed"]["n"] == 16 and echo["speed"]["p90_s"] is None and echo["speed"]["questions_per_s"] > 0


def test_scores_as_a_frame(hostile: Path) -> None:
    frame = scores(hostile)
    row = frame[(frame.system == "echo") & (frame.metric == "em") & (frame.stratum == "all")]
    assert len(row) == 1 and int(row.n.iloc[0]) == 40


def test_failed_questions_count_as_wrong(tmp_path: Path) -> None:
    outcome = run(parse(raw_spec(systems=[{"name": "echo", "kind": ECHO}])), out=tmp_path, store=tmp_path / "s")
    path = outcome.folder / "records.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for r in rows:
        r["answer"] |= {"text": (r["answers"] or ["unknown"])[0], "error": None}
    about = outcome.folder / "run.json"
    about.write_text(
        json.dumps(json.loads(about.read_text()) | {"files": {}, "seal": ""})
    )  # as of a run that knew no digests
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert scores_json(outcome.folder)["systems"]["echo"]["scores"]["em"]["mean"] == 1.0
    for r in rows[:9]:
        r["answer"]["error"] = "planted"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    scored = scores_json(outcome.folder)["systems"]["echo"]
    assert scored["scores"]["em"]["mean"] == pytest.approx(31 / 40) and scored["scores"]["em"]["n"] == 40
    assert scored["errors"] == 9


def test_compare_pairs_by_question_and_tells_the_specs_apart(tmp_path: Path) -> None:
    folders = [
        run(
            parse(raw_spec(name=name, generation={"max_new_tokens": n, "batch_size": 8})),
            out=tmp_path,
            store=tmp_path / "s",
        ).folder
        for name, n in (("a", 4), ("b", 5))
    ]
    found = compare(*folders)
    assert found.spec == {"name": ("a", "b"), "generation.max_new_tokens": (4, 5)}
    em = next(row for row in found.rows if row.measure == "em")
    assert (em.difference, em.n) == (0.0, 40)


def test_line_separators_in_a_corpus_do_not_split_records(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("corpus", "train", "test"):
        rows = [json.loads(line) for line in (MINI / f"{name}.jsonl").read_text().splitlines()]
        for r in rows:
            r.update({k: f"{r[k]} \u2028 \u2029 \x85 {r[k]}" for k in ("text", "question") if k in r})
        (data / f"{name}.jsonl").write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
    outcome = run(parse(raw_spec(dataset={"path": str(data)})), out=tmp_path / "r", store=tmp_path / "s")
    assert scores_json(outcome.folder)["systems"]["echo"]["n"] == 40


def test_relevance_is_of_all_that_was_retrieved_and_grounding_of_what_was_shown() -> None:
    from bench.core.vocabulary import Answer, Hit, Record
    from bench.execution.run_file import SystemEntry
    from bench.scoring.grade import per_question

    hits = (Hit("a", "a", "nothing", 2.0), Hit("g", "g", "the answer is 14", 1.0))
    answer = Answer("14", hits, shown=1, truncated=True)
    record = Record("c", "s", 1, "q", "all", "q", "?", ("14",), ("g",), (), answer, 0, 1, 0.1, 0.1)
    system = SystemEntry(kind="rag", config={"prompt": {"abstain": ["unknown"]}, "retrieval": {"k": 2}})
    (values,) = per_question([record], system)
    assert values["recall_at_k"] == 1.0 and values["mrr"] == 0.5
    assert values["k_precision"] == 0.0 and values["citation_recall"] == 0.0


def test_seeds_are_no_further_latency_samples() -> None:
    from bench.core.vocabulary import Answer, Record
    from bench.scoring.resources import speed

    rows = [
        Record(f"c{s}", "s", s, f"q{i}", "all", "", "?", (), (), (), Answer("x"), i, 1, 0.1, 0.1 * s)
        for s in (1, 2, 3)
        for i in range(64)
    ]
    found = speed(rows)
    assert found.n == 64 and found.p95_s is None and abs((found.p50_s or 0.0) - 0.2) < 1e-9


def test_a_run_in_which_everything_failed_still_has_its_page(tmp_path: Path) -> None:
    systems = [{"name": "bad", "kind": ECHO, "fault": "raise", "after": 0}]
    outcome = run(parse(raw_spec(systems=systems, measure={"warmup": 0})), out=tmp_path, store=tmp_path / "s")
    scores_json(outcome.folder)
    report(outcome.folder)
    assert "No system finished" in parsed(outcome.folder).text and "planted" in parsed(outcome.folder).text


def test_a_run_of_experiments_alone_opens_them(tmp_path: Path) -> None:
    """Of the published run on a GPU, whose time ended before any system was done: nothing is said of systems."""
    for name in ("run.json", "scores.json"):
        shutil.copy(ROOT / "reports" / "published" / "nvidia-h200-shapes" / name, tmp_path / name)
    report(tmp_path)
    page = parsed(tmp_path)
    opened = {about["id"] for tag, about in page.tags if tag == "details" and "open" in about}
    assert {"claims", "slowdown"} <= opened and "3 cells unfinished" in page.text and "NVIDIA H200" in page.text
    assert "GPU memory was not measured" not in page.text and "judge" not in page.text.partition("Glossary")[0]


def test_a_run_that_was_killed_is_no_run_to_score(tmp_path: Path) -> None:
    """A kill in a second run leaves the records of the first beside a header without cells."""
    outcome = run(parse(raw_spec()), out=tmp_path, store=tmp_path / "s")
    about = json.loads((outcome.folder / "run.json").read_text()) | {"seal": ""}
    del about["cells"]
    (outcome.folder / "run.json").write_text(json.dumps(about | {"status": "incomplete"}))
    with pytest.raises(UserError, match="stopped before it ended"):
        scores_json(outcome.folder)


def test_scores_as_tables_and_a_page_over_the_runs(hostile: Path) -> None:
    import pandas

    from bench.report.export import FORMATS
    from bench.report.site import index

    for form, start in (("csv", "system,metric,stratum"), ("markdown", "| system | metric |"), ("json", "[")):
        path = FORMATS[form](hostile)
        assert path.read_text().startswith(start) and "echo" in path.read_text()
        path.unlink()
    frame = pandas.read_parquet(FORMATS["parquet"](hostile))
    assert set(frame[frame.status == "done"].system) == {"echo", "other"}
    (failed,) = frame[frame.status == "failed"].itertuples()
    assert failed.system not in ("echo", "other") and failed.metric == "" and failed.n == 0
    page = index(hostile.parent)
    assert HOSTILE not in page.read_text() and 'href="t/index.html"' in page.read_text()
    with pytest.raises(UserError, match="no run here"):
        index(hostile)


def test_a_run_that_cannot_be_read_does_not_hide_the_others(hostile: Path, tmp_path: Path) -> None:
    from bench.report.site import index

    shutil.copytree(hostile, tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text('{"name": "x"}')
    drawn = index(tmp_path).read_text()
    assert 'href="good/index.html"' in drawn and "Cannot be read" in drawn


def test_a_long_stage_says_how_far_it_is_every_half_minute(capsys: pytest.CaptureFixture[str]) -> None:
    from bench.cli.progress import Lines

    now = [0.0]
    lines = Lines(as_json=False, clock=lambda: now[0])
    lines.begin(2)
    lines.cell("rag-s1", 1)
    for second in range(0, 100, 10):
        now[0] = float(second)
        lines.stage("embeddings", 100 * second, 40_000)
    told = capsys.readouterr().err.splitlines()
    assert told[1:] == [
        "[1/2] rag-s1: embedding",
        "[1/2] rag-s1: embedding, 3,000 of 40,000, about 370 s left",
        "[1/2] rag-s1: embedding, 6,000 of 40,000, about 340 s left",
        "[1/2] rag-s1: embedding, 9,000 of 40,000, about 310 s left",
    ]
