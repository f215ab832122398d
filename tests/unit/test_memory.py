"""Memory as it is metered: loading apart from the work, one meter inside another, several processes."""

from __future__ import annotations

from pathlib import Path

import pynvml
import pytest

from bench.core import gpu, memory, meters
from bench.core.blocks import Model, Prompt, Tuning
from bench.core.store import Store
from bench.data.formats import native
from bench.execution.cell_result import Memory
from systems.parts import processes, train
from tests.conftest import MINI


class Allocator:
    """torch.cuda, as its allocator: what is held now, and the most since the peaks last began."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def hold(self, more: int) -> None:
        self.now += more
        self.most = max(self.most, self.now)

    def device_count(self) -> int:
        return 1

    def max_memory_allocated(self, _: int) -> int:
        return self.most

    def max_memory_reserved(self, _: int) -> int:
        return 2 * self.most

    def reset_peak_memory_stats(self, _: int) -> None:
        self.most = self.now


def test_the_peak_of_loading_is_told_apart_from_that_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what one meter lets begin anew, the meter around it keeps."""
    card = Allocator()
    monkeypatch.setattr(meters, "cuda_in_use", lambda: card)
    monkeypatch.setattr(meters, "_notes", {})
    with memory.Memory(whole_process=False) as around:
        card.hold(50), card.hold(-40)
        with memory.Memory(whole_process=False) as within:
            card.hold(90), card.hold(-80)  # a shape in 16 bits, that is quantised
            memory.phase("train")
            card.hold(30), card.hold(-30)
        around.phase("answer")
        card.hold(5)
    inner, outer = (Memory.model_validate(m.facts()) for m in (within, around))
    assert (inner.load_peak_gpu_bytes, inner.work_peak_gpu_bytes) == (100, 50)
    assert (outer.load_peak_gpu_bytes, outer.work_peak_gpu_bytes) == (100, 25)
    assert (inner.peak_gpu_allocated_bytes, inner.peak_gpu_reserved_bytes) == (100, 200)
    saved = Memory(peak_rss_growth_bytes=1, peak_gpu_allocated_by_phase_bytes={"build": 9, "train": 5, "save": 8})
    assert (saved.load_peak_gpu_bytes, saved.work_peak_gpu_bytes) == (9, 5)
    assert Memory(peak_rss_growth_bytes=1, peak_gpu_allocated_bytes=7).work_peak_gpu_bytes == 7  # not told apart


def test_what_is_measured_of_the_device_is_in_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Allocator()
    monkeypatch.setattr(meters, "cuda_in_use", lambda: card)
    with memory.Memory(whole_process=False) as found:
        card.hold(50), card.hold(-40)
        with memory.unmetered():
            card.hold(400), card.hold(-400)
        card.hold(5)
    assert found.facts()["peak_gpu_allocated_bytes"] == 50


def test_a_training_tells_loading_and_steps_apart(
    tiny_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Allocator()
    monkeypatch.setattr(meters, "cuda_in_use", lambda: card)
    monkeypatch.setattr(meters, "yardstick", lambda: 1.0)
    material, store = native.stored(MINI).material, Store(tmp_path / "s")
    quick = Tuning(rank=2, epochs=1, max_steps=1, batch_size=2)
    made = train.Recipe("lora", Model(name=str(tiny_lm)), "native", Prompt(system=""), quick, 1)
    _, artefact = store.get(made.json(material), lambda folder: train.train(made, material, store, folder))
    assert list(artefact.memory["peak_gpu_allocated_by_phase_bytes"]) == ["build", "train", "save"]


@pytest.mark.parametrize("found", [None, 7])
def test_processes_that_train_together_take_what_each_takes(found: int | None) -> None:
    one = {
        "peak_rss_growth_bytes": 10,
        "peak_gpu_allocated_bytes": 7,
        "peak_gpu_allocated_by_phase_bytes": {"build": 7, "train": 5},
        "trace": [[0.1, 1, None, "build"]],
        "energy_j": {"cpu": {"train": 3.0}, "gpu": {"train": 2.0}},
    }
    both = processes.together([one, one | {"peak_gpu_allocated_bytes": found}])
    assert both == {
        "peak_rss_growth_bytes": 20,
        "peak_gpu_allocated_bytes": 14 if found else None,
        "peak_gpu_allocated_by_phase_bytes": {"build": 14, "train": 10},
        "energy_j": {"cpu": {"train": 3.0}, "gpu": {"train": 4.0}},
    }


@pytest.mark.parametrize(("rank", "visible", "card"), [(None, "3,4", 3), ("1", "3,4", 4), ("1", None, 1)])
def test_a_process_of_several_asks_after_its_own_card(
    monkeypatch: pytest.MonkeyPatch, rank: str | None, visible: str | None, card: int
) -> None:
    for name, value in (("LOCAL_RANK", rank), ("CUDA_VISIBLE_DEVICES", visible)):
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda number: number)
    found = gpu.gpu.__wrapped__()
    assert found and found.handle == card
