"""Readings of a run in which another system is ahead of the choice: where there is one, there is no winner."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from bench.scoring.grade import Column
from bench.scoring.schema import Contradiction, Split, View
from bench.verdict.decision import Decision, Weighing, against
from bench.verdict.evidence import Evidence


def contradictions(
    evidence: Evidence, decision: Decision, feasible: Sequence[str], weighing: Weighing
) -> Iterator[Contradiction]:
    """Every part of the questions, and reading of a judge's failures, that contradicts the choice.

    The parts are the questions that training has not seen, those that the corpus answers, and those where abstaining is
    right. On each another system must not be shown to be ahead, what counts beside quality counted as on the whole; on
    unseen questions a winner must be ahead at all, and no system that it is called level with ahead by the margin. A
    choice that was trained must be shown to be so there, for the rest may be memory.
    """
    columns = {name: evidence.ranked[name] for name in feasible}
    for view, questions in views(evidence, columns).items():
        kept = _on(columns, questions)
        if decision.choice in kept:
            yield from _behind(decision, view, kept, weighing, evidence)
    yield from _doubted(evidence, decision, feasible, weighing)


def unseen_no_worse(evidence: Evidence, decision: Decision, feasible: Sequence[str], weighing: Weighing) -> bool:
    """Whether on the questions that training has not seen, too, it is ruled out that one of those that could not be
    told from the choice is better by the margin."""
    columns = {name: evidence.ranked[name] for name in feasible}
    unseen = views(evidence, columns).get("clean")
    if unseen is None:
        return True
    kept = _on(columns, unseen)
    pairs = weighing.against(kept, decision.choice, evidence.margin) if decision.choice in kept else []
    return {pair.b for pair in pairs if pair.non_inferior}.issuperset(decision.among)


def views(evidence: Evidence, columns: Mapping[str, Column]) -> dict[View, set[str]]:
    """The parts of the questions that are neither empty nor the whole."""
    scored = {q for column in columns.values() for q in column.questions}
    parts: dict[View, set[str]] = {
        "clean": scored - set(evidence.run.leaks),
        "answerable": scored - evidence.unanswerable,
        "unanswerable": scored & evidence.unanswerable,
    }
    return {view: part for view, part in parts.items() if part and part != scored}


def _on(columns: Mapping[str, Column], questions: Collection[str]) -> dict[str, Column]:
    """The columns on a part of the questions, of those systems that have any of it."""
    parts = {name: column.among(questions) for name, column in columns.items()}
    return {name: column for name, column in parts.items() if column.questions}


def _behind(
    decision: Decision, view: View, kept: Mapping[str, Column], weighing: Weighing, evidence: Evidence
) -> Iterator[Contradiction]:
    """`kept` are the columns on the part of the questions."""
    choice, level = decision.choice, _level(decision)
    least = {pair.b: 0.0 for pair in decision.against if pair.verdict == "better"}
    least |= dict.fromkeys(level, -(evidence.margin or 0.0))
    for pair in weighing.against(kept, choice, evidence.margin):
        hollow = view == "clean" and pair.b in least and pair.difference <= least[pair.b]
        if view == "clean" and pair.b in least and evidence.named[choice].has_seen_training:
            hollow = hollow or not (pair.non_inferior if pair.b in level else pair.verdict == "better")
        if pair.verdict == "worse" or hollow:
            mine, its = kept[choice].mean, kept[pair.b].mean
            yield Contradiction(view=view, to=pair.b, mine=mine, its=its, n=pair.n)


def remembered(evidence: Evidence, choice: str, controls: Sequence[str]) -> Iterator[Contradiction]:
    """The controls that the choice is not ahead of, or was trained and is not shown to be ahead of, on the questions
    that training has not seen."""
    columns = {name: evidence.ranked[name] for name in (choice, *controls)}
    unseen = views(evidence, columns).get("clean", set())
    kept = {name: column.among(unseen) for name, column in columns.items()}
    for name in controls:
        mine, its = kept[choice], kept[name]
        if not mine.questions or not its.questions:
            continue
        pairs = against({choice: mine, name: its}, choice, evidence.margin)
        shown = all(pair.verdict == "better" for pair in pairs) or not evidence.named[choice].has_seen_training
        if mine.mean <= its.mean or not shown:
            yield Contradiction(view="clean", to=name, mine=mine.mean, its=its.mean, n=len(mine.questions))


def _level(decision: Decision) -> tuple[str, ...]:
    """The systems that the sentence calls level with the choice: by no more than the margin ahead of it."""
    return (*decision.equivalent, *(decision.among if decision.outcome == "not worse" else ()))


def _doubted(
    evidence: Evidence, decision: Decision, feasible: Sequence[str], weighing: Weighing
) -> Iterator[Contradiction]:
    """Systems that are ahead of a winner, or by the margin ahead of what is called level with them, if every verdict
    that failed had gone their way."""
    doubts = {name: evidence.named[name].doubts.get(evidence.headline) for name in feasible}
    mine = doubts[decision.choice]
    for pair in decision.against:
        its, level = doubts[pair.b], pair.b in _level(decision)
        if not (level or pair.verdict == "better") or not mine or not its or not (mine.failed or its.failed):
            continue
        (low, _), (_, high) = mine.ranked or mine.bounds, its.ranked or its.bounds
        ahead = high - low - weighing.points(decision.choice, pair.b)
        if ahead >= (evidence.margin or 0.0) if level else ahead > 0:
            yield Contradiction(view="judge", to=pair.b, mine=low, its=high, n=pair.n)


def split(evidence: Evidence, choice: str, others: Sequence[str]) -> Iterator[Split]:
    """Where a level whole hides two opposite halves, the difference of the choice from another system in each half.

    The halves are the answerable questions, and those where abstaining is right. Only where both differ, in opposite
    ways, each by itself.
    """
    for other in others:
        answerable = evidence.pair(choice, other, "answerable_em")
        unanswerable = evidence.pair(choice, other, "abstains_rightly")
        if answerable is None or unanswerable is None:
            continue
        both_differ = all(pair.low > 0 or pair.high < 0 for pair in (answerable, unanswerable))
        if both_differ and answerable.difference * unanswerable.difference < 0:
            yield Split(to=other, answerable=answerable, unanswerable=unanswerable)
