"""Records to values: every measure of every answer, question by question, and columns of them over seeds."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.blocks import Retrieval
from bench.core.linked import of_first, same_question
from bench.core.vocabulary import Record
from bench.execution.run_file import SystemEntry
from bench.metrics import retrieval as relevance
from bench.metrics.registry import LEADING, MEASURES
from bench.stats import intervals
from bench.stats.bootstrap import Array
from bench.stats.comparisons import Panel
from bench.stats.intervals import Estimate

Values = dict[str, float | None]  # measure -> value of one question; None: does not apply


def per_question(
    records: Sequence[Record], system: SystemEntry, index_recall: Mapping[str, float | None] | None = None
) -> list[Values]:
    """The values of each record of one cell of a system, in order. `index_recall` is by question."""
    abstain = system.prompt.abstain
    relevant = _relevance(records, system)
    rows = []
    for record in records:
        of_answers = MEASURES.items() if system.answers else ()
        values = {name: m.of(record, abstain) for name, m in of_answers if m.of is not None}
        values |= relevant.get(record.question, {})
        if index_recall is not None:
            values["index_recall"] = index_recall[record.question]
        rows.append(values)
    return rows


def _relevance(records: Sequence[Record], system: SystemEntry) -> dict[str, Values]:
    """Measures of the passages found, by question, where there are gold ones. An oracle is given its passages."""
    retrieval = system.retrieval
    if system.distractors is not None:
        return {}
    if retrieval is None and system.kind == "predictions":  # as many passages as it was given
        retrieval = Retrieval(k=max((len(r.answer.hits or ()) for r in records), default=1) or 1, chunking=None)
    if retrieval is None:
        return {}
    shown = {r.question: r for r in records if r.answer.hits is not None and r.gold}
    rows = {q: ([h.passage_id for h in r.answer.hits or ()], _grades(r)) for q, r in shown.items()}
    found = relevance.measures(rows, retrieval.k) if rows else {}
    values: dict[str, Values] = {}
    for question, record in shown.items():
        of_passages = {name: by[question] for name, by in found.items()}
        values[question] = _of_chunks(record, of_passages, retrieval)
    return values


def _grades(record: Record) -> dict[str, int]:
    """gold passage -> its relevance."""
    return dict(zip(record.gold, record.grades or [1] * len(record.gold), strict=True))


def _of_chunks(record: Record, of_passages: Mapping[str, float], retrieval: Retrieval) -> Values:
    """The measures of what was retrieved: of the chunks where it is known which part of a passage is the evidence, of
    whole passages where they were not cut, else of documents."""
    located = record.spans and all(hit.start is not None for hit in record.answer.hits or ())
    if located:
        of = relevance.of_spans(record.answer.hits or (), record.spans, retrieval.k)
        return {**of, "document_recall_at_k": of_passages["recall_at_k"]} if retrieval.cut else {**of}
    of_documents = retrieval.cut or record.spans  # where the evidence is known, and not what part of it was found
    return {DOCUMENT[name]: value for name, value in of_passages.items()} if of_documents else {**of_passages}


DOCUMENT = {
    "recall_at_k": "document_recall_at_k",
    "precision_at_k": "document_precision_at_k",
    "mrr": "document_mrr",
    "ndcg": "document_ndcg",
}  # what a measure is called where passages were cut, and only the passage is known to be right


@dataclass(frozen=True)
class Column:
    """One measure of one system, with each question's cluster and stratum. `values`: (seeds, questions).

    One row where it was built once. Where seeds do not have the measure on the same questions, gaps are filled, and
    `gappy` has the values as they were, a gap being NaN.
    """

    questions: list[str]
    values: Array
    clusters: list[str]
    strata: list[str]
    gappy: Array | None = None

    def only(self, kept: Sequence[int]) -> Column:
        """The column on some of its questions, by their positions."""
        questions, clusters, strata = ([x[i] for i in kept] for x in (self.questions, self.clusters, self.strata))
        gappy = None if self.gappy is None else self.gappy[:, list(kept)]
        return Column(questions, self.values[:, list(kept)], clusters, strata, gappy)

    def among(self, questions: Collection[str]) -> Column:
        """The column on those of these questions that it has."""
        return self.only([i for i, question in enumerate(self.questions) if question in questions])

    def of(self, stratum: str) -> Column:
        """The column on the questions of one stratum."""
        return self.only([i for i, s in enumerate(self.strata) if s == stratum])

    def on(self, questions: Sequence[str]) -> Column:
        """The column on these questions, all of which it must have."""
        if list(questions) == self.questions:
            return self
        positions = {q: i for i, q in enumerate(self.questions)}
        return self.only([positions[q] for q in questions])

    @property
    def mean(self) -> float:
        """Over questions and seeds."""
        return float(self.values.mean())


def by_measure(rows: Sequence[Values]) -> dict[str, Array]:
    """measure -> its values, one a row: NaN where it does not apply."""
    named = dict.fromkeys(name for row in rows for name, value in row.items() if value is not None)
    return {name: np.array([row.get(name) for row in rows], float) for name in named}  # float: None becomes NaN


def joined(parts: Sequence[tuple[int, Mapping[str, Array]]]) -> dict[str, Array]:
    """measure -> its values, of the parts one after the other, each with how many rows it has."""
    named = dict.fromkeys(name for _, values in parts for name in values)
    return {name: np.concatenate([values.get(name, np.full(rows, np.nan)) for rows, values in parts]) for name in named}


def columns(cells: Sequence[tuple[Sequence[Record], Mapping[str, Array]]]) -> dict[str, Column]:
    """measure -> column, from the cells of one system, one a seed: its records, and a value of each by measure."""
    asked = {r.question: r for records, _ in cells for r in records}
    places = {question: place for place, question in enumerate(asked)}
    clusters_of = of_first((same_question(r.text, r.answers, r.gold), r.group) for r in asked.values())
    at = [np.array([places[r.question] for r in records], int) for records, _ in cells]
    heads: dict[bytes, tuple[list[str], list[str], list[str]]] = {}  # most measures are of the same questions
    found = {}
    for measure in MEASURES:
        matrix = np.full((len(cells), len(asked)), np.nan)
        for row, where, (_, values) in zip(matrix, at, cells, strict=True):
            row[where] = values.get(measure, np.nan)
        seen = ~np.isnan(matrix).all(0)
        if not seen.any():
            continue
        if (key := seen.tobytes()) not in heads:
            rows = [r for r, is_seen in zip(asked.values(), seen, strict=True) if is_seen]
            groups = [group for group, is_seen in zip(clusters_of, seen, strict=True) if is_seen]
            heads[key] = [r.question for r in rows], groups, [r.stratum for r in rows]
        questions, clusters, strata = heads[key]
        kept = matrix[:, seen]
        found[measure] = Column(questions, _whole(kept), clusters, strata, kept if np.isnan(kept).any() else None)
    return found


def _whole(matrix: Array) -> Array:
    """Values, (seeds, questions), without gaps.

    A gap gets its question's mean over the other seeds plus what its seed is above them elsewhere: the means of
    questions stay, and so does the spread of the seeds; but where that would take a value beyond the lowest or the
    highest that was seen, a gap gets its question's mean alone. A seed without any value is left out.
    """
    missing = np.isnan(matrix)
    if not missing.any():
        return matrix
    lowest, highest = np.nanmin(matrix), np.nanmax(matrix)
    matrix = matrix[~missing.all(1)]
    missing = np.isnan(matrix)
    by_question = np.nanmean(matrix, 0)
    above = np.nanmean(matrix - by_question, 1, keepdims=True)
    filled = np.where(missing, by_question + above, matrix)
    whole: Array = filled + (by_question - filled.mean(0))
    beyond = ((whole < lowest) | (whole > highest)).any(0)
    return np.where(beyond, np.where(missing, by_question, matrix), whole)


def estimate(column: Column | None) -> Estimate | None:
    """The mean of a column with its interval; None without a question."""
    if column is None or not column.questions:
        return None
    return intervals.estimate(column.values, column.clusters)


def estimates(alike: Mapping[str, Column], kept: Sequence[int] | None = None) -> dict[str, Estimate | None]:
    """The means of columns of the same questions, or of some of these by their positions, by the columns' names."""
    clusters = next((column.clusters for column in alike.values()), [])
    values = [column.values for column in alike.values()]
    if kept is not None:
        clusters, values = [clusters[i] for i in kept], [of[:, list(kept)] for of in values]
    return dict(zip(alike, intervals.estimates(values, clusters), strict=True))


def pairwise(
    having: Mapping[str, Column], pairs: Iterable[tuple[str, str]] | None = None
) -> list[tuple[Panel, list[tuple[str, str]]]]:
    """Every pair of columns, or those that are named, each on the questions that both have; pairs of the same questions
    share a panel."""
    known: dict[tuple[str, ...], tuple[str, ...]] = {}  # questions by what they are: most columns have the same
    of = {name: known.setdefault(asked := tuple(column.questions), asked) for name, column in having.items()}
    groups: dict[int, tuple[tuple[str, ...], list[tuple[str, str]]]] = {}
    for a, b in itertools.combinations(having, 2) if pairs is None else pairs:
        common = of[a]
        if common is not of[b]:
            seen = set(of[b])
            both = tuple(q for q in common if q in seen)
            common = known.setdefault(both, both)
        if common:
            groups.setdefault(id(common), (common, []))[1].append((a, b))
    found = []
    for common, names in groups.values():
        kept = {name: having[name].on(common) for name in dict.fromkeys(name for pair in names for name in pair)}
        clusters = next(iter(kept.values())).clusters
        found.append((Panel({name: column.values for name, column in kept.items()}, clusters), names))
    return found


MANY = 30  # systems beyond which not every pair is compared unless asked: pairs grow with their square


def named_pairs(names: Sequence[str], hubs: Sequence[str], *, every: bool) -> tuple[list[tuple[str, str]], int]:
    """(the pairs to compare, how many there are in all): all, or beyond MANY systems those with one of `hubs`."""
    pairs = list(itertools.combinations(names, 2))
    if every or len(names) <= MANY:
        return pairs, len(pairs)
    return [pair for pair in pairs if set(pair) & set(hubs)], len(pairs)


def panel(having: Mapping[str, Column]) -> Panel | None:
    """The columns on the questions that all of them have; None without any."""
    first, *others = having.values()
    seen = [set(c.questions) for c in others]
    common = [q for q in first.questions if all(q in s for s in seen)]
    if not common:
        return None
    kept = {name: column.on(common) for name, column in having.items()}
    return Panel({name: column.values for name, column in kept.items()}, next(iter(kept.values())).clusters)


def headline(found: Mapping[str, Mapping[str, Column]], *, numeric: bool = False) -> str:
    """The measure that leads: label accuracy where it covers every question that has a reference answer, else exact
    match or recall where there is no reference answer. Where all answers are numbers, numeric match leads; where most
    are, strict exact match."""
    covered = {
        measure: {q for columns in found.values() if measure in columns for q in columns[measure].questions}
        for measure in LEADING
    }
    scored = covered["em"] or covered["recall_at_k"]
    leading = [measure for measure in LEADING if measure not in ("numeric", "em_strict") or numeric]
    return next((measure for measure in leading if covered[measure] and covered[measure] >= scored), "em")
