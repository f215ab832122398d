"""Training in two processes of this machine (gloo): the same losses and weights as in one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bench.core.blocks import Model, Prompt, Tuning
from bench.core.child_process import ChildFailed
from bench.core.store import Store
from bench.core.vocabulary import JSON
from bench.data.formats import native
from systems.parts import lm, processes
from systems.parts.train import Recipe
from tests.conftest import MINI

TASK = native.stored(MINI)  # as a cell reads it
MATERIAL = replace(TASK.material, train=TASK.material.train[:32])  # whole batches: the last one is not filled up


def trained(folder: Path, base: Path, *, method: str = "lora", **tuning: Any) -> tuple[JSON, dict[str, torch.Tensor]]:
    """(facts, weights) of a tuning of the base."""
    asked = Tuning(batch_size=8, epochs=2, learning_rate=1e-2, full_learning_rate=1e-3, rank=4, **tuning)
    recipe = Recipe(method, Model(name=str(base)), "native", Prompt(system=""), asked, 1)
    folder.mkdir()
    # one is a process of its own too: this one must still be able to fork when it has run these tests
    facts = processes.train(recipe, MATERIAL, Store(folder / "store"), folder)
    return facts, load_file(next((folder / "model").glob("*.safetensors")))


@pytest.mark.heavy
@pytest.mark.parametrize("method", ["lora", pytest.param("full", marks=pytest.mark.slow)])
def test_two_processes_train_as_one(tmp_path: Path, tiny_lm: Path, method: str) -> None:
    alone, weights = trained(tmp_path / "one", tiny_lm, method=method)
    together, others = trained(tmp_path / "two", tiny_lm, method=method, processes=2)
    assert together["final_loss"] == pytest.approx(alone["final_loss"], abs=1e-4)
    for fact in ("steps", "tokens", "examples", "trainable_parameters"):
        assert together[fact] == alone[fact]
    assert weights.keys() == others.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(others[name], weight, atol=1e-3, rtol=1e-2)


@pytest.mark.slow
def test_what_fails_in_a_process_is_said_once(tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match="no-such-model"):
        trained(tmp_path / "f", tmp_path / "no-such-model", processes=2)


def test_weights_are_sharded_on_gpus_alone(tmp_path: Path, tiny_lm: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ValueError, match="needs GPUs"):
        trained(tmp_path / "f", tiny_lm, processes=2, sharded=True)


def test_four_bit_weights_that_are_sharded_are_kept_in_the_number_of_the_model(tiny_lm: Path) -> None:
    found = {}
    for sharded in (False, True):
        model, _ = lm.load(Model(name=str(tiny_lm)), precision="nf4", sharded=sharded)
        found[sharded] = {p.dtype for p in model.parameters() if getattr(p, "quant_state", None) is not None}
    assert found == {False: {torch.uint8}, True: {torch.float32}}


@pytest.mark.gpu
def test_two_gpus_hold_a_part_each(tmp_path: Path, tiny_lm: Path) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    alone, _ = trained(tmp_path / "one", tiny_lm)
    together, _ = trained(tmp_path / "two", tiny_lm, processes=2, sharded=True)
    assert together["final_loss"] == pytest.approx(alone["final_loss"], rel=1e-2)
