"""Exercises that are rehearsed while a model is tuned: how many, which, and what is told where they cannot be read."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from bench.core.blocks import Model, Prompt, Replay, Tuning
from bench.core.errors import UserError
from bench.core.exercises import read_exercises
from bench.core.store import Store
from bench.data.formats import native
from bench.execution.pinning import prepare
from bench.spec.load import parse
from bench.world.world import words
from systems.parts import train
from systems.parts.examples import IGNORED, rehearsed
from tests.conftest import MICRO, MINI, ROOT, raw_spec

REHEARSAL = ROOT / "datasets" / "plant" / "rehearsal.jsonl"


def file(folder: Path, *rows: Any) -> str:
    path = folder / "exercises.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(("share", "beside", "rows"), [(0.2, 8, 2), (0.5, 6, 6), (0.9, 1, 9)])
def test_exercises_make_their_share_of_all_rows(tmp_path: Path, share: float, beside: int, rows: int) -> None:
    tokenizer = AutoTokenizer.from_pretrained(MICRO)
    known = [{"prompt": f"Say {n}.", "answer": str(n)} for n in range(10, 14)]
    replay = Replay(path=file(tmp_path, *known), share=share)
    drawn = rehearsed(tokenizer, replay, beside, seed=1, window=100)
    said = [tokenizer.decode([i for i in row.labels if i != IGNORED]).removesuffix("<end>").strip() for row in drawn]
    assert len(drawn) == rows and max(map(said.count, said)) - min(map(said.count, set(said))) <= 1
    assert [r.ids for r in drawn] == [r.ids for r in rehearsed(tokenizer, replay, beside, seed=1, window=100)]
    assert rows < 3 or [r.ids for r in drawn] != [
        r.ids for r in rehearsed(tokenizer, replay, beside, seed=2, window=100)
    ]
    assert rehearsed(tokenizer, replay, beside, seed=1, window=3) == []


@pytest.mark.heavy
def test_an_adapter_knows_what_it_rehearsed(tmp_path: Path) -> None:
    task, store = native.read_folder(MINI), Store(tmp_path / "s")

    def recipe(answer: str) -> train.Recipe:
        path = file(tmp_path, {"prompt": "Say it.", "answer": answer})
        spec = parse(raw_spec(systems=[{"name": "l", "kind": "lora", "tuning": {"replay": {"path": path}}}]))
        (cell,) = [c for c in prepare(spec, store).cells if c.system == "l"]
        tuning = Tuning.model_validate(cell.config["tuning"]).model_copy(update={"max_steps": 1})
        return train.Recipe("lora", Model(name=str(MICRO)), "native", Prompt(), tuning, 1)

    first, second = recipe("14 rpm"), recipe("15 rpm")
    known = [r.json(task.material) for r in (first, second)]
    assert known[0] != known[1] and "path" not in known[0]["tuning"]["replay"]
    plain = train.Recipe("lora", first.model, "native", first.prompt, Tuning(max_steps=1), 1)
    counts = [
        train.train(r, task.material, store, tmp_path / str(n))["examples"] for n, r in enumerate((plain, second))
    ]
    assert counts[1] == round(counts[0] * 1.25)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"prompt": "Say it."}], r"exercises\.jsonl:1: `answer` must be a non-empty string\. The line has: prompt\."),
        ([{"prompt": 3, "answer": "x"}], "`prompt` must be a non-empty string"),
        ([], "there is no exercise in it"),
    ],
)
def test_what_cannot_be_rehearsed_is_told_before_anything_runs(tmp_path: Path, rows: list[Any], said: str) -> None:
    systems = [{"name": "l", "kind": "lora", "tuning": {"replay": {"path": file(tmp_path, *rows)}}}]
    with pytest.raises(UserError, match=said):
        prepare(parse(raw_spec(systems=systems)), Store(tmp_path / "s"))
    (tmp_path / "exercises.jsonl").unlink()
    with pytest.raises(UserError, match=r"no such file of exercises\. Mend `replay\.path`"):
        prepare(parse(raw_spec(systems=systems)), Store(tmp_path / "s"))


def test_the_embedded_exercises_are_what_their_seed_gives() -> None:
    from systems.micro.rehearsal import exercises

    some = list(itertools.islice(exercises(), 40))
    assert [(row["prompt"], row["answer"]) for row in some] == read_exercises(REHEARSAL)[:40]


def test_the_embedded_exercises_name_nothing_of_the_plant() -> None:
    known = read_exercises(REHEARSAL)
    said = {word.strip(".,?|:") for prompt, answer in known for word in f"{prompt} {answer}".split()}
    assert len(known) == 400 and not said & {*words("plant"), *words("elsewhere")}
    tests = {e.question.text for e in native.read_folder(ROOT / "datasets" / "plant").test}
    assert not any(prompt.splitlines()[-1] in tests for prompt, _ in known)
    assert sum(answer == "unknown" for _, answer in known) > 40
