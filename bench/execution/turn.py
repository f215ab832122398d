"""One turn of a round: a system that was built before answers a few questions again, timed between two yardsticks."""

from __future__ import annotations

from pathlib import Path

from bench.core import meters
from bench.core.store import Store
from bench.core.vocabulary import JSON
from bench.data.formats import native
from bench.execution.cell import batches, sampled, seen_by
from bench.execution.job import Job
from bench.spec import kinds

ALONE = 16  # questions of a turn that are asked one at a time
BATCHES = 2


def run(job: Job) -> dict[str, JSON]:
    """Load the system, and time the first of the questions that the cell asked: alone, then in batches."""
    kind = kinds.load(job.kind)
    config = kind.Config.model_validate(job.config)
    task = sampled(native.read_folder(Path(job.task)), config.sample)
    system = kind.build(config, task.material, Store(Path(job.store)))
    plan = batches(task.test, alone=job.latency_questions, size=config.generation.batch_size)
    alone, together = plan[: job.latency_questions][:ALONE], plan[job.latency_questions :][:BATCHES]
    warm = [seen_by(example, config) for example in (task.train or task.test)[: job.warmup]]
    for questions in (*([question] for question in warm), warm):  # alone, and as a batch
        system.answer(questions)
    before = meters.yardstick()
    seconds = [
        meters.timed(lambda: system.answer([seen_by(e, config) for e in batch]))[1].seconds  # noqa: B023
        for batch in (*alone, *together)
    ]
    return {
        "status": "done",
        "round": job.round,
        "yardstick_s": [before, meters.yardstick()],
        "alone_s": {batch[0].question.id: s for batch, s in zip(alone, seconds[: len(alone)], strict=True)},
        "batches": [[len(batch), s] for batch, s in zip(together, seconds[len(alone) :], strict=True)],
    }
