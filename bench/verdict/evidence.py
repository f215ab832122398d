"""The evidence of a run: what scenario tables, claims and the recommendation are read from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from bench.execution.run_file import RunFile, SystemEntry
from bench.scoring.grade import Column, estimate, panel
from bench.scoring.graded import GradedRun
from bench.scoring.schema import Facts, MeasuredSystem
from bench.spec.scenarios import Scenario
from bench.stats.comparisons import Pair, compare
from bench.stats.intervals import Estimate
from bench.stats.planning import SEEDS


@dataclass(frozen=True)
class Evidence:
    """A graded run. `systems` and `columns` hold the scenarios' systems too; `experiments` are facts by name.

    `latency` is system -> question -> seconds, of those answered alone; `shows` are the systems whose answers come with
    passages.
    """

    run: RunFile
    systems: Mapping[str, MeasuredSystem]
    columns: Mapping[str, Mapping[str, Column]]
    experiments: Mapping[str, tuple[Facts, ...]]
    headline: str
    latency: Mapping[str, Mapping[str, float]]
    shows: frozenset[str] = frozenset()
    asked: frozenset[str] | None = None  # the questions that the headline is asked of; None: those that it scores
    unjudged: Mapping[str, frozenset[str]] = field(default_factory=dict)  # system -> questions of failed verdicts

    @classmethod
    def of(cls, graded: GradedRun, *, headline: str, experiments: Mapping[str, tuple[Facts, ...]]) -> Evidence:
        """The evidence that a graded run holds."""
        measured = {n: s for n, s in graded.systems.items() if isinstance(s, MeasuredSystem)}
        return cls(
            graded.run,
            measured,
            graded.columns,
            experiments,
            headline,
            graded.latency,
            graded.shows,
            graded.asked(headline),
            {name: graded.unjudged(name, headline) for name in measured},
        )

    @property
    def margin(self) -> float | None:
        """The difference, set before the run, that does not matter."""
        return self.run.spec.margin

    @property
    def named(self) -> dict[str, MeasuredSystem]:
        """The spec's own systems that finished."""
        return {name: system for name, system in self.systems.items() if system.scenario is None}

    def entry(self, system: str) -> SystemEntry:
        """What the run says of a system."""
        return self.run.systems[system]

    def controls(self, system: str) -> list[str]:
        """The closed-book systems of a system's own base model, but for itself."""
        base = self.entry(system).model
        closed = [name for name, measured in self.named.items() if measured.kind == "closed_book" and name != system]
        return [name for name in closed if self.entry(name).model == base]

    def of_scenario(self, scenario: str) -> Iterator[tuple[str, Scenario]]:
        """(system, setting) of a scenario's systems that finished."""
        for name, system in self.systems.items():
            if system.scenario is not None and system.scenario.name == scenario:
                yield name, system.scenario

    @property
    def retrained(self) -> dict[str, float | None]:
        """Seconds that it took to train a system anew on the updated corpus, of those that were."""
        return {scenario.of: self.systems[name].build.total_s for name, scenario in self.of_scenario("freshness")}

    def ratios(self, a: str, b: str) -> list[float]:
        """Latency of `a` over that of `b`, for each question that both answered alone."""
        mine, other = self.latency.get(a, {}), self.latency.get(b, {})
        return [mine[q] / other[q] for q in mine if q in other]

    def column(self, system: str, measure: str, stratum: str | None = None) -> Column | None:
        """A measure of a system, on one stratum or on all; None where it does not apply."""
        found = self.columns.get(system, {}).get(measure)
        return found.of(stratum) if found and stratum else found

    def few_seeds(self, names: Iterable[str]) -> dict[str, int]:
        """system -> its seeds, of those that were tuned with too few to know how much a seed matters."""
        seeds = {name: self.named[name].seeds for name in names if self.named[name].trained}
        return {name: number for name, number in seeds.items() if number < SEEDS}

    def unseen(self, column: Column) -> Column:
        """The column on the questions that training has not seen."""
        leaks = set(self.run.leaks)
        return column.among([q for q in column.questions if q not in leaks]) if leaks else column

    def estimate(self, system: str, measure: str, stratum: str | None = None) -> Estimate | None:
        """The mean of a measure of a system with its interval; None where it does not apply."""
        return estimate(self.column(system, measure, stratum))

    @cached_property
    def ranked(self) -> dict[str, Column]:
        """system -> the measure that leads, on every question that it is asked of; of the systems that have it.

        Where a system has no value, because it failed or did not answer, it counts as 0, in each of its seeds. A
        verdict that a judge failed to give is left out.
        """
        found = {n: c[self.headline] for n, c in self.columns.items() if self.headline in c}
        if self.asked is None:
            return found
        left_out = {name: self.unjudged.get(name, frozenset()) for name in found}
        missing = {
            n: self._asked_of(n, self.asked) - left_out[n] - set(column.questions) for n, column in found.items()
        }
        return {n: self._completed(without_gaps(column, left_out[n]), missing[n]) for n, column in found.items()}

    def _asked_of(self, name: str, asked: AbstractSet[str]) -> AbstractSet[str]:
        """The questions of these that a system was asked: of those that scenarios add, a sample."""
        if name in self.named:
            return asked
        return asked & {question for column in self.columns[name].values() for question in column.questions}

    def counts_zeros(self, name: str) -> bool:
        """Whether a system is ranked by zeros for what it, or one of its seeds, did not answer."""
        own, left_out = self.columns[name][self.headline], self.unjudged.get(name, frozenset())
        if len(self.ranked[name].questions) > len(own.questions):
            return True
        if self.asked is None or own.gappy is None:
            return False
        gaps = {own.questions[i] for i in np.flatnonzero(np.isnan(own.gappy).any(0))}
        return bool(gaps - left_out)

    def _completed(self, column: Column, missing: AbstractSet[str]) -> Column:
        added = [q for q in self._placed if q in missing]
        if not added:
            return column
        values = np.hstack([column.values, np.zeros((len(column.values), len(added)))])
        clusters, strata = zip(*(self._placed[q] for q in added), strict=True)
        return Column([*column.questions, *added], values, [*column.clusters, *clusters], [*column.strata, *strata])

    @cached_property
    def _placed(self) -> dict[str, tuple[str, str]]:
        """question -> (cluster, stratum)"""
        found: dict[str, tuple[str, str]] = {}
        for by_measure in self.columns.values():
            for column in by_measure.values():
                places = zip(column.clusters, column.strata, strict=True)
                found |= dict(zip(column.questions, places, strict=True))
        return found

    @cached_property
    def unanswerable(self) -> frozenset[str]:
        """The questions whose right answer is to abstain."""
        having = (columns["abstains_rightly"] for columns in self.columns.values() if "abstains_rightly" in columns)
        return frozenset(q for column in having for q in column.questions)

    def quality(self, system: str) -> float:
        """The mean of the measure that leads."""
        return self.ranked[system].mean

    def answered(self, system: str) -> float:
        """The mean of the measure that leads on the questions that have an answer; on all where none has."""
        column = self.ranked[system]
        having = column.among(set(column.questions) - self.unanswerable)
        return having.mean if having.questions else column.mean

    def pair(self, a: str, b: str, measure: str, stratum: str | None = None) -> Pair | None:
        """`a` minus `b` on the questions that both have; None where they have none in common.

        The measure that leads counts as it ranks. Where one was trained, the questions that training has seen are left
        out, and what a judge leaves open is inconclusive.
        """
        found = {n: c for n in (a, b) if (c := self.ranking(n, measure, stratum))}
        if any(self.systems[n].has_seen_training for n in found):
            found = {n: self.unseen(column) for n, column in found.items()}
        return self.decisive(self.compared({n: column for n, column in found.items() if column.questions}), measure)

    def decisive(self, pair: Pair | None, measure: str) -> Pair | None:
        """The pair; inconclusive where a judge leaves one of its systems open."""
        doubts = [self.systems[name].doubts.get(measure) for name in (pair.a, pair.b)] if pair else []
        if pair is None or all(doubt is None or doubt.decisive for doubt in doubts):
            return pair
        return replace(pair, verdict="inconclusive", non_inferior=None)

    def ranking(self, system: str, measure: str, stratum: str | None = None) -> Column | None:
        """A measure of a system as pairs compare it."""
        if measure != self.headline:
            return self.column(system, measure, stratum)
        found = self.ranked.get(system)
        return found.of(stratum) if found and stratum else found

    def compared(self, columns: Mapping[str, Column]) -> Pair | None:
        """The first of two columns minus the second; None without a question in common, or without two of them."""
        both = panel(columns) if len(columns) == 2 else None
        return compare(both, margin=self.margin)[0] if both else None


def without_gaps(column: Column, left_out: AbstractSet[str]) -> Column:
    """The column with 0 where a seed has no value; on the questions that are left out, with the mean of the others."""
    if column.gappy is None:
        return column
    excused = np.isin(column.questions, list(left_out))
    filled = np.where(excused, np.nanmean(column.gappy, 0), 0.0)
    return replace(column, values=np.where(np.isnan(column.gappy), filled, column.gappy), gappy=None)
