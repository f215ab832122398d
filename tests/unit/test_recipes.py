"""What a recipe of tuning says is what is done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import get_scheduler

from bench.core.blocks import Model, Prompt, Search, Tuning
from bench.core.store import Store
from bench.data.formats import native
from systems.parts import train, tuned
from tests.conftest import MINI

TASK = native.read_folder(MINI)


def recipe(tiny_lm: Path, method: str = "lora", **tuning: Any) -> train.Recipe:
    options = Tuning.model_validate({"rank": 2, "batch_size": 4, "max_steps": 3, **tuning})
    return train.Recipe(method, Model(name=str(tiny_lm)), "native", Prompt(system=""), options, 1)


def test_a_search_keeps_a_rate_that_it_does_not_search(tiny_lm: Path) -> None:
    kept = recipe(tiny_lm, "full", full_learning_rate=5e-3, search={"epochs": [1, 2]})
    assert {trial.tuning.full_learning_rate for trial in tuned.trials(kept)} == {5e-3}
    searched = replace(kept, tuning=kept.tuning.model_copy(update={"search": Search(learning_rate=(1e-3, 1e-2))}))
    assert {trial.tuning.full_learning_rate for trial in tuned.trials(searched)} == {None}


@pytest.mark.parametrize(
    ("schedule", "warmup", "shares"),
    [
        ("constant", 0.0, [1, 1, 1, 1]),
        ("constant", 0.5, [0, 0.5, 1, 1]),
        ("linear", 0.5, [0, 0.5, 1, 0.5]),
        ("linear", 1.0, [0, 0.25, 0.5, 0.75]),
    ],
)
def test_the_rate_is_warmed_up(
    schedule: str, warmup: float, shares: list[float], tiny_lm: Path, tmp_path: Path
) -> None:
    args = train.arguments(recipe(tiny_lm, schedule=schedule, warmup=warmup, max_steps=4), tmp_path)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    rates = get_scheduler(
        args.lr_scheduler_type, optimizer, num_warmup_steps=args.get_warmup_steps(4), num_training_steps=4
    )
    seen = []
    for _ in shares:
        seen.append(rates.get_last_lr()[0])
        optimizer.step()
        rates.step()
    assert seen == pytest.approx(shares)


def test_accumulated_batches_count_as_one_of_their_size(tiny_lm: Path, tmp_path: Path) -> None:
    """Ten rows, eight a step: the second step of an epoch takes the two that are left, whatever the batches."""
    material = replace(TASK.material, train=TASK.material.train[:10])
    counted = {}
    for batch, each in ((8, 1), (2, 4)):
        made = recipe(tiny_lm, batch_size=batch, gradient_accumulation=each)
        folder = tmp_path / str(batch)
        folder.mkdir()
        counted[batch] = train.train(made, material, Store(tmp_path / "s"), folder)["tokens"]
    assert counted[8] == counted[2]


@pytest.mark.filterwarnings("ignore::UserWarning")  # PEFT says as much
def test_an_adapter_of_embeddings_that_the_head_shares_is_not_merged(tiny_lm: Path, tmp_path: Path) -> None:
    made = recipe(tiny_lm, targets=("embed_tokens", "q_proj"))
    with pytest.raises(ValueError, match="which this model shares with its head"):
        tuned.tuned(made, TASK.material, Store(tmp_path), "merged")
