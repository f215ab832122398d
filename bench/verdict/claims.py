"""The claims of claims.yaml against a run: confirmed, refuted, inconclusive, or not tested, by rules set beforehand."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.metrics.registry import title
from bench.scoring.grade import Column
from bench.scoring.schema import Claim, ClaimStatus, Slowdown, SlowdownPoint
from bench.stats import intervals
from bench.stats.comparisons import Pair, holm
from bench.stats.planning import ALPHA
from bench.verdict.evidence import Evidence
from bench.verdict.noise import ALIKE, Noise

SMALL = 10_000  # passages, below which an HNSW graph is searched nearly whole
ABOUT = (1.15, 1.45)  # what "about 30% slower" may mean
ALIKE_TOKENS = 1.1  # by which the training tokens of two systems may differ and still be called as many
SMALLEST = 100_000_000  # parameters, below which weights are too small a part of what training holds
EQUAL_ARMS = "It takes arms trained on as many tokens, within 10%; set `tuning.max_steps` or `tuning.epochs`."
DRIFT = ALIKE["latency"]  # by which latencies of one system differ between two processes of a busy machine


@dataclass(frozen=True)
class Finding:
    """What a run says of a claim. `takes` is what would decide it, where it is open."""

    status: ClaimStatus
    measured: str
    takes: str = ""


def ledger() -> list[dict[str, str]]:
    """Every claim: id, claim, source, published, test, needs."""
    import yaml

    return list(yaml.safe_load((Path(__file__).parent / "claims.yaml").read_text(encoding="utf-8")))


def evaluate(evidence: Evidence) -> tuple[Claim, ...]:
    """The ledger with what this run says of each claim."""
    rows = []
    for claim in ledger():
        found = RULES[claim["test"]](evidence)
        if found is None:
            found = Finding("not tested", "", f"To test it, a run needs {claim['needs']}.")
        said = {key: value for key, value in claim.items() if key != "test"}
        rows.append(Claim(**said, status=found.status, measured=found.measured, takes=found.takes))
    return tuple(rows)


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
    return first(evidence, "rag", precision="native")


def hops(evidence: Evidence) -> str | None:
    """The first plain retrieval system with more than one look-up."""
    named = [n for n in evidence.named if evidence.entry(n).kind == "rag" and evidence.entry(n).precision == "native"]
    return next((n for n in named if (found := evidence.entry(n).retrieval) and found.hops > 1), None)


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
    return Finding("inconclusive", measured, _takes(known))


def level(pair: Pair | None, measure: str) -> Finding | None:
    """Confirmed where `a` is not worse by more than the margin, refuted where it is shown to be worse."""
    if pair is None:
        return None
    measured = pair_as_text(pair, measure)
    if pair.margin is None:
        return Finding("inconclusive", measured, "It takes a `margin` in the spec.")
    measured += f"; margin {pair.margin:.2f}"
    if pair.non_inferior:
        return Finding("confirmed", measured)
    return Finding("refuted" if pair.verdict == "worse" else "inconclusive", measured, _takes([pair]))


def _takes(pairs: Sequence[Pair]) -> str:
    questions = max((pair.n90 for pair in pairs if pair.n90), default=None)
    if questions is None:
        return "No difference was seen; set a margin to show that there is none."
    return f"Finding a difference of this size with 90% power takes n = {questions:,} questions."


def _pair(evidence: Evidence, a: str | None, b: str | None, measure: str, stratum: str | None = None) -> Pair | None:
    return evidence.pair(a, b, measure, stratum) if a and b else None


def rag_external(evidence: Evidence) -> Finding | None:
    """Retrieval against tuning, both after they took in the changed facts: by an index anew, and by training anew.

    What was not trained again cannot know a new fact, so that comparing it with an updated index would show nothing.
    """
    plain = rag(evidence)
    anew = next((name for name, of in evidence.of_scenario("freshness") if of.of == lora(evidence)), None)
    fresh = evidence.column(plain, "updated_em") if plain else None
    trained = evidence.column(anew, "em", "changed") if anew else None
    if plain is None or anew is None or not fresh or not trained or not trained.questions:
        return None
    pair = evidence.compared({plain: fresh, anew: trained})
    indexed_s, trained_s = evidence.systems[plain].refresh_s, evidence.systems[anew].build.total_s
    if pair is None or indexed_s is None:
        return None
    measured = (
        f"on changed facts, {pair_as_text(pair, 'updated_em')}; the update takes {indexed_s:.3g} s by indexing and "
        f"{trained_s:.3g} s by training anew"
    )
    quicker = indexed_s * DRIFT < trained_s
    if pair.verdict == "worse":
        return Finding("refuted", measured)
    if pair.verdict == "better" or (pair.non_inferior and quicker):
        return Finding("confirmed", measured)
    if pair.verdict == "equivalent":
        return Finding("refuted", f"{measured}: no better, and no quicker to update")
    return Finding("inconclusive", measured, _takes([pair]))


def ft_paraphrase(evidence: Evidence) -> Finding | None:
    """Training on passages said in other words teaches facts that as many tokens of the passages alone do not."""
    said = first(evidence, "lora", tuning__passages=True, tuning__paraphrases=True)
    alone = first(evidence, "lora", tuning__passages=True, tuning__paraphrases=False)
    if not (said and alone):
        return None
    found = ahead([_pair(evidence, said, alone, "em", "corpus_only")], "em")
    if found is None or same_tokens(evidence, said, alone):
        return found
    return Finding(
        "inconclusive",
        f"{found.measured}; {tokens_as_text(evidence, said, alone)}",
        EQUAL_ARMS,
    )


def same_tokens(evidence: Evidence, a: str, b: str) -> bool:
    """Whether two systems were trained on as many tokens, within 10%; not where one did not say."""
    first_of, second = (evidence.systems[name].build.tokens for name in (a, b))
    return bool(first_of and second and as_many(first_of, second))


def as_many(a: float, b: float) -> bool:
    """Whether two numbers of training tokens count as equal."""
    return max(a, b) <= ALIKE_TOKENS * min(a, b)


def tokens_as_text(evidence: Evidence, *names: str) -> str:
    """The training tokens of some systems."""
    tokens = {name: evidence.systems[name].build.tokens for name in names}
    return ", ".join(
        f"{name} trained on {found:,.0f} tokens" if found else f"the training tokens of {name} are not known"
        for name, found in tokens.items()
    )


def ft_style(evidence: Evidence) -> Finding | None:
    """A tuned model writes in the house style, retrieval does not."""
    return ahead([_pair(evidence, lora(evidence), rag(evidence), "form")], "form")


def hybrid_best(evidence: Evidence) -> Finding | None:
    """Both, by the better of a hybrid and RAFT, is better than retrieval, and better than tuning.

    RAFT takes part where it was trained on as many tokens as the adapter; where it was left out, nothing is refuted,
    for it may be the better of both. All its comparisons are one family.
    """
    measure, alone = evidence.headline, [rag(evidence), lora(evidence)]
    trained, tuned = first(evidence, "raft"), alone[1]
    arms = [name for name in (hybrid(evidence), trained) if name]
    left_out = ""
    if trained and tuned and not same_tokens(evidence, trained, tuned):
        arms.remove(trained)
        left_out = f"; {trained} is left out: {tokens_as_text(evidence, trained, tuned)}"
    pairs = {arm: [_pair(evidence, arm, other, measure) for other in alone] for arm in arms}
    known = {arm: [pair for pair in found if pair] for arm, found in pairs.items() if all(found)}
    if not known:
        return None
    family = [pair for found in known.values() for pair in found]
    measured = "; ".join(pair_as_text(pair, measure) for pair in family) + left_out
    corrected = holm([pair.p for pair in family])
    ahead_in = [pair for pair, p in zip(family, corrected, strict=True) if p <= ALPHA and pair.difference > 0]
    if any(all(pair in ahead_in for pair in found) for found in known.values()):
        return Finding("confirmed", measured)
    if left_out:
        return Finding("inconclusive", measured, EQUAL_ARMS)
    if all(any(pair.verdict in ("worse", "equivalent") for pair in found) for found in known.values()):
        return Finding("refuted", measured)
    return Finding("inconclusive", measured, _takes(family))


def raft(evidence: Evidence) -> Finding | None:
    """Training with distractors is better than a hybrid whose adapter was trained without passages."""
    return ahead([_pair(evidence, first(evidence, "raft"), hybrid(evidence), evidence.headline)], evidence.headline)


def full_breaks_rag(evidence: Evidence) -> Finding | None:
    """The base model reads given passages better than a fully tuned model does."""
    for name in evidence.named:
        entry = evidence.entry(name)
        if entry.kind == "hybrid" and entry.method == "full" and entry.distractors is not None:
            oracle = first(evidence, "oracle", distractors=entry.distractors)
            return ahead([_pair(evidence, oracle, name, evidence.headline)], evidence.headline)
    return None


def lora_full(evidence: Evidence) -> Finding | None:
    """LoRA is not worse than full fine-tuning."""
    return level(_pair(evidence, lora(evidence), first(evidence, "full"), evidence.headline), evidence.headline)


def qlora_quality(evidence: Evidence) -> Finding | None:
    """QLoRA is not worse than LoRA."""
    return level(_pair(evidence, first(evidence, "qlora"), lora(evidence), evidence.headline), evidence.headline)


def slowdowns(evidence: Evidence) -> list[Slowdown]:
    """What the experiments on the QLoRA slowdown found, one a model."""
    return [facts for found in evidence.experiments.values() for facts in found if isinstance(facts, Slowdown)]


def qlora_slower(evidence: Evidence) -> Finding | None:
    """Confirmed where every interval lies inside "about 30%", refuted where one lies outside: the answer is a curve."""
    points = [(facts, point) for facts in slowdowns(evidence) for point in facts.points]
    if not points:
        return None
    measured = "; ".join(
        f"{facts.model} on {facts.device}, {point.tokens:,} tokens a step: "
        f"ratio {point.ratio:.2f} {_ends_as_text(point)}"
        for facts, point in points
    )
    ends = [(point.low, point.high) if point.low and point.high else (0.0, math.inf) for _, point in points]
    inside = [ABOUT[0] <= low and high <= ABOUT[1] for low, high in ends]
    outside = [high < ABOUT[0] or low > ABOUT[1] for low, high in ends]
    if all(inside):
        return Finding("confirmed", measured)
    if any(outside):
        curve = "It holds at some sizes and not at others: the answer is a curve." if any(inside) else ""
        return Finding("refuted", measured, curve)
    steps = max(point.pairs for _, point in points)
    return Finding(
        "inconclusive", measured, f"It takes more than {steps} pairs of steps at each size, or a quieter machine."
    )


def _ends_as_text(point: SlowdownPoint) -> str:
    if point.low is None or point.high is None:
        return f"(no interval from {point.pairs} pairs)"
    return f"({point.low:.2f} to {point.high:.2f})"


def qlora_memory(evidence: Evidence) -> Finding | None:
    """Confirmed where QLoRA's peak is below LoRA's by more than 5% on every model, refuted where it is above on one.

    Models below 100 million parameters say nothing: their weights are a small part of the memory.
    """
    rows = [(facts, ratio) for facts in slowdowns(evidence) if (ratio := facts.memory.ratio)]
    if not rows:
        return None
    measured = "; ".join(
        f"{facts.model} on {facts.device}: peak {(facts.memory.lora_bytes or 0) / 1e9:.2f} to "
        f"{facts.memory.qlora_bytes / 1e9:.2f} GB (ratio {low:.2f} to {high:.2f} over {facts.memory.runs} runs)"
        for facts, (low, high) in rows
    )
    ratios = [ratio for facts, ratio in rows if facts.parameters is None or facts.parameters >= SMALLEST]
    if not ratios:
        return Finding("inconclusive", measured, "It takes a model of 100 million parameters or more.")
    if all(high < 0.95 for _, high in ratios):
        return Finding("confirmed", measured)
    if any(low > 1.05 for low, _ in ratios):
        return Finding("refuted", measured)
    return Finding("inconclusive", measured, "The peaks are within 5% of each other, or of the noise of their runs.")


def qlora_70b(evidence: Evidence) -> Finding | None:
    """A 70B model trains in four bits within the 80 GB of one GPU."""
    rows = [facts for facts in slowdowns(evidence) if facts.model == "llama3-70b" and facts.device != "cpu"]
    if not rows:
        return None
    peak = rows[0].memory.qlora_bytes
    most = max(rows[0].recipe.get("tokens") or [0])
    spare = (80e9 - peak) / 1e9
    measured = (
        f"peak {peak / 1e9:.1f} GB on {rows[0].device} with {most:,} tokens a step, {abs(spare):.1f} GB "
        f"{'below' if spare > 0 else 'above'} the 80 GB of one GPU"
    )
    if abs(peak / 80e9 - 1) < 0.05:
        return Finding("inconclusive", measured, "The peak is within 5% of the 80 GB, as two runs may differ.")
    return Finding("confirmed" if peak < 80e9 else "refuted", measured)


def four_bit_slower(evidence: Evidence) -> Finding | None:
    """Median over questions of the ratio of latencies, with the interval of its ranks."""
    four, plain = first(evidence, "rag", precision="nf4"), rag(evidence)
    if not (four and plain):
        return None
    ratios = evidence.ratios(four, plain)
    interval = intervals.median_interval(ratios)
    if interval is None:
        return None
    low, high = interval
    measured = (
        f"latency of {four} over {plain}, question by question: median ratio {statistics.median(ratios):.2f} "
        f"(95% interval {low:.2f} to {high:.2f}, n = {len(ratios)})"
    )
    timed = all(evidence.named[name].speed.rounds for name in (four, plain))
    drift = 10 ** Noise(evidence.named).between("latency", four, plain) if timed else DRIFT
    if low > drift:
        return Finding("confirmed", measured)
    if high < 1 / drift:
        return Finding("refuted", measured)
    how = "Rounds" if timed else "Two processes at two times"
    more = "a larger effect, or more rounds" if timed else "a larger effect, or `measure.rounds`"
    return Finding("inconclusive", measured, f"{how} differ by up to {100 * (drift - 1):.0f}% here; it takes {more}.")


def small_data(evidence: Evidence) -> Finding | None:
    """At the smallest size of the learning curve: is tuning equivalent to retrieval?"""
    points = sorted((scenario.value, name) for name, scenario in evidence.of_scenario("data"))
    best = rag(evidence)
    pair = evidence.pair(points[0][1], best, evidence.headline) if points and best else None
    if pair is None:
        return None
    measured = f"{points[0][0]} training questions: {pair_as_text(pair, evidence.headline)}"
    if pair.margin is None:
        return Finding("inconclusive", measured, "It takes a `margin` in the spec: how much is a big difference?")
    if pair.verdict == "equivalent":
        return Finding("confirmed", measured)
    if min(abs(pair.low), abs(pair.high)) > pair.margin and pair.low * pair.high > 0:
        return Finding("refuted", measured)
    return Finding("inconclusive", measured, _takes([pair]))


def rag_source(evidence: Evidence) -> Finding | None:
    """Confirmed where most answers name their source: cited passages that entail them, or else the gold passages."""
    name = rag(evidence)
    supported = evidence.estimate(name, "alce_recall") if name else None
    found = supported or (evidence.estimate(name, "citation_recall") if name else None)
    if found is None:
        return None
    what = "sentences that their citations entail" if supported else "gold passages cited"
    measured = (
        f"{what} of {name}: {found.mean:.2f} (95% interval {found.low:.2f} to {found.high:.2f}, "
        f"n = {found.n}); tuned systems show no source"
    )
    if found.low > 0.5:
        return Finding("confirmed", measured)
    return Finding("refuted" if found.high < 0.5 else "inconclusive", measured)


SEVERAL_PAGES = ("two_hop", "comparison", "list")  # strata whose questions take more than one page


def rag_multi(evidence: Evidence) -> Finding | None:
    """Retrieval is better than the base model alone, and than a tuned one, on questions over several pages.

    It is the first with more than one look-up, where there is one: it is what such questions need.
    """
    plain = _several(evidence, hops(evidence) or rag(evidence))
    others = [_several(evidence, name) for name in (first(evidence, "closed_book"), lora(evidence)) if name]
    if not plain or not others or not all(others):
        return None
    return ahead([evidence.compared({**plain, **other}) for other in others], evidence.headline)


def _several(evidence: Evidence, name: str | None) -> dict[str, Column]:
    """The headline of a system on questions over several pages; empty where it has none."""
    column = evidence.column(name, evidence.headline) if name else None
    if name is None or column is None:
        return {}
    kept = column.only([i for i, stratum in enumerate(column.strata) if stratum in SEVERAL_PAGES])
    return {name: kept} if kept.questions else {}


def hnsw_recall(evidence: Evidence) -> Finding | None:
    """An HNSW index does not find all that exact search finds."""
    rows = []
    for name in evidence.named:
        retrieval = evidence.entry(name).retrieval
        found = evidence.estimate(name, "index_recall")
        if retrieval and retrieval.index in ("faiss_hnsw", "hnswlib") and found:
            rows.append((name, found))
    if not rows:
        return None
    measured = "; ".join(
        f"{name} {found.mean:.4f} (95% interval {found.low:.4f} to {found.high:.4f}, n = {found.n})"
        for name, found in rows
    )
    passages = evidence.run.dataset.passages
    if min(found.mean for _, found in rows) < 1:
        return Finding("confirmed", measured)
    if passages < SMALL:
        few = "A graph of so few passages is searched nearly whole; it takes a larger corpus."
        return Finding("inconclusive", f"{measured}; on {passages:,} passages", few)
    return Finding("refuted", f"{measured}; on {passages:,} passages")


Rule = Callable[[Evidence], Finding | None]
RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        rag_external,
        ft_paraphrase,
        ft_style,
        hybrid_best,
        raft,
        full_breaks_rag,
        lora_full,
        qlora_quality,
        qlora_slower,
        qlora_memory,
        qlora_70b,
        four_bit_slower,
        small_data,
        rag_source,
        rag_multi,
        hnsw_recall,
    )
}
