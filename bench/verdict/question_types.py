"""Which system is ahead on which type of question, and at which mix of types another one would lead."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from bench.core.system import Family
from bench.scoring.grade import Column, estimate, pairwise
from bench.scoring.schema import Mix, QuestionTypes, TypeRow
from bench.stats.comparisons import Pair, compare_family
from bench.verdict.evidence import Evidence

COMPARED: tuple[Family, ...] = ("retrieval", "tuning", "both")


def question_types(evidence: Evidence, feasible: Sequence[str]) -> QuestionTypes | None:
    """The leading system of each family on each type of question, where the gap is widest first.

    Every pair on every type is one family of hypotheses, corrected by Holm. None without two families, or two types.
    Where one of them was trained, on the questions that training has not seen.
    """
    ranked = sorted(feasible, key=lambda name: -evidence.quality(name))
    found = [next((n for n in ranked if evidence.named[n].shown_family == family), None) for family in COMPARED]
    leaders = sorted((name for name in found if name), key=ranked.index)
    columns = {name: evidence.ranked[name] for name in leaders}
    if any(evidence.named[name].has_seen_training for name in leaders):
        columns = {name: evidence.unseen(column) for name, column in columns.items()}
    types = dict.fromkeys(itertools.chain(*(column.strata for column in columns.values())))
    parts = {t: {name: column.of(t) for name, column in columns.items()} for t in types}
    parts = {t: part for t, part in parts.items() if all(column.questions for column in part.values())}
    if len(leaders) < 2 or len(parts) < 2:
        return None
    rows = sorted(_rows(parts, evidence.margin), key=lambda row: -row.gap)
    asked = Counter(stratum for name in leaders[:1] for stratum in evidence.ranked[name].strata)
    return QuestionTypes(systems=tuple(leaders), rows=tuple(rows), mixes=tuple(mixes(columns, rows, asked)))


def _rows(parts: Mapping[str, Mapping[str, Column]], margin: float | None) -> Iterator[TypeRow]:
    panels = {t: pairwise(part) for t, part in parts.items()}
    number = {t: sum(len(names) for _, names in found) for t, found in panels.items()}
    pairs = iter(compare_family([p for found in panels.values() for p in found], margin=margin))
    for t, part in parts.items():
        seen = tuple(itertools.islice(pairs, number[t]))
        scores = {name: found for name, column in part.items() if (found := estimate(column))}
        yield TypeRow(type=t, n=max(s.n for s in scores.values()), scores=scores, pairs=seen, ahead=ahead(part, seen))


def ahead(systems: Mapping[str, Column], pairs: Sequence[Pair]) -> tuple[str, ...]:
    """The systems that are shown to be better than another one, and worse than none."""
    better = {pair.a if pair.verdict == "better" else pair.b for pair in pairs if pair.verdict in ("better", "worse")}
    worse = {pair.b if pair.verdict == "better" else pair.a for pair in pairs if pair.verdict in ("better", "worse")}
    return tuple(name for name in systems if name in better - worse)


def mixes(columns: Mapping[str, Column], rows: Sequence[TypeRow], asked_of: Mapping[str, int]) -> Iterator[Mix]:
    """From which share of a type on another system would lead, where it is shown to be ahead on that type; and where
    the one that leads is shown to be, below which share of it the highest of the others would.

    The other types keep their shares of the rest. `asked_of`: the questions of each type, leaked ones too.
    """
    number = {row.type: asked_of.get(row.type, row.n) for row in rows}
    asked = sum(number.values())

    def now(name: str) -> float:
        """What a system would score on the questions as they are asked, by what is known of each type."""
        return sum(number[row.type] * row.scores[name].mean for row in rows) / asked

    first = max(columns, key=now)

    def turned(row: TypeRow, name: str) -> Mix | None:
        """Where the lead turns to a system, which must be higher on the type or on the rest, and lower on the other."""
        rest = [other for other in rows if other is not row]
        gained = row.scores[name].mean - row.scores[first].mean
        lost = sum(number[o.type] * (o.scores[first].mean - o.scores[name].mean) for o in rest)
        lost /= sum(number[o.type] for o in rest)
        share, below = (lost / (lost + gained) if lost + gained else 0.0), gained < 0
        turns = gained * lost > 0
        return Mix(type=row.type, to=name, now=number[row.type] / asked, share=share, below=below) if turns else None

    others = [(row, name) for row in rows if first not in row.ahead for name in row.ahead]
    above = [mix for row, name in others if (mix := turned(row, name)) and not mix.below]
    yield from above
    for row in (row for row in rows if first in row.ahead):  # without which another one may lead
        rivals = set(columns) - {first, *row.ahead}
        below = [mix for name in sorted(rivals) if (mix := turned(row, name)) and mix.below]
        overtaking = max(below, key=lambda mix: mix.share, default=None)
        if overtaking and overtaking.to not in {mix.to for mix in above}:
            yield overtaking
