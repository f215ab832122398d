"""Tuned models from the store, as they are served: trained once, searched over, merged where that is asked for."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer

from bench.core import meters
from bench.core.blocks import Serving
from bench.core.store import Store
from bench.core.vocabulary import JSON, Example, Material
from systems.parts import lm, processes, train
from systems.parts.train import Recipe


def tuned(recipe: Recipe, material: Material, store: Store, serving: Serving) -> tuple[Any, Any]:
    """(tuned model, tokenizer), as it is to be served. With a search, the trial of the lowest dev loss; every trial is
    in the accounts."""
    material = replace(material, train=drawn(material.train, recipe.tuning.examples, recipe.seed))
    built = [(*store.get(r.json(material), partial(_made(r), r, material, store)), r) for r in trials(recipe)]
    folder, artefact, best = min(
        built, key=lambda b: math.inf if b[1].facts["dev_loss"] is None else float(b[1].facts["dev_loss"])
    )
    meters.note("tuning", dict(artefact.facts) | {"trials": len(built)})
    if serving == "adapter":
        return open_tuned(best, folder)
    whole, _ = store.get({"kind": "merged", "version": 1, "adapter": artefact.digest}, partial(merge, best, folder))
    precision = "nf4" if serving == "merged_nf4" else "native"
    return lm.load(best.model, precision=precision, folder=str(whole / "model"))


def _made(recipe: Recipe) -> Callable[[Recipe, Material, Store, Path], dict[str, JSON]]:
    """What trains it: this process, or several."""
    return train.train if recipe.tuning.processes == 1 else processes.train


def drawn(train: Sequence[Example], count: int | None, seed: int) -> tuple[Example, ...]:
    """Some of the training questions, in their order; a smaller draw of the same seed is part of a larger one."""
    if count is None or count >= len(train):
        return tuple(train)
    order = list(range(len(train)))
    random.Random(f"{seed}/examples").shuffle(order)
    kept = set(order[:count])
    return tuple(e for i, e in enumerate(train) if i in kept)


def trials(recipe: Recipe) -> list[Recipe]:
    """The recipes of a search: `trials` draws without replacement from its grid, the same for every system."""
    search = recipe.tuning.search
    if search is None:
        return [recipe]
    grid = search.grid
    random.Random(f"{recipe.seed}/search").shuffle(grid)
    searched: dict[str, None] = {"full_learning_rate": None} if search.learning_rate else {}  # which it would override
    tunings = [recipe.tuning.model_copy(update=point | searched) for point in grid[: search.trials]]
    return [replace(recipe, tuning=tuning) for tuning in tunings]


def open_tuned(recipe: Recipe, folder: Path) -> tuple[Any, Any]:
    """(tuned model, tokenizer) from its folder in the store."""
    if recipe.method == "full":
        return lm.load(recipe.model, precision=recipe.precision, folder=str(folder / "model"))
    model, tokenizer = lm.load(recipe.model, precision=recipe.precision)
    generation = model.generation_config
    model = PeftModel.from_pretrained(model, str(folder / "model"))
    model.generation_config = generation
    return model.eval(), tokenizer


def merge(recipe: Recipe, trained: Path, folder: Path) -> dict[str, JSON]:
    """Write the model with its adapter merged into unquantised weights, whatever it was trained on: what QLoRA's
    authors serve. A model that was tuned whole is written as it is."""
    model, tokenizer = open_tuned(replace(recipe, precision="native"), trained)
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    if recipe.method == "lora" and ends[1] is not None and any(isinstance(end, BaseTunerLayer) for end in ends):
        base = model.get_base_model().config
        if getattr(base.get_text_config(), "tie_word_embeddings", False):
            raise ValueError(
                "the adapter is of the embeddings, which this model shares with its head: merged into one it would "
                "change the other. Set `serving: adapter`, or leave them out of `tuning.targets`"
            )
    whole = model.merge_and_unload(safe_merge=True) if recipe.method == "lora" else model
    whole.save_pretrained(str(folder / "model"))
    tokenizer.save_pretrained(str(folder / "model"))
    return {"parameters": sum(p.numel() for p in whole.parameters())}
