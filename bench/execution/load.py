"""A served system under load: so many askers at once, each waiting for its answer (closed loop), or questions that come
at random times whether or not the others are answered (open loop).

In the open loop a latency counts from when the question was due, so that one which had to wait in line is told as long
as its asker waited (coordinated omission, Tene 2013).
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from bench.core import meters
from bench.core.system import System
from bench.core.vocabulary import JSON, Question
from bench.spec.model import Load

IN_FLIGHT = 256  # questions of the open loop that are asked at once; more wait in line, and their clocks run


def measure(system: System, questions: Sequence[Question], load: Load) -> list[dict[str, JSON]]:
    """Each level of the load: its mode, its level, its seconds, and of each question asked in them
    [seconds from the begin to when it was due, to the first token, to the whole answer, whether it failed].
    """
    levels = [("closed", float(n)) for n in load.concurrency] + [("open", rate) for rate in load.arrivals_per_s]
    found: list[dict[str, JSON]] = []
    for number, (mode, level) in enumerate(levels):
        meters.progress("load", number, len(levels))
        take = _closed if mode == "closed" else _open
        samples = list(take(system, questions, level, load.seconds))
        found.append({"mode": mode, "level": level, "seconds": load.seconds, "samples": samples})
    meters.progress("load", len(levels), len(levels))
    return found


def _closed(system: System, questions: Sequence[Question], askers: float, seconds: float) -> Iterator[JSON]:
    """What `askers` see who each ask the next question when they have an answer, until the time is over."""
    numbers = itertools.count()
    begin = time.perf_counter()

    def work() -> list[JSON]:
        seen = []
        while (now := time.perf_counter() - begin) < seconds:
            seen.append(_asked(system, questions[next(numbers) % len(questions)], begin, now))
        return seen

    with ThreadPoolExecutor(int(askers)) as pool:
        for waiting in [pool.submit(work) for _ in range(int(askers))]:
            yield from waiting.result()


def _open(system: System, questions: Sequence[Question], rate: float, seconds: float) -> Iterator[JSON]:
    """What is seen by questions that come `rate` times a second, at exponential distances (a Poisson process)."""
    waiting = []
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        begin = time.perf_counter()
        for number, due in enumerate(_arrivals(rate, seconds)):
            time.sleep(max(0.0, begin + due - time.perf_counter()))
            waiting.append(pool.submit(_asked, system, questions[number % len(questions)], begin, due))
        for asked in waiting:
            yield asked.result()


def _arrivals(rate: float, seconds: float) -> Iterator[float]:
    """When questions come, the same at every run."""
    rng, due = random.Random(f"arrivals {rate:g}"), 0.0
    while (due := due + rng.expovariate(rate)) < seconds:
        yield due


def _asked(system: System, question: Question, begin: float, due: float) -> JSON:
    """What one asker saw, from when the question was due."""
    late = time.perf_counter() - begin - due
    (answer,), watch = meters.timed(lambda: system.answer([question]))
    first = None if watch.first_token_s is None else round(late + watch.first_token_s, 5)
    return [round(due, 5), first, round(late + watch.seconds, 5), answer.error is not None]
