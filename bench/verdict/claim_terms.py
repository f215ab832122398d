"""What rules of claims share: the systems that they look for, and findings from pairs of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.metrics.registry import title
from bench.scoring.schema import ClaimStatus
from bench.stats.comparisons import Pair
from bench.verdict.evidence import Evidence
from bench.verdict.noise import ALIKE

DRIFT = ALIKE["latency"]  # by which latencies of one system differ between two processes of a busy machine
ALIKE_TOKENS = 1.1  # by which the training tokens of two systems may differ and still be called as many
NOTHING_LEARNED = "It takes systems of which one is better than the base model alone."
EQUAL_ARMS = "It takes arms trained on as many tokens, within 10%; set `tuning.max_steps` or `tuning.epochs`."


@dataclass(frozen=True)
class Finding:
    """What a run says of a claim. `takes` is what would decide it, where it is open."""

    status: ClaimStatus
    measured: str
    takes: str = ""


def first(evidence: Evidence, kind: str, **config: Any) -> str | None:
    """The first of the spec's systems of a kind whose configuration says so; dotted keys are written with `__`."""
    for name in evidence.named:
        entry = evidence.entry(name)
        if entry.kind == kind and all(_at(entry.config, key) == value for key, value in config.items()):
            return name
    return None


def _at(config: Any, key: str) -> Any:
    for step in key.split("__"):
        config = config.get(step) if isinstance(config, Mapping) else None
    return config


def rag(evidence: Evidence) -> str | None:
    """The first plain retrieval system."""
    return next(iter(_plain(evidence)), None)


def hops(evidence: Evidence) -> str | None:
    """The first plain retrieval system with more than one look-up."""
    return next((name for name in _plain(evidence) if _hops(evidence, name) > 1), None)


def untuned(evidence: Evidence, arm: str) -> str | None:
    """The first plain retrieval system with as many look-ups as a system that is tuned too; else the first one."""
    return next((name for name in _plain(evidence) if _hops(evidence, name) == _hops(evidence, arm)), rag(evidence))


def _plain(evidence: Evidence) -> list[str]:
    return [n for n in evidence.named if evidence.entry(n).kind == "rag" and evidence.entry(n).precision == "native"]


def _hops(evidence: Evidence, name: str) -> int:
    found = evidence.entry(name).retrieval
    return found.hops if found else 0


def lora(evidence: Evidence) -> str | None:
    """The first LoRA system that is trained on question-answer pairs alone."""
    return first(evidence, "lora", tuning__passages=False, tuning__paraphrases=False)


def hybrid(evidence: Evidence) -> str | None:
    """The first hybrid of retrieval and LoRA."""
    return first(evidence, "hybrid", method="lora", precision="native", distractors=None, raft=None)


def pair_as_text(pair: Pair, measure: str) -> str:
    """A comparison as a sentence part: the difference, its interval, n and the test."""
    difference = f"{pair.difference:+.2f} (95% interval {pair.low:+.2f} to {pair.high:+.2f}, n = {pair.n}, "
    return f"{title(measure)}: {pair.a} minus {pair.b} {difference}{pair.test} p = {pair.p:.2g})"


def ahead(pairs: Sequence[Pair | None], measure: str) -> Finding | None:
    """Confirmed where `a` is better in every pair, refuted where it is worse or equivalent in one."""
    known = [pair for pair in pairs if pair is not None]
    if not known or len(known) < len(pairs):
        return None
    measured = "; ".join(pair_as_text(pair, measure) for pair in known)
    if all(pair.verdict == "better" for pair in known):
        return Finding("confirmed", measured)
    if any(pair.verdict in ("worse", "equivalent") for pair in known):
        return Finding("refuted", measured)
    return Finding("inconclusive", measured, would_decide(known))


def level(pair: Pair | None, measure: str) -> Finding | None:
    """Confirmed where `a` is not worse by more than the margin, refuted where it is shown to be worse by that."""
    if pair is None:
        return None
    measured = pair_as_text(pair, measure)
    if pair.margin is None:
        return Finding("inconclusive", measured, "It takes a `margin` in the spec.")
    measured += f"; margin {pair.margin:.2f}"
    if pair.non_inferior:
        return Finding("confirmed", measured)
    if pair.verdict == "worse":
        if pair.high <= -pair.margin:
            return Finding("refuted", measured)
        takes = "A difference was seen, but it takes more questions to tell whether it is within the margin."
        return Finding("inconclusive", measured, takes)
    return Finding("inconclusive", measured, would_decide([pair]))


def above_base(
    evidence: Evidence, found: Finding | None, pairs: Sequence[Pair | None], measure: str, stratum: str | None = None
) -> Finding | None:
    """The finding; inconclusive where it rests on systems that are level and none is better than the base model alone.

    Where nothing was learned and nothing read, that two systems are level shows nothing of either.
    """
    known = [pair for pair in pairs if pair is not None]
    if found is None or found.status == "inconclusive" or any(pair.verdict in ("better", "worse") for pair in known):
        return found
    named = sorted({name for pair in known for name in (pair.a, pair.b)})
    beside = [(name, base) for name in named for base in evidence.controls(name)]
    over = [evidence.pair(name, base, measure, stratum) for name, base in beside]
    if not beside or any(pair is not None and pair.verdict == "better" for pair in over):
        return found
    bases = ", ".join(sorted({base for _, base in beside}))
    return Finding("inconclusive", f"{found.measured}; none is better than {bases}", NOTHING_LEARNED)


def would_decide(pairs: Sequence[Pair]) -> str:
    """How many questions would decide pairs that are open."""
    left = [pair for pair in pairs if pair.verdict == "inconclusive"] or pairs
    questions = max((pair.n90 for pair in left if pair.n90), default=None)
    if questions is not None and all((pair.n90 or 0) > pair.n for pair in left if pair.n90):
        return f"Finding a difference of this size with 90% power takes n = {questions:,} questions."
    if questions is not None:
        return "A difference was seen, but it takes more questions, or more independent ones, to show it."
    if all(pair.margin is None for pair in left):
        return "No difference was seen; set a margin to show that there is none."
    within = [pair.within90 for pair in left if pair.within90 and pair.within90 > pair.n]
    if within and len(within) == len(left):
        return f"To show with 90% power that they differ by less than the margin takes n = {max(within):,} questions."
    return "How many questions would decide it cannot be said from these."


def paired(evidence: Evidence, a: str | None, b: str | None, measure: str, stratum: str | None = None) -> Pair | None:
    """Two systems compared; None where one is not there."""
    return evidence.pair(a, b, measure, stratum) if a and b else None


def same_tokens(evidence: Evidence, a: str, b: str) -> bool:
    """Whether two systems were trained on as many tokens, within 10%; not where one did not say."""
    first_of, second = (evidence.systems[name].build.tokens for name in (a, b))
    return bool(first_of and second and as_many(first_of, second))


def as_many(a: float, b: float) -> bool:
    """Whether two numbers of training tokens count as equal."""
    return max(a, b) <= ALIKE_TOKENS * min(a, b)


def recipes_apart(evidence: Evidence, a: str, b: str) -> str:
    """In which settings of their training two systems differ, but for how long it went on; empty where in none."""
    one, other = (_at(evidence.entry(name).config, "tuning") or {} for name in (a, b))
    apart = sorted(key for key in {*one, *other} - {"epochs", "max_steps"} if one.get(key) != other.get(key))
    return f"; {a} and {b} were also trained with other values of {', '.join(apart)}" if apart else ""


def tokens_as_text(evidence: Evidence, *names: str) -> str:
    """The training tokens of some systems."""
    tokens = {name: evidence.systems[name].build.tokens for name in names}
    return ", ".join(
        f"{name} trained on {found:,.0f} tokens" if found else f"the training tokens of {name} are not known"
        for name, found in tokens.items()
    )
