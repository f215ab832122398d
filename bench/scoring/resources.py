"""What a system takes: to build, to answer, in memory and in money."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from bench.core.vocabulary import Record
from bench.execution.cell_result import CellResult, Number, Peaks, Training
from bench.execution.run_file import RunFile
from bench.scoring.money import hourly_usd
from bench.scoring.schema import Build, Cost, Energy, Limits, Memory, Round, Speed, Tokens
from bench.scoring.schema.system import kept
from bench.spec.model import Prices
from bench.stats import intervals
from bench.stats.rounds import TimeSpread, is_off, repeated, spreads, widened


@dataclass(frozen=True)
class Spreads:
    """How much one round's figures of a system vary; None where there are no rounds."""

    latency: TimeSpread | None = None
    throughput: TimeSpread | None = None

    @classmethod
    def of(cls, rounds: Mapping[str, Sequence[Round]]) -> dict[str, Spreads]:
        """system -> its spreads, from the rounds of every system."""
        found = {name: kept(by_system) for name, by_system in rounds.items()}
        latency = spreads({n: {r.number: r.p50_s for r in by if r.p50_s} for n, by in found.items()})
        rates = {n: {r.number: r.questions_per_s for r in by if r.questions_per_s} for n, by in found.items()}
        throughput = spreads(rates)
        return {name: cls(latency.get(name), throughput.get(name)) for name in found}


FARTHEST = 2.5  # a factor between what a question took at first and in the rounds, beyond which the first is no guide


def of_rounds(records: Sequence[Record], cell: CellResult, usual_s: float) -> list[Record] | None:
    """The records of a cell with the latencies that its rounds found, and no others, where what it took at first was of
    another machine: a busy one, for some of the questions or for all. None where the first is a guide."""
    first = {r.question: r.latency_s for r in records if r.latency_s}
    turns = [t for t in cell.turns if not is_off(t.yardstick_s, usual_s)] or cell.turns
    again: dict[str, list[float]] = defaultdict(list)
    for turn in turns:
        for question in turn.alone_s.keys() & first.keys():
            again[question].append(turn.alone_s[question])
    found = {question: statistics.median(seconds) for question, seconds in again.items()}
    logs = sorted(math.log(seconds / first[question]) for question, seconds in found.items())
    if not logs or max(abs(logs[len(logs) // 4]), abs(logs[3 * len(logs) // 4])) < math.log(FARTHEST):
        return None
    return [
        replace(r, latency_s=found.get(r.question), first_token_s=None, per_token_s=None) if r.latency_s else r
        for r in records
    ]


def speed(
    records: Sequence[Record], rounds: Sequence[Round] = (), varies: Spreads = Spreads(), *, of_rounds: bool = False
) -> Speed:
    """Latency of the questions answered alone, a value a question over all seeds; throughput of those in batches.

    Where there are rounds, what was seen first is brought to their level, and intervals hold what they differ by.
    """
    first = [*by_question(records, lambda r: r.latency_s).values()]
    usual = statistics.median(first) if first else 0.0
    level = repeated([r.p50_s / usual for r in kept(rounds) if r.p50_s], varies.latency) if usual else None
    rate = repeated([r.questions_per_s for r in kept(rounds) if r.questions_per_s], varies.throughput)
    factor = level.mean if level else 1.0
    alone = [factor * seconds for seconds in first]
    tokens = {key: [*by_question(records, value).values()] for key, value in TOKEN_TIMES.items()}
    ends = (level.low, level.high) if level else None
    return Speed(
        n=len(alone),
        p50_s=_percentile(alone, 50),
        p90_s=_percentile(alone, 90),
        p95_s=_percentile(alone, 95),
        p99_s=_percentile(alone, 99),
        p50_interval_s=latency_interval(alone, 50, factor, ends),
        **{key: factor * statistics.median(found) if found else None for key, found in tokens.items()},
        questions_per_s=rate.mean if rate else _throughput(records),
        batched_n=len({r.question for r in records if r.latency_s is None}),
        batch_size=max((r.batch_size for r in records if r.latency_s is None), default=None),
        questions_per_s_interval=(rate.low, rate.high) if rate else None,
        level=factor,
        level_interval=ends,
        rounds=tuple(rounds),
        of_rounds=of_rounds,
    )


def _throughput(records: Sequence[Record]) -> float | None:
    """Questions answered in batches, per second."""
    batched = {(r.cell, r.batch): (r.batch_size, r.batch_s) for r in records if r.latency_s is None}
    seconds = sum(s for _, s in batched.values())
    return sum(n for n, _ in batched.values()) / seconds if seconds else None


TOKEN_TIMES: Mapping[str, Callable[[Record], float | None]] = {
    "first_token_s": lambda record: record.first_token_s,
    "per_token_s": lambda record: record.per_token_s,
}


def rounds(records: Sequence[Record], cell: CellResult, usual_s: float) -> tuple[Round, ...]:
    """What each round of a cell found, `usual_s` being the usual yardstick of the run.

    A round asks few questions: its median latency is that of all, times what its own questions took in it against what
    they took at first.
    """
    first = {r.question: r.latency_s for r in records if r.seed == cell.seed and r.latency_s}
    whole = [*by_question(records, lambda r: r.latency_s).values()]
    found = []
    for turn in cell.turns:
        ratios = [seconds / first[question] for question, seconds in turn.alone_s.items() if question in first]
        asked, took = (sum(column) for column in zip(*turn.batches, strict=True)) if turn.batches else (0, 0.0)
        found.append(
            Round(
                number=turn.round,
                p50_s=statistics.median(ratios) * statistics.median(whole) if ratios else None,
                questions_per_s=asked / took if took else None,
                off=is_off(turn.yardstick_s, usual_s),
            )
        )
    return tuple(found)


def latency_interval(
    seconds: Sequence[float], percent: int, level: float, ends: tuple[float, float] | None
) -> tuple[float, float] | None:
    """95% interval of a percentile: by the questions asked, and where there are rounds by those of their level."""
    asked, value = intervals.percentile_interval(seconds, percent), _percentile(seconds, percent)
    if asked is None or value is None or ends is None:
        return asked
    return widened(value, asked, (value * ends[0] / level, value * ends[1] / level))


def _percentile(values: Sequence[float], percent: int) -> float | None:
    return intervals.percentile(values, percent) if values else None


def by_question(records: Sequence[Record], value: Callable[[Record], float | None]) -> dict[str, float]:
    """question -> its mean: the same question under another seed is no further sample."""
    seen: dict[str, list[float]] = defaultdict(list)
    for record in records:
        if (found := value(record)) is not None:
            seen[record.question].append(found)
    return {question: statistics.fmean(values) for question, values in seen.items()}


def built(cell: CellResult) -> Build:
    """What the cell's artefacts cost when they were built, whoever built them; None for stages that it has not, and for
    those that a device built which this machine has not.

    `train_s` is of the training loop alone, over all trials; what surrounds it (loading the model, encoding, saving
    or merging) is `around_s`. A system that keeps nothing in the store is charged its own build.
    """
    adapters = [a for a in cell.artefacts if a.kind == "adapter"]
    brought = {a.kind for a in cell.brought}
    unstored_s = cell.load_s or 0.0 if "." in cell.kind else 0.0  # of a kind of the user's own
    total_s = sum(a.build_s for a in cell.artefacts) if cell.artefacts else unstored_s
    around_s = sum(a.build_s - a.train_loop_s for a in adapters) + (_stage_s(cell, "merged") or 0.0)
    timed = bool(adapters) and "adapter" not in brought
    training = [a.memory for a in adapters if a.memory and timed]
    paced = {} if "adapter" not in brought else dict.fromkeys(PACE)
    return Build(
        chunk_s=_stage_s(cell, "chunks"),
        embed_s=_stage_s(cell, "embeddings", "embedder"),
        index_s=_stage_s(cell, "index", "context"),
        train_s=sum(a.train_loop_s for a in adapters) if timed else None,
        total_s=None if brought else total_s,
        around_s=around_s if timed and "merged" not in brought else None,
        artefact_bytes=sum(a.bytes for a in cell.artefacts)
        + (cell.notes.context.cache_bytes if cell.notes.context else 0),  # of a corpus that was read once
        reused=sum(a.hit for a in cell.artefacts),
        artefacts=len(cell.artefacts),
        train_peak_rss_growth_bytes=worst(m.peak_rss_growth_bytes for m in training),
        train_peak_gpu_bytes=worst(m.work_peak_gpu_bytes for m in training),
        train_load_peak_gpu_bytes=worst(m.load_peak_gpu_bytes for m in training),
        train_peak_gpu_process_bytes=worst(m.peak_gpu_process_bytes for m in training),
        **(cell.notes.tuning or Training()).model_dump() | paced,
    )


TRAINED = ("adapter", "embedder")  # artefacts that a training made
PACE = ("tokens_per_s", "step_s")  # what a training took, among its facts


def _stage_s(cell: CellResult, *kinds: str) -> float | None:
    """Seconds to build a cell's artefacts of some kinds; None where it has none, or another device built one."""
    if any(a.kind in kinds for a in cell.brought):
        return None
    seconds = [a.build_s for a in cell.artefacts if a.kind in kinds]
    return sum(seconds) if seconds else None


def over_seeds(builds: Sequence[Build]) -> Build:
    """The median of every figure over the builds of several seeds; the first of what is no number."""
    return Build(**{key: middle(getattr(b, key) for b in builds) for key in Build.model_fields})


def peaks_of_rss(cells: Sequence[CellResult]) -> Sequence[float]:
    """Growth of resident memory of the cells of a system that a round measured, a figure that repeats: loading, and
    answering the longest batch. Where no round did, of all its cells, each as a whole, with what its allocator kept.

    A round takes the first of a system's seeds alone, and the two figures may be far apart.
    """
    live = [t.peak_rss_growth_bytes for cell in cells for t in cell.turns if t.peak_rss_growth_bytes is not None]
    return live or [cell.memory.peak_rss_growth_bytes for cell in cells if cell.memory]


def memory(cells: Sequence[CellResult]) -> Memory:
    """The worst seed's memory while answering."""
    kept = [cell.memory for cell in cells if cell.memory]
    notes = cells[0].notes
    return Memory(
        start_rss_bytes=worst(m.start_rss_bytes for m in kept),
        peak_rss_growth_bytes=worst(peaks_of_rss(cells)),
        peak_gpu_allocated_bytes=worst(m.work_peak_gpu_bytes for m in kept),
        peak_gpu_reserved_bytes=worst(m.peak_gpu_reserved_bytes for m in kept),
        peak_gpu_process_bytes=worst(m.peak_gpu_process_bytes for m in kept),
        load_peak_gpu_bytes=worst(m.load_peak_gpu_bytes for m in kept),
        weights_bytes=notes.weights_bytes,
        parameters=notes.parameters,
    )


def energy(cells: Sequence[CellResult]) -> tuple[Energy, ...]:
    """What training took, and a thousand questions, of each source that has a counter."""
    trained = [
        [a.memory.energy_j for a in cell.artefacts if a.kind in TRAINED and a.memory]
        for cell in cells
        if not any(a.kind in TRAINED for a in cell.brought)
    ]
    answered = [(cell.memory.energy_j, cell.asked_here) for cell in cells if cell.memory and cell.asked_here]
    found = []
    sources: tuple[Literal["gpu", "cpu"], ...] = ("gpu", "cpu")
    for source in sources:
        spent = [[sum(phases[source].values()) for phases in each if source in phases] for each in trained]
        training = middle(sum(each) for each in spent if each)  # all trials, and a tuned embedder
        asked = middle(1000 * phases[source].get("answer", 0.0) / n for phases, n in answered if source in phases)
        if training is not None or asked is not None:
            found.append(Energy(source=source, training_j=training, thousand_questions_j=asked))
    return tuple(found)


def tokens(records: Sequence[Record]) -> Tokens:
    """Mean tokens of a question's prompt and answer."""
    return Tokens(
        prompt=_mean(r.answer.prompt_tokens for r in records),
        completion=_mean(r.answer.completion_tokens for r in records),
    )


def limits(cell: CellResult, build: Build, quick: Speed, run: RunFile) -> Limits:
    """Shares of what the machine can do at most; None where either was not measured.

    Decoding one answer reads all weights once a token, so bandwidth bounds it. Training an adapter takes about 4
    floating-point operations a parameter and token (the weights' own gradients are not needed), everything 6, and
    recomputing activations 2 more.
    """
    notes = cell.notes
    peaks = notes.peaks or (run.peaks if notes.device == "cpu" else None)
    if not peaks:
        return Limits(decode=None, training=None)
    bytes_read, seconds = notes.weights_bytes, quick.per_token_s
    decode = bytes_read / seconds / peaks.bytes_per_s if bytes_read and seconds and peaks.bytes_per_s else None
    return Limits(decode=decode, training=_training_share(cell, build, peaks, run))


def _training_share(cell: CellResult, build: Build, peaks: Peaks, run: RunFile) -> float | None:
    """Floating-point operations of training a second, of the most that the machine does."""
    tuning, parameters = run.systems[cell.system].tuning, cell.notes.parameters
    if not build.tokens_per_s or not parameters or not peaks.flops_per_s:
        return None
    trains_all = (build.trainable_parameters or 0) >= parameters
    each = (6 if trains_all else 4) + (2 if tuning and tuning.gradient_checkpointing else 0)
    return build.tokens_per_s * each * parameters / peaks.flops_per_s


def cost(
    build: Build | None, quick: Speed, records: Sequence[Record], prices: Prices, *, on_gpu: bool, endpoint: bool
) -> Cost:
    """Money to build, and for a thousand questions in batches, or one at a time where all were asked so; None where the
    spec has no price for it, or the build was elsewhere.

    What an endpoint answers is paid by the token, what this machine answers by the hour.
    """
    hourly = hourly_usd(prices, on_gpu=on_gpu)
    served = _endpoint_usd(records, prices) if endpoint else None
    if not endpoint and hourly is not None and (each_s := _question_s(quick)):
        served = 1000 * each_s / 3600 * hourly
    return Cost(
        build_usd=_build_usd(build, hourly),
        thousand_questions_usd=served,
    )


def _build_usd(build: Build | None, hourly: float | None) -> float | None:
    """Money to build: nothing where nothing was built, whatever an hour costs; None where it is not known."""
    if build is None or build.total_s is None:
        return None
    if hourly is None:
        return None if build.artefacts else 0.0
    return build.total_s / 3600 * hourly


def _question_s(quick: Speed) -> float | None:
    """Seconds of a question where many are asked; of one alone where all were asked so; None where neither is known."""
    if quick.questions_per_s:
        return 1 / quick.questions_per_s
    return None if quick.batched_n else quick.p50_s


def _endpoint_usd(records: Sequence[Record], prices: Prices) -> float | None:
    """USD for a thousand questions by an endpoint's token prices; None where there are none, or no tokens are known."""
    prompt, completion = prices.prompt_tokens_usd_per_million, prices.completion_tokens_usd_per_million
    counted = [r.answer for r in records if r.answer.prompt_tokens is not None]
    if prompt is None or completion is None or not counted:
        return None
    kept = (
        prompt if prices.cached_prompt_tokens_usd_per_million is None else prices.cached_prompt_tokens_usd_per_million
    )
    usd = [
        (a.prompt_tokens - (a.cached_tokens or 0)) * prompt
        + (a.cached_tokens or 0) * kept
        + (a.completion_tokens or 0) * completion
        for a in counted
        if a.prompt_tokens
    ]
    return 1000 * sum(usd) / 1e6 / len(counted)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.fmean(known) if known else None


def middle(values: Iterable[Any]) -> Any:
    """The median over seeds of a number; the first of anything else."""
    return _reduced(values, statistics.median)


def worst(values: Iterable[Number | None]) -> Any:
    """The largest of the known values; None without any."""
    return _reduced(values, max)


def _reduced(values: Iterable[Any], how: Callable[[Iterable[Any]], Any]) -> Any:
    known = [v for v in values if v is not None]
    if not known:
        return None
    return how(known) if all(isinstance(v, int | float) for v in known) else known[0]


def by_stage(build: Build) -> Mapping[str, float | None]:
    """stage -> seconds, in the order in which a build does them."""
    return {
        "chunking": build.chunk_s,
        "embedding": build.embed_s,
        "indexing": build.index_s,
        "training steps": build.train_s,
        "loading, encoding, saving": build.around_s,
    }
