"""Runs of made-up systems whose truth is known: their files written as a run writes them, then scored for real."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.core.vocabulary import Answer, Hit
from bench.scoring.schema import Costs, Scores
from bench.spec.load import parse
from bench.verdict.score import score
from tests.conftest import raw_spec
from tests.golden.make import STORED

LATENCY_S = 0.01
FAMILY = {"closed_book": "control", "rag": "retrieval", "lora": "tuning"}


@dataclass(frozen=True)
class Asked:
    """A test question. `answers` is `()` where abstaining is right."""

    id: str
    answers: tuple[str, ...] | None = ("yes",)
    choices: tuple[str, ...] = ()
    gold: tuple[str, ...] = ("p",)
    group: str = ""
    stratum: str = "all"
    updated: tuple[str, ...] = ()
    form: str = ""
    facts: tuple[str, ...] = ()
    text: str = ""  # its id, where it is not given
    withdrawn: bool = False


Says = Callable[[Asked, int], Answer]  # of a question and a seed


@dataclass(frozen=True)
class Made:
    """A made-up system. `judged` gives a judge's verdict on a question and a seed: a value, or None where it failed."""

    says: Says
    kind: str = "tests.kinds.echo"
    config: dict[str, Any] = field(default_factory=dict)
    seeds: int = 1
    tuned: bool = False
    latency_s: float = LATENCY_S
    later: Says | None = None
    judged: Callable[[Asked, int], float | None] | None = None
    cell: dict[str, Any] = field(default_factory=dict)
    tokens: int | None = None  # that it was trained on
    scenario: dict[str, Any] | None = None
    on: Sequence[Asked] | None = None  # the questions that it is asked; None: all


def costs(
    build: float,
    thousand: float | None,
    *,
    months: float = 12,
    storage: float = 0.0,
    refresh: float | None = 0.0,
    month: float | None = None,
    ends: tuple[float, float] | None = None,
) -> Costs:
    """USD of a system: `build` is spread over `months`, `ends` are those of `thousand` questions."""
    return Costs(
        build_usd=build,
        thousand_questions_usd=thousand,
        refresh_s=None,
        refresh_usd=refresh,
        storage_usd_per_month=storage,
        fixed_usd_per_month=build / months + storage,
        usd_per_month=month,
        thousand_questions_interval_usd=ends,
    )


def asked(n: int = 300, **more: Any) -> list[Asked]:
    return [Asked(f"q{i}", **more) for i in range(n)]


def right(share: float, salt: str = "", *, seed_sd: float = 0.0) -> Says:
    """Says yes to a share of the questions, and no to the others."""

    def says(question: Asked, seed: int) -> Answer:
        level = share + (seed_sd * random.Random(f"{salt}/{seed}").gauss(0, 1) if seed_sd else 0.0)
        return Answer("yes" if random.Random(f"{salt}/{question.id}/{seed}").random() < level else "no")

    return says


def saying(*said: tuple[range, str], otherwise: str = "no") -> Says:
    """Says a text to the questions of each range."""

    def says(question: Asked, seed: int) -> Answer:
        return Answer(next((text for numbers, text in said if int(question.id[1:]) in numbers), otherwise))

    return says


def turns(latency_s: float, factors: Sequence[float], *, yardsticks: Sequence[float] = ()) -> dict[str, Any]:
    """A cell that was timed in rounds: in each, every time was a factor of `latency_s`; two questions make a batch."""
    beside = yardsticks or [1.0] * len(factors)
    return {
        "turns": [
            {
                "round": number,
                "yardstick_s": [yardstick, yardstick],
                "alone_s": {f"q{i}": factor * first_latency(latency_s, i) for i in range(16)},
                "batches": [[2, 2 * latency_s * factor]],
            }
            for number, (factor, yardstick) in enumerate(zip(factors, beside, strict=True), 1)
        ]
    }


def first_latency(latency_s: float, number: int) -> float:
    """What a made-up system took for a question, when it was first asked."""
    return latency_s * (0.9 + 0.2 * random.Random(f"{number}").random())


def showing(says: Says, *passages: str) -> Says:
    """The same, with passages shown."""
    texts = passages or ("yes and no",)
    return lambda question, seed: Answer(
        said := says(question, seed).text,
        tuple(Hit(f"c{i}", "p", text, 1.0) for i, text in enumerate(texts)) if said else (),
    )


METRICS = ("answer_accuracy",)


def scored(
    folder: Path, systems: dict[str, Made], questions: Sequence[Asked], *, leaked: Sequence[str] = (), **spec: Any
) -> Scores:
    """The scores of a run of these systems, from its files."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = [{"name": name, "kind": "tests.kinds.echo"} for name in systems]
    whole = parse(raw_spec(**{"systems": entries, **spec}))
    raw = json.loads((STORED / "run.json").read_text())
    base = next(iter(raw["systems"].values()))["config"]
    template = next(iter(raw["cells"].values()))
    rows: list[dict[str, Any]] = []
    raw |= {"systems": {}, "cells": {}, "status": "complete", "leaks": {q: ["exact"] for q in leaked}}
    raw |= {"spec": whole.model_dump(mode="json"), "dataset": raw["dataset"] | {"test": len(questions)}}
    verdicts = []
    for name, made in systems.items():
        tuning = {"tuning": whole.tuning.model_dump(mode="json"), "method": "lora"} if made.tuned else {}
        config = _nested({**base, **tuning}, made.config)
        raw["systems"][name] = {
            "kind": made.kind,
            "config": config,
            "family": FAMILY.get(made.kind, "both"),
            "scenario": made.scenario,
        }
        mine = questions if made.on is None else made.on
        for seed in range(1, made.seeds + 1):
            cell = f"{name}-s{seed}"
            raw["cells"][cell] = {**template, "system": name, "kind": made.kind, "seed": seed, **made.cell}
            if made.tokens:
                raw["cells"][cell]["notes"] = {"tuning": {"steps": 10, "tokens": made.tokens, "trials": 1}}
            rows += [_record(cell, name, seed, made, question, number) for number, question in enumerate(mine)]
            if made.judged:
                verdicts += [_verdict(cell, q, made.judged(q, seed)) for q in mine if _speaks(made, q, seed)]
    (folder / "run.json").write_text(json.dumps(raw))
    _write(folder / "records.jsonl", rows)
    if verdicts:
        _write(folder / "judged.jsonl", verdicts)
        (folder / "judge.json").write_text(json.dumps(_judge(verdicts)))
    return score(folder)


def _nested(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A configuration with dotted keys set."""
    found = json.loads(json.dumps(config))
    for key, value in changes.items():
        *above, last = key.split(".")
        block = found
        for step in above:
            block = block.setdefault(step, {})
        block[last] = value
    return dict(found)


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _record(cell: str, name: str, seed: int, made: Made, question: Asked, number: int) -> dict[str, Any]:
    return {
        "cell": cell,
        "system": name,
        "seed": seed,
        "question": question.id,
        "stratum": question.stratum,
        "group": question.group or question.id,
        "text": question.text or question.id,
        "answers": question.answers,
        "gold": question.gold,
        "choices": question.choices,
        "answer": asdict(made.says(question, seed)),
        "batch": number,
        "batch_size": 1,
        "batch_s": made.latency_s,
        "latency_s": first_latency(made.latency_s, number) if number < 100 else None,
        "updated": question.updated,
        "withdrawn": question.withdrawn,
        "form": question.form,
        "facts": question.facts,
        "later": asdict(made.later(question, seed)) if made.later else None,
    }


def _speaks(made: Made, question: Asked, seed: int) -> bool:
    """Whether a judge is asked of the answer."""
    said = made.says(question, seed)
    return not said.error and said.text != "unknown"


def _verdict(cell: str, question: Asked, value: float | None) -> dict[str, Any]:
    error = None if value is not None else "timed out"
    return {"cell": cell, "question": question.id, "metric": METRICS[0], "value": value, "error": error}


def _judge(verdicts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    failed = sum(v["error"] is not None for v in verdicts)
    paid = {"prompt_tokens": 0, "completion_tokens": 0, "usd": None, "cached": 0}
    return {"model": "m", "metrics": METRICS, "verdicts": len(verdicts), "failed": failed, **paid, "calibration": {}}
