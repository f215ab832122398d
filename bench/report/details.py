"""What the page shows of a run's records and cells beside its scores: answers, latencies, memory over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from bench.core.files import packed, read_jsonl
from bench.core.vocabulary import Answer, Record, read_record
from bench.execution.cell_result import Memory
from bench.execution.run_file import RunFile
from bench.scoring.schema import Disagreement, Scores


@dataclass(frozen=True)
class Example:
    """A question with what each system said, and the (id, text) of the gold passages that any was shown."""

    question: str
    stratum: str
    text: str
    choices: tuple[str, ...]
    answers: tuple[str, ...] | None
    gold: tuple[str, ...]
    outcomes: Mapping[str, str]
    said: Mapping[str, Answer]
    passages: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Details:
    """Read once from a run's folder; empty where the page is drawn from its scores alone.

    `latencies`: system -> seconds of each question asked alone, over seeds; `traces`: system -> process -> its memory.
    """

    examples: Sequence[Example] = ()
    latencies: Mapping[str, Sequence[float]] = field(default_factory=dict)
    traces: Mapping[str, Mapping[str, Memory]] = field(default_factory=dict)


def details(folder: Path, run: RunFile, scores: Scores) -> Details:
    """Examples are of the questions that the scores chose, in their order, answers of each system's first seed."""
    done = {name: cell.system for name, cell in (run.cells or {}).items() if cell.is_done}
    first = {system: name for name, system in reversed(done.items())}
    chosen, wanted = list[Record](), {c.question for c in scores.questions}
    path = folder / "records.jsonl"
    seconds: dict[str, dict[str, list[float]]] = {}
    for _, row in read_jsonl(path) if packed(path).exists() else ():
        cell, system, question = row["cell"], row["system"], row["question"]
        if cell in done and row["latency_s"] is not None:
            seconds.setdefault(system, {}).setdefault(question, []).append(row["latency_s"])
        if cell in done and question in wanted and first[system] == cell:
            chosen.append(read_record(row))
    level = {name: system.speed.level for name, system in scores.measured.items()}
    latencies = {n: [level.get(n, 1.0) * fmean(values) for values in found.values()] for n, found in seconds.items()}
    return Details(examples(chosen, scores.questions), latencies, traces(run))


def examples(records: Iterable[Record], chosen: Sequence[Disagreement]) -> list[Example]:
    """The chosen questions that have an answer.

    Systems that a scenario adds are asked the same questions of another world: they are left out.
    """
    asked: dict[str, Record] = {}
    said: dict[str, dict[str, Answer]] = {c.question: {} for c in chosen}
    outcomes = {c.question: c.outcomes for c in chosen}
    texts: dict[str, str] = {}
    for record in records:
        if record.system not in outcomes.get(record.question, {}):
            continue
        texts |= {h.passage_id: h.text for h in record.answer.hits or () if h.passage_id in record.gold}
        asked[record.question] = record
        said[record.question][record.system] = record.answer
    return [
        Example(
            question=c.question,
            stratum=c.stratum,
            text=asked[c.question].text,
            choices=asked[c.question].choices,
            answers=asked[c.question].answers,
            gold=asked[c.question].gold,
            outcomes=c.outcomes,
            said=said[c.question],
            passages=[(ident, texts[ident]) for ident in asked[c.question].gold if ident in texts],
        )
        for c in chosen
        if c.question in asked
    ]


def traces(run: RunFile) -> dict[str, dict[str, Memory]]:
    """Memory over time, and its true peaks, of each system's first seed: who trained, and who answered."""
    found: dict[str, dict[str, Memory]] = {}
    for cell in (run.cells or {}).values():
        if not cell.is_done or cell.system in found or cell.facts is not None:
            continue
        trained = [a.memory for a in cell.artefacts if a.kind == "adapter"]
        both = {"training": trained[0] if trained else None, "answering": cell.memory}
        if kept := {process: memory for process, memory in both.items() if memory and memory.trace}:
            found[cell.system] = kept
    return found
