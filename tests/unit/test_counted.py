"""What a training computes: what its loss counts, with the loss and the gradients of all that a mask leaves."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from bench.core.blocks import Model, Prompt, Tuning
from bench.core.store import Store
from bench.data.formats import native
from systems.parts import adapter, last_layer, train
from systems.parts.examples import IGNORED
from tests.conftest import MICRO, MINI

ROWS = [  # of a prompt and its answer
    {"input_ids": [5, 6, 7, 8, 9], "labels": [IGNORED, IGNORED, IGNORED, 8, 9]},
    {"input_ids": [5, 6, 7], "labels": [IGNORED, IGNORED, 7]},
    {"input_ids": [9, 8, 7, 6, 5, 4, 3], "labels": [IGNORED] * 6 + [3]},
]


def gradients(model: Any) -> list[torch.Tensor]:
    found = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    return found


@pytest.mark.parametrize("base", ["tiny", "micro"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_loss_and_the_gradients_are_those_of_all_logits(base: str, method: str, tiny_lm: Path) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(tiny_lm if base == "tiny" else MICRO)
    if method == "lora":
        model = adapter.adapted(model, Tuning(rank=4), precision="native", seed=1)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.1)
    asked: list[int] = []
    model.get_output_embeddings().register_forward_hook(lambda _, __, logits: asked.append(logits.shape[1]))
    batch = train.Tape(pad=0)(ROWS)
    mask = torch.tensor([[1] * len(row["labels"]) + [0] * (7 - len(row["labels"])) for row in ROWS])
    everywhere = model(**batch, attention_mask=mask).loss
    everywhere.backward()
    expected = gradients(model)
    few = train.counted(model, batch["labels"])
    with last_layer.only(model.get_base_model() if method == "lora" else model) as last:
        last.positions = few["logits_to_keep"]
        counted = model(**batch, **few).loss
        counted.backward()
    torch.testing.assert_close(counted, everywhere)
    for found, wanted in zip(gradients(model), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)
    assert asked == [7, 4]  # before the answers' tokens: 1, 2 and 3, and 5


def test_a_model_that_cannot_be_asked_computes_all() -> None:
    class Own(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor, labels: torch.Tensor) -> None: ...

    assert train.counted(Own(), torch.tensor([[IGNORED, 3, 4]])) == {}


def test_a_model_on_several_gpus_computes_all(tiny_lm: Path) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(tiny_lm)
    labels = torch.tensor([[IGNORED, 3, 4]])
    for devices, asked in ((["cuda:0", "cuda:0"], 2), (["cuda:0", "cuda:1"], 0)):
        model.hf_device_map = dict(zip(("model.layers.0", "lm_head"), devices, strict=True))
        assert len(train.counted(model, labels)) == asked


def test_a_training_asks_for_no_more(tiny_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the Trainer, with accumulated gradients: the loss that is told is the same."""
    tuning = Tuning(rank=2, max_steps=3, batch_size=2, gradient_accumulation=2)
    recipe = train.Recipe("lora", Model(name=str(tiny_lm)), "native", Prompt(system=""), tuning, 1)
    material = native.stored(MINI).material
    few = train.train(recipe, material, Store(tmp_path / "s"), tmp_path / "few")
    monkeypatch.setattr(train, "counted", lambda model, labels: {})
    every = train.train(recipe, material, Store(tmp_path / "s"), tmp_path / "every")
    assert few["final_loss"] == pytest.approx(every["final_loss"], rel=1e-5)
    assert few["batches_sha256"] == every["batches_sha256"]


@pytest.mark.parametrize("steps", [1, 3])
def test_the_first_step_which_loads_the_kernels_is_not_in_the_step_time(
    steps: int, tiny_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = iter([0.5])
    computed = train.counted

    def counted(model: Any, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        time.sleep(next(slow, 0.0))
        return computed(model, labels)

    monkeypatch.setattr(train, "counted", counted)
    tuning = Tuning(rank=2, max_steps=steps, batch_size=2)
    recipe = train.Recipe("lora", Model(name=str(tiny_lm)), "native", Prompt(system=""), tuning, 1)
    facts: Any = train.train(recipe, native.stored(MINI).material, Store(tmp_path / "s"), tmp_path / "f")
    if steps == 1:
        assert facts["step_s"] == facts["train_loop_s"] >= 0.5  # there is no other
    else:
        assert 0 < 2 * facts["step_s"] <= facts["train_loop_s"] - 0.5
