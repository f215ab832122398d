"""Energy by the counters of the machine: RAPL as files that a test moves, NVML as an object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.core import energy
from bench.core.display import joules
from bench.core.energy import Meter
from bench.execution.cell_result import CellResult
from bench.report import report
from bench.scoring import resources
from tests.made_up import Made, asked, right, scored

MEMORY = {"peak_rss_growth_bytes": 1}


def package(root: Path, name: str, joules: float, limit: float = 1000.0) -> None:
    (root / name).mkdir(exist_ok=True)
    (root / name / "energy_uj").write_text(f"{joules * 1e6:.0f}\n")
    (root / name / "max_energy_range_uj").write_text(f"{limit * 1e6:.0f}\n")


class Card:
    """A GPU whose counter a test moves."""

    joules: float | None = 5.0

    def energy_j(self) -> float | None:
        return self.joules


def test_phases_add_up_over_packages_and_wrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    package(tmp_path, "intel-rapl:0", 100.0)
    package(tmp_path, "intel-rapl:1", 990.0)
    package(tmp_path, "intel-rapl:0:0", 7.0)  # a part of the first
    card: Any = Card()
    meter = Meter(card)
    package(tmp_path, "intel-rapl:0", 130.0)
    package(tmp_path, "intel-rapl:1", 15.0)  # started again at 1,000 J
    card.joules = 9.0
    meter.end("build")
    package(tmp_path, "intel-rapl:0", 131.0)
    card.joules = 10.5
    meter.end("answer")
    meter.end("answer")
    assert meter.by_phase["cpu"] == pytest.approx({"build": 55.0, "answer": 1.0})
    assert meter.by_phase["gpu"] == pytest.approx({"build": 4.0, "answer": 1.5})


def test_without_counters_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path / "none")
    meter = Meter(None)
    meter.end("build")
    assert meter.by_phase == {}


def cell(**facts: Any) -> CellResult:
    return CellResult.model_validate({"system": "s", "kind": "lora", "seed": 1, "status": "done", **facts})


def test_energy_of_training_and_of_a_thousand_questions_by_hand() -> None:
    trained = MEMORY | {"energy_j": {"gpu": {"build": 300.0, "x": 60.0}}}
    adapter = {"kind": "adapter", "build_s": 1.0, "bytes": 1, "hit": False, "memory": trained}
    memory = MEMORY | {"energy_j": {"gpu": {"build": 9.0, "answer": 50.0}, "cpu": {"answer": 25.0}}}
    gpu, cpu = resources.energy([cell(memory=memory, asked_here=200, artefacts=[adapter])])
    assert (gpu.source, gpu.training_j, gpu.thousand_questions_j) == ("gpu", 360.0, 250.0)
    assert (cpu.source, cpu.training_j, cpu.thousand_questions_j) == ("cpu", None, 125.0)
    assert resources.energy([cell(memory=MEMORY, asked_here=200)]) == ()
    assert resources.energy([cell(memory=memory)]) == ()  # nobody knows how many were asked


def test_the_page_tells_energy_and_money_for_right_answers(tmp_path: Path) -> None:
    memory = MEMORY | {"energy_j": {"cpu": {"answer": 50.0}}}
    made = Made(right(0.5), cell={"memory": memory, "asked_here": 100})
    found = scored(tmp_path / "r", {"a": made}, asked(100)).measured["a"]
    share = found.score("em")
    assert share is not None and found.energy[0].thousand_questions_j == 500.0
    page = report(tmp_path / "r").read_text()
    assert f"<td>500 J</td><td>{joules(500.0 / share.mean)}</td>" in page and "1,000 right answers" in page
    scored(tmp_path / "none", {"a": Made(right(0.5))}, asked(100))
    assert "not measured: no counter could be read" in report(tmp_path / "none").read_text()


def test_units() -> None:
    assert [joules(v) for v in (None, 4.0, 1234.0, 2.5e6)] == ["n/a", "4 J", "1.23 kJ", "2.5 MJ"]
