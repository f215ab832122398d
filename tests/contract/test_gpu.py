"""What only a GPU can show, at the smallest size: marks, numbers, peaks, and a cell that does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bench import parse
from bench.core.blocks import Model, Prompt, Tuning
from bench.core.checkpoint import tensors
from bench.core.memory import Memory
from bench.core.store import Store
from bench.data.formats import native
from bench.execution.run import run
from bench.execution.run_file import RunFile, read_run
from bench.verdict.score import read_scores, score
from systems import slowdown
from systems.parts import adapter, lm, train
from tests.conftest import MINI, raw_spec

pytestmark = pytest.mark.gpu
SHAPE = {"shape": "100m"}


@pytest.fixture(autouse=True)
def _a_card() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Systems of one size, one that is asked for a single token, one on the processor, and one that does not fit."""
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    root = tmp_path_factory.mktemp("gpu")
    systems = [
        {"name": "one-token", "kind": "closed_book", "generation": {"max_new_tokens": 1}},
        {"name": "on-cpu", "kind": "closed_book", "model": {"shape": "tiny", "device": "cpu"}},
        {"name": "lora", "kind": "lora"},
        {"name": "qlora", "kind": "qlora"},
        {"name": "too-large", "kind": "closed_book", "model": {"shape": "llama3-70b", "dtype": "float32"}},
    ]
    tuning = {"rank": 4, "epochs": 1, "batch_size": 2, "max_steps": 4}
    spec = raw_spec(model=SHAPE, systems=systems, tuning=tuning, measure={"latency_questions": 16, "warmup": 2})
    folder = run(parse(spec), out=root / "r", store=root / "s").folder
    score(folder)
    return read_run(folder), read_scores(folder)


def test_the_first_token_is_marked_when_it_is_there(measured: Any) -> None:
    """Of an answer of one token it is nearly the whole time; a launch alone would be a fraction of it."""
    speed = measured[1].measured["one-token"].speed
    assert 0.8 < speed.first_token_s / speed.p50_s <= 1.0


def test_each_system_has_bytes_on_the_gpu_and_the_processor_has_none(measured: Any) -> None:
    done = measured[1].measured
    assert done["on-cpu"].memory.peak_gpu_allocated_bytes is None
    assert not any(gpu for _, _, gpu, _ in measured[0].cells["on-cpu-s1"].memory.trace)  # its libraries open none
    for name in ("lora", "qlora"):
        found = done[name]
        assert found.device == "cuda" and found.memory.peak_gpu_allocated_bytes >= found.memory.weights_bytes
        assert found.build.train_peak_gpu_bytes and found.build.train_load_peak_gpu_bytes
    assert done["lora"].build.batches_sha256 == done["qlora"].build.batches_sha256
    assert done["qlora"].memory.weights_bytes < done["lora"].memory.weights_bytes


def test_running_out_of_memory_costs_its_cell_alone(measured: Any) -> None:
    found: RunFile = measured[0]
    large = found.cells["too-large-s1"]
    assert (large.reason or "").startswith("out of memory") and large.memory is not None
    assert [name for name, cell in found.cells.items() if not cell.is_done] == ["too-large-s1"]


def test_the_place_of_a_build_is_the_card(measured: Any) -> None:
    cell = measured[0].cells["lora-s1"]
    places = {a.kind: a.place for a in cell.artefacts}
    assert places["adapter"] == torch.cuda.get_device_name() and not cell.brought


@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_is_saved_has_the_number_of_the_base(method: str, tiny_lm: Path, tmp_path: Path) -> None:
    """Trained in float32, served as the base is."""
    asked = Tuning(rank=2, epochs=1, max_steps=1, batch_size=2)
    recipe = train.Recipe(method, Model(name=str(tiny_lm), dtype="bfloat16"), "native", Prompt(system=""), asked, 1)
    train.train(recipe, native.stored(MINI).material, Store(tmp_path / "s"), tmp_path / "f")
    _, found = tensors(next((tmp_path / "f" / "model").glob("*.safetensors")))
    assert {tensor["dtype"] for tensor in found.values()} == {"BF16" if method == "full" else "F32"}


def test_peaks_of_steps_are_without_loading_and_nvml_sees_more(tmp_path: Path) -> None:
    """The state of a paged optimiser is where torch's allocator does not see it."""
    found = {}
    for optimiser in ("adamw", "paged_adamw_32bit"):
        tuning = Tuning(rank=64, optimiser=optimiser)
        alone = {"name": "alone", "kind": "slowdown", "tokens": [256], "memory_runs": 1, "alone": True}
        spec = raw_spec(model=SHAPE, systems=[{**alone, "tuning": tuning.model_dump(exclude_unset=True)}])
        folder = run(parse(spec), out=tmp_path / optimiser, store=tmp_path / "s").folder  # pytest has opened the device
        found[optimiser] = read_run(folder).cells["alone-s1"].facts["memory"]
        assert found[optimiser]["loading"]["qlora"] and found[optimiser]["qlora_bytes"]
        process = found[optimiser]["process"]["qlora"]  # None in a container, where NVML does not tell
        assert process is None or process > found[optimiser]["qlora_bytes"]
    assert found["paged_adamw_32bit"]["qlora_bytes"] < found["adamw"]["qlora_bytes"]


def test_both_arms_compute_in_one_number() -> None:
    config = slowdown.Config(model=Model(shape="tiny"), tokens=(64,), tuning=Tuning(rank=4))
    numbers = []
    for precision in ("native", "nf4"):
        trained = adapter.Trained(config, precision=precision)
        trained.step(trained.batch(64, 1, seed=1))
        numbers.append((trained.number, {p.dtype for n, p in trained.model.named_parameters() if "norm" in n}))
    assert numbers[0] == numbers[1] and numbers[0][0] == lm.autocast(config.model)


def test_a_card_is_metered_by_phase() -> None:
    with Memory(whole_process=False) as memory:
        large = torch.empty(200_000_000, dtype=torch.uint8, device="cuda")
        del large
        memory.phase("steps")
        small = torch.empty(50_000_000, dtype=torch.uint8, device="cuda")
        del small
    by_phase = memory.facts()["peak_gpu_allocated_by_phase_bytes"]
    assert by_phase["build"] >= 200_000_000 and 50_000_000 <= by_phase["steps"] < 200_000_000
