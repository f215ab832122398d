"""P3 to P5: four systems together, LoRA on mixed lengths, and QLoRA over LoRA, against scripts at the defaults."""

from __future__ import annotations

import contextlib
import gc
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import Trainer

from bench.core.blocks import Model, Prompt, Tuning
from bench.core.files import read_jsonl
from bench.core.vocabulary import Example, Material, Question
from bench.core.window import titled
from bench.data.formats import native
from bench.execution.environment import for_cells
from systems.parts import last_layer, lora_step, train
from tests.conftest import EMBEDDER, MICRO
from tests.perf.peers import HERE, PAIRS, PLANT, here, in_turns, plain, threads, told
from tests.perf.test_answering import asked

SYSTEMS = ("closed_book", "rag", "lora", "hybrid")
COUNT, EPOCHS = 120, 2


def plan(folder: Path) -> dict[str, Any]:
    """What the scripts are given: as much of the plant as the spec of ours takes."""
    task = native.read_folder(PLANT)
    taught = [e for e in task.train if e.answers][:COUNT]
    return {
        "model": str(MICRO),
        "embedder": str(EMBEDDER),
        "passages": [{"titled": titled(p.title, p.text), "text": p.text} for p in task.corpus],
        "questions": [e.question.text for e in task.test[:COUNT]],
        "pairs": [(e.question.text, (e.answers or ("",))[0]) for e in taught],
        "k": 4,
        "batch": 16,
        "new_tokens": 16,
        "lora": {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"},
        "training": {"num_train_epochs": EPOCHS, "per_device_train_batch_size": 8, "learning_rate": 1e-3},
        "out": str(folder / "trainer"),
    }


def spec(folder: Path) -> Path:
    """The same as a spec: the first questions and pairs of the plant, written as a dataset of its own."""
    data = folder / "data"
    data.mkdir()
    shutil.copy(PLANT / "corpus.jsonl", data)
    for split in ("train", "test"):
        rows = [row for _, row in read_jsonl(PLANT / f"{split}.jsonl") if split == "test" or row["answers"]][:COUNT]
        (data / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    systems: list[dict[str, Any]] = [{"name": name, "kind": name} for name in SYSTEMS]
    systems[-1] |= {"rag": "rag", "adapter": "lora"}
    raw = {
        "schema_version": 1,
        "name": "four",
        "dataset": {"path": str(data)},
        "model": {"name": "micro"},
        "embedder": {"name": "micro"},
        "prompt": {
            "system": "", "passage": "{text}\n", "open_book": "{passages}\n{question}", "closed_book": "{question}",
        },
        "generation": {"max_new_tokens": 16, "batch_size": 16},
        "retrieval": {"k": 4},
        "tuning": {"epochs": EPOCHS, "batch_size": 8, "learning_rate": 1e-3, "warmup": 0.0},
        "systems": systems,
        "measure": {"rounds": 0, "latency_questions": 0},
    }  # fmt: skip
    path = folder / "four.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def test_four_systems_together(benchmark: Any, tmp_path: Path) -> None:
    """From a cold store: load, embed, index, train, answer, score and draw, against four scripts that do not score."""
    written, said = tmp_path / "plan.json", dict[str, list[str]]()
    written.write_text(json.dumps(plan(tmp_path)))
    ours_spec, runs = spec(tmp_path), iter(range(99))

    def ours() -> Path:
        out = tmp_path / f"run-{next(runs)}"
        place = here({"RAGTUNE_STORE": str(out / "store")})
        command = [sys.executable, "-m", "bench.cli", "run", str(ours_spec), "--out", str(out)]
        subprocess.run(command, check=True, env=place, capture_output=True)
        return out

    def scripts() -> None:
        for system in SYSTEMS:
            said[system] = output([sys.executable, str(HERE / "script.py"), system, str(written)], plain(here()))

    ratios = in_turns(ours, scripts)
    questions = {t: n for n, t in enumerate(json.loads(written.read_text())["questions"])}
    for _, row in read_jsonl(ours() / "four" / "records.jsonl"):
        if row["system"] in ("closed_book", "rag"):  # what is trained differs by the order of its batches
            assert row["answer"]["text"] == said[row["system"]][questions[row["text"]]]
    what = f"closed book, rag, LoRA and hybrid, {COUNT} questions and pairs, cold store"
    told(benchmark, "P3", what, "four scripts", ratios, ours, target=0.45, note="ours scores and draws the page too")


class Masked(train.Tape):
    """Pads as collators do by default: with a mask."""

    def __call__(self, rows: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        """The batch: (rows, tokens) each."""
        batch = super().__call__(rows)
        lengths = torch.tensor([[len(row["input_ids"])] for row in rows])
        return {**batch, "attention_mask": (torch.arange(batch["input_ids"].shape[1])[None] < lengths).long()}


def test_lora_on_mixed_lengths(benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Trainer with its own order of rows and PEFT's own layers; as many steps on the same tokens."""
    pairs = tuple(Example(Question(q.id, q.text), ("14 rpm",), split="train") for q in asked()[:128])
    tuning = Tuning(epochs=1, batch_size=16, rank=8)
    recipe = train.Recipe("lora", Model(name=str(MICRO)), "native", Prompt(system=""), tuning, 1)
    material, tokens, runs = Material((), pairs), set[int](), iter(range(99))

    def ours() -> None:
        facts = train.train(recipe, material, None, tmp_path / str(next(runs)))
        tokens.add(facts["tokens"])

    def theirs() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(train, "_Grouped", Trainer)
            patch.setattr(train, "Tape", Masked)
            for part, name in ((lora_step, "fused"), (last_layer, "only")):
                patch.setattr(part, name, lambda _: contextlib.nullcontext())
            ours()

    gc.collect()
    gc.freeze()  # as in a cell: what this process holds beside is not looked through after either training
    try:
        ratios = in_turns(ours, theirs)
    finally:
        gc.unfreeze()
    assert len(tokens) == 1
    what, theirs_is = "LoRA on 128 pairs of 10 to 500 tokens", "the Trainer's own order and PEFT's own layers"
    assert told(benchmark, "P4", what, theirs_is, ratios, ours, target=0.70) < 0.95


@pytest.mark.parametrize(
    ("size", "tokens"), [("micro", 64), ("micro", 256), ("micro", 1024), ("micro", 4096), ("100m", 1024)]
)
def test_qlora_over_lora(benchmark: Any, tmp_path: Path, size: str, tokens: int) -> None:
    """How much slower a step is in four bits: ours over how much slower it is at the defaults."""
    pairs = max(PAIRS, 8) if size == "micro" else 8
    named = {"name": str(MICRO)} if size == "micro" else {"shape": size}
    folder = MICRO if size == "micro" else saved(size, tmp_path)

    def ours() -> float:
        asked_for = {"model": named, "tokens": [tokens], "pairs": pairs, "memory_runs": 1, "tuning": {"rank": 16}}
        code = (
            "import json, sys; from systems import slowdown; from bench.core.vocabulary import Material\n"
            "config = slowdown.Config.model_validate(json.loads(sys.argv[1]))\n"
            "print(json.dumps(slowdown.measure(config, Material(()), None)['points'][0]))"
        )
        point = output([sys.executable, "-c", code, json.dumps(asked_for)], for_cells(threads()) | here())
        return float(point["ratio"])

    def theirs() -> float:
        command = [sys.executable, str(HERE / "qlora_script.py"), str(folder), str(tokens), str(pairs)]
        found = output(command, plain(here()))
        return statistics.median(qlora / lora for lora, qlora in found)

    mine, other = ours(), theirs()
    target = 0.90 if tokens >= 1024 else None
    shape, note = "micro" if size == "micro" else "100M", f"{mine:.2f} against {other:.2f}, {pairs} pairs of steps each"
    what = f"a QLoRA step over a LoRA step, {shape}, {tokens:,} tokens"
    ratio = [mine / other]
    assert (
        told(benchmark, "P5", what, "Trainer, PEFT, bitsandbytes", ratio, lambda: None, target=target, note=note) < 1.5
    )


def output(command: list[str], environment: dict[str, str]) -> Any:
    """What a process printed last, as JSON."""
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert not done.returncode, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def saved(shape: str, folder: Path) -> Path:
    """A base of a shape with random weights, as a folder that anyone can load."""
    from systems.parts import lm

    model, tokenizer = lm.load(Model(shape=shape, device="cpu"), precision="native")
    model.save_pretrained(folder / shape)
    tokenizer.save_pretrained(folder / shape)
    return folder / shape
