"""The verdict as one sentence that a manager reads; every clause is about the system that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.metrics.registry import MEASURES, title
from bench.scoring.grade import estimate
from bench.scoring.schema import Contradiction, Mix, Need, QuestionTypes, Recommendation, View
from bench.stats.comparisons import Pair
from bench.verdict.evidence import Evidence

FLOOR = 0.05  # a share of right answers below which a system is of no use
ON: Mapping[View, str] = {
    "clean": "on the {n} questions that training has not seen",
    "answerable": "on the {n} questions that the corpus answers",
    "unanswerable": "on the {n} questions where abstaining is right",
    "judge": "if every failed verdict of the judge had gone the other way",
}


def sentence(evidence: Evidence, found: Recommendation, doubted: Sequence[str], *, all_seen: bool = False) -> str:
    """The verdict. `doubted` are the systems whose figure a judge leaves open; `all_seen`: training has seen every
    question."""
    what = title(found.metric).lower()
    if doubted:
        of = f"{what} is not decisive for {listed(doubted)}"
        return f"No verdict: {of}. Set `needs.metric` to another measure, or fix the judge."
    if all_seen:
        return (
            "No verdict: training has seen every question, so that knowing an answer cannot be told from remembering "
            "it. Ask questions that are not in the training data."
        )
    weights = evidence.run.spec.needs.weights.counted
    counted = [key for key in weights if any(getattr(found.criteria[name], key) is not None for name in found.feasible)]
    weighed = listed(counted) if counted else ""
    if found.contradictions:
        return _contradicted(found, weighed)
    choice = str(found.choice)
    if found.outcome == "nothing works":
        return _nothing_works(evidence, found)
    if found.outcome == "not better than the base model":
        return _no_better(evidence, found, choice)
    chosen = f"{_chosen(evidence, found, choice, weighed)}{_by_itself(evidence, found, choice, weighed)}"
    beside = f"{_unknown(found, weights)}{_left_out(evidence, found)}"
    rest = f"{beside}{_open_needs(choice, found.needs[choice])}{_uncontrolled(found)}"
    whole = f"{chosen}{rest}"
    depends = disagreement(found.types, evidence.few_seeds(found.types.systems) if found.types else {})
    return f"{depends} Over all questions: {whole}" if depends else whole


def _chosen(evidence: Evidence, found: Recommendation, choice: str, weighed: str) -> str:
    score = _score(evidence, found, choice)
    if found.outcome == "undecided":
        start = f"No clear winner between {choice} and {listed(found.among, 'or')}"
        highest = f"Highest so far: {choice}," if choice == found.best and not weighed else f"So far {choice} has:"
        return f"{start}; {takes(found)}. {highest} {score}."
    start = f"Use {choice}"
    if found.outcome == "provisional":
        start = f"Provisional, {_seeds(evidence.few_seeds([choice, *(pair.b for pair in found.against)]))}: {choice}"
    if not found.against:
        return f"{start}: {score}. {_no_other(found)}"
    behind = [pair.b for pair in found.against if pair.verdict == "better"]
    level = [*found.equivalent, *found.among]
    once = f" once {weighed} {'is' if ' and ' not in weighed else 'are'} weighed" if weighed else ""
    if not level:
        return f"{start}: {score}, ahead of every other system that meets the needs{once}."
    verb = "is" if len(found.equivalent) == 1 else "are"
    same = f" {listed(found.equivalent)} {verb} equivalent to it{once}." if found.equivalent else ""
    rest = f" All others are behind{once}." if behind else ""
    return f"{start}: {score}.{same}{_ruled_out(found, once)}{rest}"


def _ruled_out(found: Recommendation, once: str) -> str:
    """What is known of the systems that cannot be told from the choice."""
    if not found.among:
        return ""
    margin = next(pair.margin for pair in found.against if pair.b in found.among)
    them, it = (found.among[0], "it is not") if len(found.among) == 1 else (f"any of {listed(found.among)}", "none is")
    ruled_out = f"That {them} is better by {margin} or more{once} is ruled out"
    return f" {ruled_out}, and {it} clearly cheaper, quicker or smaller."


def _by_itself(evidence: Evidence, found: Recommendation, choice: str, weighed: str) -> str:
    """Who is highest by the measure alone, where something else counts too and it is another system."""
    highest = max(found.feasible, key=evidence.quality)
    if not weighed or evidence.quality(highest) <= evidence.quality(choice):
        return ""
    return f" By {title(found.metric).lower()} alone {highest} is highest, {evidence.quality(highest):.2f}."


def _no_other(found: Recommendation) -> str:
    """That no other system meets the needs; or that of some it is not known, or that there is none."""
    if len(found.needs) == 1:
        return "No other system was compared."
    unknown: dict[str, list[str]] = {}
    for name, needs in found.needs.items():
        states = [need.state for need in needs]
        if "unmeasured" in states and "missed" not in states:
            unknown[name] = [need.need for need in needs if need.state == "unmeasured"]
    if not unknown:
        return "No other system meets the needs."
    each = "; ".join(f"{name} was not measured for {listed(needs)}" for name, needs in unknown.items())
    return f"No other system is shown to meet the needs: {each}."


def _nothing_works(evidence: Evidence, found: Recommendation) -> str:
    """That no system is right often enough to be of use, or that none is shown to be."""
    highest = max(found.feasible, key=evidence.quality)
    score = estimate(evidence.ranked[highest])
    said = "Nothing works" if score is not None and score.high < FLOOR else "Nothing is shown to work"
    told = f"the highest is {highest}, {_score(evidence, found, highest)}"
    able = max(found.feasible, key=evidence.answered)
    if evidence.quality(highest) < FLOOR or evidence.answered(able) >= FLOOR:
        return f"{said}: {told}."
    right = f"{able}, which leads there, is right on {evidence.answered(able):.2f} of them"
    return f"Nothing works on the questions that have an answer: {right}. Over all questions {told}, by abstaining."


def _uncontrolled(found: Recommendation) -> str:
    """That nobody knows what the base model alone would score, where a run left its control out."""
    decided = found.outcome in ("winner", "equivalent", "not worse", "provisional")
    of_passages = MEASURES[found.metric].source in ("retrieval", "index")
    if not decided or of_passages or found.controls:
        return ""
    return " It was not compared with the base model alone."


def _unknown(found: Recommendation, counted: Sequence[str]) -> str:
    """Whose figures are weighed, and are not known."""
    told = ""
    for key in counted:
        unknown = [name for name in found.feasible if getattr(found.criteria[name], key) is None]
        if len(unknown) == len(found.feasible):
            told += f" No {key} is known, so that it was not weighed."
        elif unknown:
            told += f" The {key} of {listed(unknown)} is not known; the highest that is known was weighed."
    return told


def _left_out(evidence: Evidence, found: Recommendation) -> str:
    """The systems of the spec that are in no comparison, because they did not finish or lack the measure."""
    own = [name for name, entry in evidence.run.systems.items() if entry.scenario is None and not entry.is_control]
    failed = [name for name in own if name not in evidence.systems and name not in evidence.experiments]
    lacking = [
        name for name in own if name in evidence.named and name not in found.needs and evidence.entry(name).answers
    ]
    told = f" {listed(failed)} did not finish." if failed else ""
    if lacking:
        told += f" {listed(lacking)} {'has' if len(lacking) == 1 else 'have'} no {title(found.metric).lower()}."
    return told


def _no_better(evidence: Evidence, found: Recommendation, choice: str) -> str:
    """Which control the choice is not shown to be ahead of."""
    pair = next(pair for pair in found.controls if pair.verdict != "better")
    base = evidence.ranked[pair.b].mean
    said = "is worse than" if pair.verdict == "worse" else "is not shown to be better than"
    seeds = evidence.few_seeds([choice])
    once = f", provisionally ({_seeds(seeds)})" if seeds else ""
    return (
        f"Nothing is recommended{once}: {choice}, {_score(evidence, found, choice)}, {said} the base model alone "
        f"({pair.b}, {base:.2f})."
    )


def _score(evidence: Evidence, found: Recommendation, name: str) -> str:
    """A figure with its interval and what it is about."""
    column = evidence.ranked[name]
    score = estimate(column)
    if score is None:
        raise ValueError(f"{name} has no {found.metric}")
    interval = f"{score.low:.2f}\N{EN DASH}{score.high:.2f}"
    part = f"n = {score.n}"
    if found.asked and score.n < found.asked:
        part = f"on {score.n} of {found.asked} questions; it says nothing of the others"
    return f"{title(found.metric).lower()} {score.mean:.2f} (95% interval {interval}, {part})"


def _contradicted(found: Recommendation, weighed: str) -> str:
    """Which part says what."""
    what = title(found.metric).lower()
    leads = f"{found.choice} has the highest {what} on all questions together"
    if weighed:
        leads = f"{found.choice} is ahead on all questions together, {weighed} weighed"
    elif found.choice != found.best:
        leads = f"{found.choice} is equivalent to the highest {what} on all questions together"
    first: dict[View, Contradiction] = {}
    for row in found.contradictions:
        if row.view not in first or row.its > first[row.view].its:
            first[row.view] = row
    parts = [f"{ON[view].format(n=row.n)}, {_said(row)}" for view, row in first.items()]
    return f"No winner: {leads}, but {'; '.join(parts)}."


def _said(row: Contradiction) -> str:
    """What speaks against the choice: that another system is ahead of it, or that it is not shown to be ahead."""
    if row.its >= row.mine:
        return f"{row.to} scores {row.its:.2f} against {row.mine:.2f}"
    return f"that is not shown: {row.mine:.2f} against {row.its:.2f} of {row.to}"


def takes(found: Recommendation) -> str:
    """What would decide: more questions, more seeds, both, or neither."""
    pairs = [pair for pair in found.against if pair.b in found.among]
    few = [pair for pair in pairs if pair.n90 is not None and pair.n90 <= pair.n]
    seen = [pair for pair in pairs if _has_plan(pair)]
    unseen = [pair.b for pair in pairs if not _has_plan(pair)]
    within = [pair.within90 for pair in pairs if pair.within90 and pair.within90 > pair.n]
    behind = next((pair for pair in pairs if pair.verdict == "worse"), None)
    if behind:
        return f"on the {behind.n:,} questions that both have, {behind.b} is ahead of {behind.a}"
    if few:
        return _too_few(few)
    if not seen and pairs and len(within) == len(pairs):
        return f"{_about(max(within))} needed to show that they differ by less than {pairs[0].margin}"
    if not seen:
        return "no difference was seen between them, so the number of questions needed cannot be estimated"
    rest = f"; from {listed(unseen)} no difference was seen" if unseen else ""
    if all(pair.n90 for pair in seen):
        return f"{_about(max(pair.n90 or 0 for pair in seen))} needed to decide{rest}"
    if all(pair.seeds90 for pair in seen):
        seeds = max(pair.seeds90 or 0 for pair in seen)
        return f"about {seeds:,} seeds are needed to decide, and more questions alone will not do{rest}"
    each = [pair.both90 or (pair.n90 or pair.n, pair.seeds90 or pair.seeds) for pair in seen]
    questions, seeds = (max(plan[i] for plan in each) for i in (0, 1))
    return f"about {questions:,} questions and {seeds:,} seeds are needed to decide{rest}"


def _too_few(pairs: Sequence[Pair]) -> str:
    """That a difference was seen, of a size that so many questions would show, were enough of them independent."""
    pair = min(pairs, key=lambda pair: pair.clusters)
    of = f"{pair.n:,} questions" if pair.clusters == pair.n else f"{pair.clusters:,} groups of questions"
    return f"a difference was seen, but {of} are too few to show it"


def _about(questions: int) -> str:
    return f"about {questions:,} questions are"


def _has_plan(pair: Pair) -> bool:
    return pair.n90 is not None or bool(pair.seeds90 or pair.both90)


def _open_needs(name: str, needs: Sequence[Need]) -> str:
    undecided = [f"`{need.need}`" for need in needs if need.state == "not decided"]
    return f" Whether {name} meets {listed(undecided)} is not decided." if undecided else ""


def by_type(found: QuestionTypes | None) -> str:
    """What the verdict does not say of the types of question; empty where nothing was compared by type."""
    if found is None:
        return ""
    beyond = [row.type for row in found.rows if row.is_beyond_all]
    none = f" No leading system is right on any question of {listed(beyond, 'or')}." if beyond else ""
    return (_level(found) + none).strip()


def _level(found: QuestionTypes) -> str:
    """That the types agree; empty where they do not, which the verdict begins with."""
    told = [row.ahead for row in found.rows if row.ahead]
    if not told:
        return "On no type of question is a difference between the leading systems shown."
    if everywhere := _everywhere(found):
        return f"On no type of question is {listed(everywhere, 'or')} shown to be behind."
    return ""


def _everywhere(found: QuestionTypes) -> list[str]:
    """The systems that are ahead on every type on which one is."""
    return [name for name in found.systems if all(name in row.ahead for row in found.rows if row.ahead)]


def _seeds(few: Mapping[str, int]) -> str:
    """The fewest seeds of systems that have too few, in words."""
    return "two seeds" if min(few.values()) == 2 else "one seed"


def disagreement(found: QuestionTypes | None, seeds: Mapping[str, int] = {}) -> str:
    """Which system is ahead on which types, where they disagree; else empty. `seeds`: of those that have too few."""
    if found is None or _everywhere(found):
        return ""
    groups: dict[tuple[str, ...], list[str]] = {}
    for row in found.rows:
        if row.ahead:
            groups.setdefault(row.ahead, []).append(row.type)
    parts = [
        f"{listed(names)} {'is' if len(names) == 1 else 'are'} ahead on {listed(k)}" for names, k in groups.items()
    ]
    provisional = f" (provisional, {_seeds(seeds)})" if seeds else ""
    return f"It depends on the type of question{provisional}: {'; '.join(parts)}."


def mixed(mix: Mix) -> str:
    """From which share of a type on, or below which, another system would lead."""
    share = f"{_percent(mix.share)} of the questions are of the type {mix.type} (now {_percent(mix.now)})"
    if mix.below:
        return f"{mix.to} overtakes, by its mean on the others, when fewer than {share}."
    return f"{mix.to} overtakes when more than {share}."


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.095 else f"{share:.1%}" if share >= 0.0005 else "0.1%"


def no_system(needs: Mapping[str, Sequence[Need]], *, finished: bool) -> str:
    """Why nothing can be recommended."""
    if not needs and finished:
        return "No verdict: no question has a reference answer that the measure could be scored on."
    if not needs:
        return "No verdict: no system outside the controls finished."
    failing = {name: [row for row in rows if row.state in ("missed", "unmeasured")] for name, rows in needs.items()}
    nearest = min(failing, key=lambda name: len(failing[name]))
    missed = [row.need for row in failing[nearest] if row.state == "missed"]
    unmeasured = [row.need for row in failing[nearest] if row.state == "unmeasured"]
    why = [f"misses {listed(missed)}"] if missed else []
    why += [f"was not measured for {listed(unmeasured)}"] if unmeasured else []
    return f"No system is shown to meet the needs. The closest is {nearest}, which {listed(why)}."


def listed(names: Sequence[str], word: str = "and") -> str:
    """Names as a list in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"
