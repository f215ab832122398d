"""The whole page of a stored run, byte for byte; and its claims against the scores that it was drawn from."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.report import report
from bench.scoring.schema import VERSION
from bench.verdict.score import read_scores, score
from tests.golden.make import STORED

REMEDY = (
    "look at the difference; where it is meant, `python -m tests.golden.make`, or with `--page` where the scores stay"
)


def test_the_scores_are_those_of_the_stored_records(tmp_path: Path) -> None:
    """Scored again from its records, a run of an older version gives the figures that it stored."""
    for name in ("run.json", "records.jsonl"):
        shutil.copy(STORED / name, tmp_path / name)
    found, stored = score(tmp_path), read_scores(STORED)
    assert found.model_copy(update={"source": stored.source, "seal": stored.seal}) == stored


def test_the_page_is_the_stored_one(tmp_path: Path) -> None:
    for name in ("run.json", "scores.json", "records.jsonl"):
        shutil.copy(STORED / name, tmp_path / name)
    assert f'"version": {VERSION},' in (tmp_path / "scores.json").read_text(), REMEDY
    drawn, stored = (p.read_text().splitlines() for p in (report(tmp_path), STORED / "index.html"))
    differing = [(a, b) for a, b in zip(drawn, stored, strict=False) if a != b]
    assert not differing and len(drawn) == len(stored), (REMEDY, differing[:3])
