"""A run's records, graded: the columns of every system, and each system over its seeds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from bench.core.vocabulary import JSON, Record
from bench.execution.run_file import RunFile, SystemEntry
from bench.metrics.registry import MEASURES
from bench.metrics.text import is_numeric, is_stuck
from bench.scoring import resources
from bench.scoring.grade import Column, by_measure, columns, estimates, headline
from bench.scoring.judge_stage import Said
from bench.scoring.load import loaded
from bench.scoring.schema import (
    Doubt,
    FailedSystem,
    JudgeSummary,
    MeasuredSystem,
    Otherwise,
    Round,
    Score,
    Speed,
    System,
)
from bench.stats.bootstrap import Array


@dataclass(frozen=True)
class GradedRun:
    """What every later stage reads. `verdicts` is what judge and entailment model said, by (cell, question)."""

    run: RunFile
    records: Mapping[str, list[Record]]  # by cell, without what only their measures read
    values: Mapping[str, Mapping[str, Array]]  # cell -> measure -> a value of each record, as the records say it
    verdicts: Mapping[tuple[str, str], Mapping[str, Said]]
    judge: JudgeSummary | None
    retimed: frozenset[str] = frozenset()  # the cells whose latencies are of their rounds alone

    @cached_property
    def columns(self) -> dict[str, dict[str, Column]]:
        """system -> measure -> column, of the systems that finished."""
        found = {}
        for name in self.run.systems:
            cells = [c for c, cell in self.run.done(name).items() if cell.facts is None]
            if cells:
                found[name] = columns([(self.records[c], self._values(c)) for c in cells])
        return found

    def _values(self, cell: str) -> Mapping[str, Array]:
        """measure -> a value of each record of a cell, the judge's among them."""
        values, records = self.values.get(cell, {}), self.records[cell]
        if not self.verdicts:
            return values
        said = [self.verdicts.get((cell, r.question), {}) for r in records]
        judged = by_measure([{m: s.value for m, s in by.items() if m in MEASURES} for by in said])
        return {**values, **judged}

    def failed_verdicts(self, name: str) -> Mapping[str, int]:
        """measure -> verdicts that failed, of one system."""
        mine = self.run.done(name)
        return Counter(m for (c, _), by in self.verdicts.items() if c in mine for m, said in by.items() if said.error)

    def asked(self, measure: str) -> frozenset[str] | None:
        """The questions that a measure is asked of; None where it has a value for every answer.

        A judge is asked of no question that lacks what it needs: what it never scored, and has no reference answer, is
        not asked for.
        """
        found, asked_of = MEASURES[measure], MEASURES[measure].asked
        if asked_of is None:
            return None
        asked = {r.question: r for name in self.columns for r in self.first_seed(name) if asked_of(r)}
        if found.of is not None:
            return frozenset(asked)
        scored = {q for columns in self.columns.values() if measure in columns for q in columns[measure].questions}
        return frozenset(question for question, r in asked.items() if question in scored or r.answers)

    def unjudged(self, name: str, measure: str) -> frozenset[str]:
        """The questions of a system on which the verdict of a judge failed, in any of its cells."""
        mine = self.run.done(name)
        return frozenset(
            question
            for (cell, question), by in self.verdicts.items()
            if cell in mine and measure in by and by[measure].error
        )

    @cached_property
    def headline(self) -> str:
        """The measure that leads: the one that the spec names, or else by what the questions are."""
        answered = {r.question: r.answers for name in self.columns for r in self.first_seed(name) if r.answers}
        numeric = sum(all(map(is_numeric, references)) for references in answered.values())
        return self.run.spec.needs.metric or headline(self.columns, numeric=2 * numeric > len(answered))

    @cached_property
    def latency(self) -> dict[str, dict[str, float]]:
        """system -> question -> seconds of those answered alone, the mean over seeds, at the level of the rounds."""
        taken = {name: resources.by_question(self._of(name), lambda r: r.latency_s) for name in self.columns}
        return {name: {q: self._speeds[name].level * s for q, s in found.items()} for name, found in taken.items()}

    def first_seed(self, name: str) -> list[Record]:
        """The records of a system's first seed."""
        return self.records[next(iter(self.run.done(name)))]

    @cached_property
    def shows(self) -> frozenset[str]:
        """The systems whose answers come, each of them, with the passages that they were read from."""
        return frozenset(
            name
            for name in self.columns
            if any(r.answer.hits is not None for r in self._of(name))
            and all(r.answer.hits is not None for r in self._of(name) if r.answer.text and not r.answer.error)
        )

    @cached_property
    def systems(self) -> dict[str, System]:
        """Every system that is no experiment, those that scenarios add among them."""
        return {name: self._system(name) for name in self.run.systems if name not in self.experiments}

    @cached_property
    def experiments(self) -> dict[str, list[dict[str, JSON]]]:
        """experiment -> what it found, a seed each."""
        found = {
            name: [cell.facts for cell in self.run.done(name).values() if cell.facts is not None]
            for name in self.run.systems
        }
        return {name: facts for name, facts in found.items() if facts}

    def _system(self, name: str) -> System:
        """One system over its seeds."""
        entry, cells, failed = self.run.systems[name], self.run.done(name), self.run.failed(name)
        head = {
            "kind": entry.kind,
            "control": entry.is_control,
            "precision": entry.precision,
            "seeds": len(cells),
            "failed": failed,
            "trained": entry.trains,
            "written": _written(entry, self.run.dataset.train),
            "serving": entry.serving if entry.method == "lora" and not entry.served_adapter else None,
            "scenario": entry.scenario,
            "family": entry.family,
        }
        if not cells:
            return FailedSystem(**head)
        records = self._of(name)
        asked = len(self.first_seed(name))
        quick = self._speeds[name]
        build = resources.over_seeds([resources.built(cell) for cell in cells.values()])
        first = next(iter(cells.values()))
        on_gpu = first.notes.device == "cuda"
        found = self.columns[name]
        return MeasuredSystem(
            **head,
            status="partly failed" if failed else "done",
            n=asked,
            errors=sum(bool(r.answer.error) for r in records),
            truncated=sum(r.answer.truncated for r in records),
            scores=_scores(found, asked, self.run.leaks),
            doubts=self._doubts(name),
            seed_em=tuple(found["em"].values.mean(1).tolist()) if "em" in found else (),
            speed=quick,
            build=build,
            memory=resources.memory(list(cells.values())),
            tokens=resources.tokens(records),
            cost=resources.cost(
                None if entry.served_adapter else build,
                quick,
                records,
                self.run.spec.prices,
                on_gpu=on_gpu,
                endpoint=bool(entry.model.base_url),
            ),
            limits=resources.limits(first, build, quick, self.run),
            flips=first.flips,
            served_otherwise=self._served_otherwise(name),
            refresh_s=resources.middle(cell.refresh_s for cell in cells.values()),
            device=first.notes.device,
            endpoint=bool(entry.model.base_url),
            load=loaded(first.load, self.run.spec.needs),
            energy=resources.energy(list(cells.values())),
            trained_elsewhere=entry.served_adapter is not None,
            retried=sum(r.answer.retries > 0 for r in records),
            stuck=sum(is_stuck(r.answer.text) for r in records),
            read_abstentions=sum(r.answer.abstained for r in records),
            strictly=_strictly(found),
            cell_s=resources.middle(cell.seconds for cell in cells.values()),
            outside_s=resources.middle(cell.outside_s for cell in cells.values()),
        )

    def _served_otherwise(self, name: str) -> Otherwise | None:
        """How many answers of a merged or quantised system are others than those of the one that serves the same
        adapter beside its base, seed by seed; None where there is none."""
        entry = self.run.systems[name]
        beside = entry.config | {"serving": "adapter"}
        twin = next((n for n in self.columns if self.run.systems[n].config == beside), None)
        if entry.serving == "adapter" or twin is None:
            return None
        said = {(r.seed, r.question): r.answer.text for r in self._of(twin)}
        both = [(r.answer.text, said[key]) for r in self._of(name) if (key := (r.seed, r.question)) in said]
        return Otherwise(beside=twin, n=len(both), changed=sum(a != b for a, b in both)) if both else None

    @cached_property
    def _rounds(self) -> dict[str, tuple[Round, ...]]:
        """system -> its rounds, of those that were timed in rounds."""
        usual, found = self.run.yardstick_s, {}
        for name in self.columns:
            timed = next((cell for cell in self.run.done(name).values() if cell.turns), None)
            if timed and usual:
                found[name] = resources.rounds(self._of(name), timed, usual)
        return found

    @cached_property
    def _speeds(self) -> dict[str, Speed]:
        """system -> its times, by its records and its rounds."""
        spreads = resources.Spreads.of(self._rounds)
        return {
            name: resources.speed(
                self._of(name),
                self._rounds.get(name, ()),
                spreads.get(name, resources.Spreads()),
                of_rounds=not self.retimed.isdisjoint(self.run.done(name)),
            )
            for name in self.columns
        }

    def _of(self, name: str) -> list[Record]:
        """The records of a system, over its seeds."""
        return [record for cell in self.run.done(name) for record in self.records[cell]]

    def _doubts(self, name: str) -> dict[str, Doubt]:
        """measure -> what a judge's figure rests on.

        At worst every failed verdict is a 0, at best a 1. A measure is not decisive where too many failed, or where
        its agreement with human labels is too low.
        """
        settings, judge = self.run.spec.judge, self.judge
        if settings is None or judge is None:
            return {}
        found: dict[str, Doubt] = {}
        failed = self.failed_verdicts(name)
        for measure in settings.metrics:
            column = self.columns[name].get(measure)
            lost = failed.get(measure, 0) / max(1, len(self.run.done(name)))
            kept = len(column.questions) if column else 0
            if not kept and not lost:
                continue
            total = column.mean * kept if column else 0.0
            asked = self.asked(measure)
            n = max(kept + lost, len(asked) if asked is not None else 0)  # what it did not answer counts as 0
            calibration = judge.calibration.get(measure)
            demoted = bool(calibration and calibration.demoted)
            too_many = lost / (kept + lost) > settings.max_failed
            found[measure] = Doubt(
                failed=lost,
                bounds=(total / (kept + lost), (total + lost) / (kept + lost)),
                ranked=(total / n, (total + lost) / n),
                demoted=demoted,
                decisive=not (demoted or too_many),
            )
        return found


FEWEST = 30  # questions without which a score of those that training has not seen says nothing


def _strictly(found: Mapping[str, Column]) -> int | None:
    """How many answers exact match and strict exact match judge differently."""
    if "em" not in found or "em_strict" not in found:
        return None
    return int((found["em"].values != found["em_strict"].values).sum())


def _scores(found: Mapping[str, Column], asked: int, leaks: Collection[str]) -> dict[str, Score | None]:
    """measure -> score over all questions, and over each stratum; None where the measure does not apply. Measures of
    the same questions are resampled together."""
    alike: dict[int, dict[str, Column]] = defaultdict(dict)
    for measure, column in found.items():
        alike[id(column.clusters)][measure] = column
    scores = {measure: score for columns in alike.values() for measure, score in _of_alike(columns, asked, leaks)}
    return {measure: scores.get(measure) for measure in MEASURES}


def _of_alike(columns: Mapping[str, Column], asked: int, leaks: Collection[str]) -> Iterator[tuple[str, Score]]:
    """The scores of measures that have the same questions, clusters and strata."""
    first = next(iter(columns.values()))
    whole, strata = estimates(columns), sorted(set(first.strata))
    parts = {strata[0]: whole}  # a single stratum is the whole
    if len(strata) > 1:
        parts = {s: estimates(columns, [i for i, own in enumerate(first.strata) if own == s]) for s in strata}
    unseen = [i for i, q in enumerate(first.questions) if q not in leaks] if leaks else []
    clean = estimates(columns, unseen) if len(unseen) >= FEWEST else {}
    for measure, of in whole.items():
        if of is not None:
            yield (
                measure,
                Score(
                    mean=of.mean,
                    low=of.low,
                    high=of.high,
                    n=of.n,
                    clusters=of.clusters,
                    method=of.method,
                    coverage=len(first.questions) / asked,
                    strata={stratum: part[measure] for stratum, part in parts.items()},
                    clean=clean.get(measure),
                ),
            )


def _written(entry: SystemEntry, train: int) -> int:
    """Training questions that a system takes: all of them, but for those that are drawn once into its prompts."""
    if entry.shots is not None and entry.config["choose"] == "random":
        return min(entry.shots, train)
    return train if entry.trains or entry.shots is not None else 0
