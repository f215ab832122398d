"""P9: scoring ten systems, every pair and the verdict, against torchmetrics and ir-measures called one by one."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.core.files import write_json
from tests.perf import made_run
from tests.perf.peers import Peer, here, in_turns, threads, told

SYSTEMS, QUESTIONS, K = 10, 2_000, 4
WORDS = [
    "torque",
    "pressure",
    "interval",
    "speed",
    "oil",
    "pump",
    "hall",
    "valve",
    "engineer",
    "the",
    "of",
    "is",
    "and",
    "every",
    "page",
]


def made(folder: Path) -> list[dict[str, Any]]:
    """A run of systems that say random words and find random passages; returns its records."""
    rng, hit = random.Random("scoring"), {"text": "words of a passage " * 8, "title": ""}

    def says(_: int, q: int) -> dict[str, Any]:
        said, found = " ".join(rng.choices(WORDS, k=6)), rng.sample(range(12), K)
        hits = [
            {**hit, "chunk_id": f"c{n}", "passage_id": f"p{q}-{n}", "score": 1 - rank / 10}
            for rank, n in enumerate(found)
        ]
        answers = [said if rng.random() < 0.5 else " ".join(rng.choices(WORDS, k=5))]
        return {"text": said, "answers": answers, "hits": hits}

    config = {"retrieval": {"k": K, "chunking": None}}
    return made_run.write(folder, says, systems=SYSTEMS, questions=QUESTIONS, config=config)


def for_peer(rows: list[dict[str, Any]], path: Path) -> None:
    """The same answers and rankings as the peer reads them."""
    retrieval = []
    for start in range(0, len(rows), QUESTIONS):
        of = rows[start : start + QUESTIONS]
        ranked = {r["question"]: {h["passage_id"]: h["score"] for h in r["answer"]["hits"]} for r in of}
        retrieval.append({"qrels": {r["question"]: dict.fromkeys(r["gold"], 1) for r in of}, "run": ranked})
    said = [{"text": r["answer"]["text"], "answers": r["answers"]} for r in rows]
    write_json(path, {"rows": said, "retrieval": retrieval, "k": K})


def test_scoring_a_run(benchmark: Any, tmp_path: Path) -> None:
    for_peer(made(tmp_path), tmp_path / "peer.json")

    def ours() -> None:
        (tmp_path / "scores.json").unlink(missing_ok=True)
        command = [sys.executable, "-X", "importtime", "-m", "bench.cli", "score", str(tmp_path)]
        done = subprocess.run(command, check=True, env=here(), capture_output=True, text=True)
        assert "| torch\n" not in done.stderr

    with Peer("score", threads=threads()) as peer:
        found = peer.ask(file=str(tmp_path / "peer.json"))
        ratios = in_turns(ours, lambda: peer.ask(file=str(tmp_path / "peer.json")), pairs=3)
    scores = json.loads((tmp_path / "scores.json").read_text())["systems"]
    for n in range(SYSTEMS):
        mine = scores[f"system-{n}"]["scores"]
        for ours_name, theirs in (("em", "em"), ("f1", "f1"), ("mrr", f"RR@{K}"), ("recall_at_k", f"R@{K}")):
            part = found[theirs][n * QUESTIONS : (n + 1) * QUESTIONS]
            assert mine[ours_name]["mean"] == pytest.approx(sum(part) / QUESTIONS, abs=1e-6)  # torchmetrics: float32
    what = f"scoring {SYSTEMS} x {QUESTIONS:,} answers, every pair and the verdict"
    note = "torchmetrics and ir-measures compare nothing; ours never imports torch, its start is counted"
    assert told(benchmark, "P9", what, "torchmetrics, ir-measures", ratios, ours, target=0.20, note=note) < 4
