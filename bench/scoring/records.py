"""A run's records graded: each read once, measured, and kept without the words that only its measures need."""

from __future__ import annotations

import contextlib
import gc
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.core.errors import UserError, first_error
from bench.core.files import parsed_object, read_lines
from bench.core.vocabulary import Answer, Hit, Record, read_record, read_record_line
from bench.execution.run_file import RunFile, read_run
from bench.metrics.citations import ENTAILED
from bench.scoring import judge_stage, resources
from bench.scoring.entailment_stage import ABSTAINED
from bench.scoring.grade import by_measure, joined, per_question
from bench.scoring.graded import GradedRun
from bench.scoring.judge_stage import Said
from bench.stats.bootstrap import Array


def read_records(folder: Path) -> Iterator[Record]:
    """The records of a run, a cell after the other, each read when it is asked for. Raises UserError naming a malformed
    line."""
    path = folder / "records.jsonl"
    for number, line in read_lines(path):
        if (record := read_record_line(line)) is not None:
            yield record
            continue
        row = parsed_object(line, path, number)
        try:
            yield read_record(row)
        except ValidationError as e:
            raise UserError(
                f"no record: {first_error(e)}.",
                where=f"{path}:{number}",
                remedy="Run the spec again: its cells are kept.",
            ) from None


def graded(folder: Path) -> GradedRun:
    """A run's records graded, with what its judges said. Raises UserError where the folder holds no run."""
    said, judge = judge_stage.verdicts(folder), judge_stage.summary(folder)
    run = read_run(folder)
    records: dict[str, list[Record]] = defaultdict(list)
    parts: dict[str, list[tuple[int, Mapping[str, Array]]]] = defaultdict(list)
    shared = _Shared()
    with _rarely_collected():
        for cell, rows in _some(run, read_records(folder)):
            result = (run.cells or {}).get(cell)
            if result is not None and result.is_done:
                whole = [_read_by(r, said) for r in rows]
                values = per_question(whole, run.systems[result.system], result.index_recall)
                parts[cell].append((len(rows), by_measure(values)))
                records[cell] += [_lightened(r, shared) for r in whole]
    again = {
        name: found
        for name, cell in (run.cells or {}).items()
        if run.yardstick_s and (found := resources.of_rounds(records.get(name, []), cell, run.yardstick_s))
    }
    values_of = {cell: joined(found) for cell, found in parts.items()}
    return GradedRun(run, {**records, **again}, values_of, said, judge, frozenset(again))


@contextlib.contextmanager
def _rarely_collected() -> Iterator[None]:
    """Records are many objects without cycles, which the collector would look through again and again."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


AT_ONCE = 4096  # records that are held with all their words


def _some(run: RunFile, records: Iterable[Record]) -> Iterator[tuple[str, list[Record]]]:
    """(cell, some of its records) until all were given. How many passages an answer of elsewhere brings at most is
    known when all are read: those of such a cell come together."""
    for cell, rows in groupby(records, lambda r: r.cell):
        found = run.cells[cell] if run.cells and cell in run.cells else None
        if found is not None and run.systems[found.system].kind == "predictions":
            yield cell, list(rows)
            continue
        while some := list(islice(rows, AT_ONCE)):
            yield cell, some


class _Shared:
    """What several records hold, held once."""

    def __init__(self) -> None:
        self.values: dict[object, Any] = {}
        self.hits: dict[str, Hit] = {}

    def once(self, value: Any) -> Any:
        """The first value that was equal to it."""
        return self.values.setdefault(value, value)

    def hit(self, passage_id: str) -> Hit:
        """The passage, without its words."""
        if passage_id not in self.hits:
            self.hits[passage_id] = Hit("", passage_id, "", 0.0)
        return self.hits[passage_id]


def _lightened(record: Record, shared: _Shared) -> Record:
    """The record without what only its measures read: choices, spans, and the texts of passages."""
    once, answer = shared.once, record.answer
    bare = None if answer.hits is None else tuple([shared.hit(h.passage_id) for h in answer.hits])
    return Record(  # which is three times as fast as to replace some fields
        cell=once(record.cell),
        system=once(record.system),
        seed=record.seed,
        question=once(record.question),
        stratum=once(record.stratum),
        group=once(record.group),
        text=once(record.text),
        answers=once(record.answers),
        gold=once(record.gold),
        choices=(),
        answer=Answer(
            answer.text,
            hits=bare,
            shown=answer.shown,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            cached_tokens=answer.cached_tokens,
            truncated=answer.truncated,
            latency_s=answer.latency_s,
            error=answer.error,
            retries=answer.retries,
            abstained=answer.abstained,
        ),
        batch=record.batch,
        batch_size=record.batch_size,
        batch_s=record.batch_s,
        latency_s=record.latency_s,
        first_token_s=record.first_token_s,
        per_token_s=record.per_token_s,
        language=record.language,
    )


def _read_by(record: Record, verdicts: Mapping[tuple[str, str], Mapping[str, Said]]) -> Record:
    """The record, its answer marked as an abstention where an entailment model reads it as one."""
    said = verdicts.get((record.cell, record.question), {}).get(ABSTAINED)
    if said is None or said.value is None or said.value <= ENTAILED:
        return record
    return replace(record, answer=replace(record.answer, abstained=True))
