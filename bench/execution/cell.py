"""One cell in one process: build the system, answer every question once, write what was seen."""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.core import meters
from bench.core.blocks import Embedder
from bench.core.child_process import in_child
from bench.core.digest import file_digest, plain
from bench.core.files import drop_torn_line, read_jsonl, write_jsonl
from bench.core.memory import Memory
from bench.core.place import place, processor
from bench.core.redact import scrubbed
from bench.core.store import Store
from bench.core.system import Sample, System, SystemConfig
from bench.core.vocabulary import JSON, Answer, Example, Material, Question, Record
from bench.data.after_update import asked, renewed
from bench.data.formats import native
from bench.data.leakage import alike
from bench.data.task import Task
from bench.execution import load
from bench.execution.cell_result import LITTLE
from bench.execution.inside import Clock, Inside
from bench.execution.job import Job
from bench.execution.run_folder import rows_of
from bench.spec import kinds
from bench.spec.model import Load

Tell = Callable[..., None]


def run(job: Job, folder: Path, tell: Tell) -> dict[str, JSON]:
    """Build the system, answer every question, and return what result.json says."""
    kind = kinds.load(job.kind)
    config = kind.Config.model_validate(job.config)
    task = sampled(native.stored(Path(job.task)), config.sample)
    store = Store(Path(job.store))
    meters.listen(throttled(tell))
    if kind.measure is not None:
        return experiment(kind.measure, config, task, store, gpus=job.environment.get("gpus") or ())
    first, yardstick_s, clock = None, [], Clock()
    if config.trains:
        yardstick_s.append(meters.yardstick())
        with clock.running():
            first = build_apart(kind, config, task, store, path=folder / "built.json")
        yardstick_s.append(meters.yardstick())
    with Memory() as memory:
        built_s = clock.seconds
        with clock.running():
            built = kind.build(config, task.material, store)
        load_s = clock.seconds - built_s
        system = Inside(built, clock)
        memory.phase("answer")
        asked_here = answer_all(job, config, system, task, folder)
        memory.phase("again")
        flips = answer_again(job, config, system, task, folder)
        memory.phase("load")
        with clock.running():  # as a whole: many ask at the same time
            loaded = under_load(job, config, built, task)
        memory.phase("audit")
        recall = system.index_recall([e.question for e in task.test])
    artefacts, measured = first or _once(store), memory.facts()  # of the world as it was
    embeds = config.sample is None and any(a["kind"] == "embeddings" for a in _once(store))
    near = near_in_meaning(config, task, Store(store.root)) if embeds else None
    refresh_s = answer_later(config, system, task, store, folder)
    written = [folder / name for name in ("records.jsonl", "later.jsonl") if (folder / name).exists()]
    return {
        "files": {path.name: file_digest(path) for path in written},
        "status": "done",
        "load_s": load_s,
        "inside_s": clock.seconds,
        "yardstick_s": yardstick_s,
        "memory": None if config.elsewhere else measured,  # it is of what reads the answers
        "notes": meters.notes(),
        "artefacts": artefacts,
        "places": places(),
        "refresh_s": refresh_s,
        "flips": flips,
        "load": loaded,
        "asked_here": asked_here,
        "near": near,
        "index_recall": dict(zip((e.question.id for e in task.test), recall, strict=True))
        if recall is not None
        else None,
    }


def places() -> list[str]:
    """The devices that this process uses, as artefacts name theirs."""
    return [place(meters.notes().get("device")), processor()]


def near_in_meaning(config: SystemConfig, task: Task, store: Store) -> list[str] | None:
    """The test questions that training has in other words, by the embedder of this system; None without one."""
    embedder = getattr(config, "embedder", None)
    if not isinstance(embedder, Embedder):
        return None
    identity = {
        "embedder": embedder.digest or embedder.name,
        "revision": embedder.revision,
        "prefix": embedder.query_prefix,
        **({} if embedder.precision == "native" else {"precision": embedder.precision}),
    }
    encode = partial(kinds.encoder(), embedder)
    return alike(task.train, task.test, encode=encode, encoder=identity, store=store)


def experiment(
    measure: Callable[[SystemConfig, Material, Store], dict[str, JSON]],
    config: SystemConfig,
    task: Task,
    store: Store,
    *,
    gpus: Sequence[JSON] = (),
) -> dict[str, JSON]:
    """What an experiment found; it answers no questions."""
    # on a GPU its processes meter themselves: what has opened NVML, or runs a thread, must not fork
    with contextlib.nullcontext() if gpus else Memory() as memory:
        facts, watch = meters.timed(lambda: measure(config, task.material, store))
    if not isinstance(facts, dict):
        raise TypeError(f"`measure` returned {type(facts).__name__}, and must return a dict")
    return {
        "status": "done",
        "facts": facts,
        "load_s": watch.seconds,
        "memory": memory.facts() if memory else None,
        "notes": meters.notes(),
        "artefacts": _once(store),
        "refresh_s": None,
        "index_recall": None,
    }


def sampled(task: Task, sample: Sample | None) -> Task:
    """The task with some of its test questions: the same for every system that is asked so many."""
    if sample is None:
        return task
    if sample.renewed:
        return renewed(task)
    fitting = [i for i, e in enumerate(task.test) if not sample.strata or e.stratum in sample.strata]
    random.Random("sample").shuffle(fitting)
    kept = set(fitting[: sample.questions])
    return replace(task, test=tuple(e for i, e in enumerate(task.test) if i in kept))


def build_apart(kind: kinds.Kind, config: SystemConfig, task: Task, store: Store, *, path: Path) -> list[Any]:
    """Train in a child of this process, so that what serves afterwards does not carry the memory of training.

    Returns the artefacts as the child met them. Raises ChildFailed with the child's reason.
    """

    def build() -> dict[str, JSON]:
        kind.build(config, task.material, store)
        return {"artefacts": _once(store)}

    return list(in_child(build, path=path)["artefacts"])


def _once(store: Store) -> list[JSON]:
    """Each artefact once, as it was first met: the first meeting knows whether this cell built it."""
    return list(plain(list({a.digest: a for a in reversed(store.used)}.values())[::-1]))


def throttled(tell: Tell, every_s: float = 0.2) -> Callable[[str, int, int], None]:
    last, cell = [0.0], os.getpid()  # of the cell, also when its build tells from a child

    def progress(stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done in (0, total) or now - last[0] > every_s:
            last[0] = now
            tell(event="progress", pid=cell, stage=stage, done=done, total=total)

    return progress


BATCHES = 16  # of the model, that a system is given at once: it may put prompts of like lengths together


def batches(test: Sequence[Example], *, alone: int, size: int) -> list[list[Example]]:
    """The order of answering: `alone` questions one at a time, the others `size` times BATCHES at once.

    The same at every resume. Which questions go first is drawn once, so that latency is not of the first document only.
    """
    order = list(test)
    random.Random("batches").shuffle(order)
    singles, rest = order[:alone], order[alone:]
    size *= BATCHES
    return [[e] for e in singles] + [rest[i : i + size] for i in range(0, len(rest), size)]


def answer_all(job: Job, config: SystemConfig, system: System, task: Task, folder: Path) -> int:
    """Append a record a question to records.jsonl, whole batches at a time; batches that stand there are kept. Returns
    how many questions were asked, those of the warm-up too."""
    plan = batches(task.test, alone=job.latency_questions, size=config.generation.batch_size)
    path = folder / "records.jsonl"
    kept = whole_batches(path, plan)
    if len(kept) == len(plan):
        return 0
    warm = (task.train or task.test)[: job.warmup]
    for example in warm:
        system.answer([seen_by(example, config)])
    done = sum(len(plan[n]) for n in kept)
    about: dict[str, Any] = {"language": task.language, "elsewhere": config.elsewhere}
    with path.open("a", encoding="utf-8") as out:
        for number, batch in enumerate(plan):
            if number in kept:
                continue
            answers, watch = meters.timed(lambda: system.answer([seen_by(e, config) for e in batch]))  # noqa: B023
            if len(answers) != len(batch):
                raise ValueError(f"the system gave {len(answers)} answers to {len(batch)} questions")
            out.write(
                "".join(
                    _line(record(job, e, a, number, len(batch), watch, **about))
                    for e, a in zip(batch, answers, strict=True)
                )
            )
            out.flush()
            done += len(batch)
            meters.progress("answer", done, len(task.test))
    _check_any(path, config)
    return len(warm) + sum(len(batch) for number, batch in enumerate(plan) if number not in kept)


def _check_any(path: Path, config: SystemConfig) -> None:
    """Raises ValueError where every question failed. What is in the records is then forgotten, so that the next run
    asks again."""
    failed = [row["answer"].get("error") for _, row in read_jsonl(path)]
    if failed and all(failed) and not config.elsewhere:
        path.unlink()
        raise ValueError(f"each of {len(failed)} questions failed; the first: {failed[0]}")


def answer_again(job: Job, config: SystemConfig, system: System, task: Task, folder: Path) -> dict[str, int] | None:
    """Whether the same question gets the same answer: some of those answered in batches asked again in the same batch,
    and alone. {n, again, alone}: questions, and answers that were another one; None where it was not asked for."""
    plan = [b for b in batches(task.test, alone=job.latency_questions, size=config.generation.batch_size) if len(b) > 1]
    if not job.determinism or not plan:
        return None
    said = {row["question"]: row["answer"]["text"] for _, row in read_jsonl(folder / "records.jsonl")}
    asked = again = alone = 0
    for batch in plan:
        seen = [seen_by(e, config) for e in batch]
        same = system.answer(seen)
        for question, answer in zip(seen, same, strict=True):
            if asked == job.determinism:
                return {"n": asked, "again": again, "alone": alone}
            asked += 1
            again += answer.text != said[question.id]
            alone += system.answer([question])[0].text != said[question.id]
    return {"n": asked, "again": again, "alone": alone}


def under_load(job: Job, config: SystemConfig, system: System, task: Task) -> list[dict[str, JSON]]:
    """What askers see who ask at the same time, at each level of the load; nothing where none is asked for."""
    if job.load is None:
        return []
    questions = [seen_by(e, config) for batch in batches(task.test, alone=len(task.test), size=1) for e in batch]
    return load.measure(system, questions, Load.model_validate(job.load))


def answer_later(config: SystemConfig, system: System, task: Task, store: Store, folder: Path) -> float | None:
    """Update the corpus, and ask again: what the updates change, and as much that they leave alone, into later.jsonl.
    Returns the seconds of the refresh, with what it found built in the store; None where another device built that, or
    nothing was asked. A scenario's sample is not asked again.

    Training pairs stay as they were: this is the day on which the documents changed and nobody has written new pairs.
    """
    changed, kept = asked(task)
    if not changed or not task.updates or config.sample:
        return None
    before = len(store.used)
    known = {artefact.digest for artefact in store.used}
    _, watch = meters.timed(lambda: system.refresh(task.updated))
    found = {
        artefact.digest: artefact for artefact in store.used[before:] if artefact.hit and artefact.digest not in known
    }
    rows: list[JSON] = []
    size = BATCHES * config.generation.batch_size
    for start in range(0, len(changed + kept), size):
        batch = (changed + kept)[start : start + size]
        answers = system.answer([seen_by(e, config) for e in batch])
        rows += [{"question": e.question.id, "answer": a} for e, a in zip(batch, answers, strict=True)]
    write_jsonl(folder / "later.jsonl", scrubbed(rows))
    here = ("", *places())
    took = watch.seconds + sum(artefact.build_s for artefact in found.values())
    elsewhere = sum(artefact.build_s for artefact in found.values() if artefact.place not in here)
    return took if elsewhere <= LITTLE * took else None


def seen_by(example: Example, config: SystemConfig) -> Question:
    """The question as this system may see it."""
    return example.question if config.privileged else replace(example.question, gold=())


def _line(record: Record) -> str:
    return json.dumps(scrubbed(record), ensure_ascii=False, allow_nan=False) + "\n"


def record(
    job: Job,
    example: Example,
    answer: Answer,
    number: int,
    size: int,
    watch: meters.Stopwatch,
    *,
    language: str = "en",
    elsewhere: bool = False,
) -> Record:
    """The record of one answer. One that was given `elsewhere` brings its own time, if it has one."""
    alone = size == 1 and number < job.latency_questions and not answer.retries
    if elsewhere:  # no clock here tells what it took
        watch, alone = meters.Stopwatch(answer.latency_s or 0.0, None, None), answer.latency_s is not None
    return Record(
        cell=job.cell,
        system=job.system,
        seed=job.seed,
        question=example.question.id,
        stratum=example.stratum,
        group=example.group,
        text=example.question.text,
        answers=example.answers,
        gold=example.question.gold,
        choices=example.question.choices,
        answer=answer,
        batch=number,
        batch_size=size,
        batch_s=0.0 if elsewhere else watch.seconds,
        latency_s=watch.seconds if alone else None,
        first_token_s=watch.first_token_s if alone else None,
        per_token_s=watch.per_token_s if alone else None,
        updated=example.updated,
        withdrawn=example.withdrawn,
        form=example.form,
        facts=example.facts,
        spans=example.spans,
        grades=example.grades,
        language=language,
    )


def whole_batches(path: Path, plan: Sequence[Sequence[Example]]) -> set[int]:
    """Which batches were written whole before a stop. What a kill cut short is dropped from the file."""
    if not path.exists():
        return set()
    drop_torn_line(path)
    rows = rows_of(path)
    found: dict[int, list[str]] = {}
    for row in rows:
        found.setdefault(row.get("batch", -1), []).append(row["question"])
    kept = {n for n, ids in found.items() if 0 <= n < len(plan) and ids == [e.question.id for e in plan[n]]}
    if len(kept) != len(found):
        write_jsonl(path, [row for row in rows if row.get("batch") in kept])
    return kept
