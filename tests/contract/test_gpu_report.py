"""The one command for a GPU, as it runs without one; and what its page shows of a GPU's memory."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from bench import parse
from bench.core.digest import sealed
from bench.execution.run import run
from bench.execution.run_file import read_run
from bench.report import report
from bench.verdict.score import read_scores
from tests.conftest import ROOT, raw_spec, scores_json
from tests.gpu_report import checks, training_share


@pytest.mark.slow
def test_gpu_report_passes_on_a_processor_with_tiny_shapes(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU: `make gpu-report` takes the published sizes here")
    recipe = subprocess.run(["make", "-n", "gpu-report"], cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = (line for line in recipe.stdout.splitlines() if "ragtune run" in line)
    command = [*shlex.split(line), "--out", str(tmp_path / "r"), "--store", str(tmp_path / "s")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "r" / "gpu-shapes-tiny"
    run_file, scores = read_run(folder), read_scores(folder)
    assert {cell.status for cell in run_file.cells.values()} == {"done"} and len(run_file.cells) == 13
    told = list(checks(run_file, scores))
    assert [check for check in told if check.holds is False] == []
    assert [check.holds for check in told[:4]] == [True] * 4  # cells, batches, first token, no bytes on a GPU
    assert [len(facts.points) for facts in scores.slowdowns] == [4, 2, 2, 4, 0]
    page = (folder / "index.html").read_text()
    assert "The weights are random" in page and "GPU memory was not measured: no system ran on a GPU." in page


def test_what_a_card_did_of_what_it_can() -> None:
    """Of the published run: 6 x 8.03 billion x 8,192 operations in 1.074 s, of 654.6 TFLOP/s."""
    folder = ROOT / "reports" / "published" / "nvidia-h200-shapes"
    share = training_share(read_run(folder), read_scores(folder))
    assert share == pytest.approx(6 * 8_030_261_248 * 8192 / 1.0743 / 654.56e12, rel=1e-3)


def test_the_page_shows_the_memory_of_a_gpu(tmp_path: Path) -> None:
    """On a card it is what serving and training take that counts, loading apart, and not what is resident."""
    folder = run(parse(raw_spec()), out=tmp_path / "r", store=tmp_path / "s").folder
    found = scores_json(folder)
    system = found["systems"]["echo"]
    system["memory"] |= {"peak_gpu_allocated_bytes": 3_100_000_000, "load_peak_gpu_bytes": 4_200_000_000}
    system["build"] |= {"train_peak_gpu_bytes": 5_300_000_000, "train_peak_gpu_process_bytes": 6_400_000_000}
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "scores.json").write_text(json.dumps(found | {"seal": sealed(found)}))
    page = report(copy).read_text()
    rows = re.findall(r"<tr[^>]*><th scope=\"row\">echo.*?</tr>", page, re.S)
    (leading,) = (row for row in rows if "3.1 GB / 5.3 GB" in row)
    (memory,) = (row for row in rows if "4.2 GB" in row)
    assert "5.3 GB" in memory and "6.4 GB" in memory and "echo" in leading
    card = {"name": "Card", "memory_bytes": 80_000_000_000, "driver": "5.1", "clock_mhz": 1980, "power_limit_w": 700}
    raw = json.loads((copy / "run.json").read_text())
    cuda = {"cuda": "13.1", "cudnn": 91002, "tf32": False}
    raw["environment"] |= {"gpus": [card], "cuda": cuda}
    (copy / "run.json").write_text(json.dumps(raw | {"seal": sealed(raw)}))
    told = report(copy, again=True).read_text()
    assert "Card, 80 GB, driver 5.1, at most 1,980 MHz, 700 W; CUDA 13.1, cuDNN 91002, TF32 off" in told
    for column in ("GPU allocated", "GPU, loading", "Training: GPU allocated", "Training: GPU, whole process"):
        assert f'<th scope="col">{column}</th>' in page
