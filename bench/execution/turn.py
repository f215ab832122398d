"""One turn of a round: a system that was built before answers a few questions again, timed between two yardsticks."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from bench.core import meters, reference
from bench.core.files import read_jsonl
from bench.core.live_peak import live_peak_bytes, returning_at_once
from bench.core.memory import high_water_bytes, rss_bytes
from bench.core.store import Store
from bench.core.system import System, SystemConfig
from bench.core.vocabulary import JSON, Example, Question
from bench.data.formats import native
from bench.execution.cell import batches, sampled, seen_by
from bench.execution.job import Job
from bench.spec import kinds

ALONE = 16  # questions of a turn that are asked one at a time
WARM = 2  # times that the reference is done before it counts
TOGETHER = 1  # batches of the model, of questions that it is given at once


def run(job: Job, folder: Path) -> dict[str, JSON]:
    """Load the system, and time the first of the questions that the cell asked: alone, then in batches. The first
    round measures memory as well, before the times: nothing that an allocator kept is in it."""
    start = rss_bytes()
    kind = kinds.load(job.kind)
    config = kind.Config.model_validate(job.config)
    task = sampled(native.stored(Path(job.task)), config.sample)
    plan = batches(task.test, alone=job.latency_questions, size=config.generation.batch_size)
    measures_memory = job.round == 1
    with returning_at_once() if measures_memory else contextlib.nullcontext():
        system = kind.build(config, task.material, Store(Path(job.store)))
    peak = _peak_bytes(system, _longest(task.test, folder, config)) if measures_memory else None
    alone, rest = plan[: job.latency_questions][:ALONE], plan[job.latency_questions :]
    together = [batch[: TOGETHER * config.generation.batch_size] for batch in rest[:1]]
    warm = [seen_by(example, config) for example in (task.train or task.test)[: job.warmup]]
    for questions in (*([question] for question in warm), warm):  # alone, and as a batch
        system.answer(questions)
    before = meters.yardstick()
    for _ in range(WARM):
        reference.seconds()
    singly = [(_seconds(system, [seen_by(e, config) for e in batch]), reference.seconds()) for batch in alone]
    at_once = [_seconds(system, [seen_by(e, config) for e in batch]) for batch in together]
    return {
        "status": "done",
        "round": job.round,
        "yardstick_s": [before, meters.yardstick()],
        "reference_s": reference.middle([s for _, s in singly]),
        "peak_rss_growth_bytes": peak - start if peak else None,
        "alone_s": {b[0].question.id: s for b, (s, _) in zip(alone, singly, strict=True) if s is not None},
        "batches": [[len(b), s] for b, s in zip(together, at_once, strict=True) if s is not None],
    }


def _seconds(system: System, questions: list[Question]) -> float | None:
    """What the answers took; None where one was asked for again, or failed: that is not what an answer takes."""
    answers, watch = meters.timed(lambda: system.answer(questions))
    return None if any(a.retries or a.error for a in answers) else watch.seconds


def _peak_bytes(system: System, questions: list[Question]) -> int | None:
    """The higher of the peaks of loading, which is done, and of answering; None where they cannot be measured."""
    loaded, answering = high_water_bytes(), live_peak_bytes(lambda: system.answer(questions))
    return max(loaded, answering) if loaded and answering else None


def _longest(test: Sequence[Example], folder: Path, config: SystemConfig) -> list[Question]:
    """The batch that takes the most memory of those that the turn's cell answered: the longest prompts."""
    tokens = {
        row["question"]: row["answer"]["prompt_tokens"] or 1
        for _, row in read_jsonl(folder.parents[1] / "records.jsonl")
    }
    longest = sorted(test, key=lambda example: -tokens.get(example.question.id, 1))[: config.generation.batch_size]
    return [seen_by(example, config) for example in longest]
