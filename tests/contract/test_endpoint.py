"""Systems that need no weights, on an OpenAI-compatible endpoint: a real server on loopback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import parse
from bench.execution.run import run
from tests.conftest import EMBEDDER, raw_spec, scores_json

SECRET = "sk-planted-secret"


@pytest.mark.heavy
def test_closed_book_oracle_and_rag_on_an_endpoint(server: str, tmp_path: Path) -> None:
    import os

    os.environ["PLANTED_KEY"] = SECRET
    served = {"name": "good", "base_url": server, "api_key_env": "PLANTED_KEY"}
    systems = [
        {"name": "closed", "kind": "closed_book"},
        {"name": "oracle", "kind": "oracle"},
        {"name": "rag", "kind": "rag"},
        {"name": "broken", "kind": "closed_book", "model": {"name": "broken"}},
    ]
    try:
        spec = parse(raw_spec(model=served, embedder={"name": str(EMBEDDER)}, systems=systems))
        outcome = run(spec, out=tmp_path / "r", store=tmp_path / "s")
    finally:
        del os.environ["PLANTED_KEY"]
    assert list(outcome.failed) == ["broken-s1"]
    assert "each of 40 questions failed; the first: endpoint answered 500" in outcome.failed["broken-s1"]
    assert not (outcome.folder / "cells" / "broken-s1" / "records.jsonl").exists()  # they are asked again
    found = scores_json(outcome.folder)["systems"]
    rows = [json.loads(line) for line in (outcome.folder / "records.jsonl").read_text().splitlines()]
    assert {r["answer"]["text"] for r in rows if r["system"] != "broken"} == {"fourteen"}
    assert all(r["first_token_s"] for r in rows if r["system"] == "closed" and r["latency_s"])
    assert found["rag"]["scores"]["recall_at_k"]["mean"] > 0.9 and found["closed"]["errors"] == 0
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and SECRET in p.read_text(errors="ignore")]
