"""Rules of the claims on what systems answer: retrieval, tuning, both, style, sources, index recall."""

from __future__ import annotations

from dataclasses import replace

from bench.scoring.grade import Column
from bench.stats.corrections import holm
from bench.stats.planning import ALPHA
from bench.verdict.claim_terms import (
    DRIFT,
    EQUAL_ARMS,
    Finding,
    above_base,
    ahead,
    first,
    hops,
    hybrid,
    level,
    lora,
    pair_as_text,
    paired,
    rag,
    recipes_apart,
    same_tokens,
    tokens_as_text,
    untuned,
    would_decide,
)
from bench.verdict.evidence import Evidence

SMALL = 10_000  # passages, below which an HNSW graph is searched nearly whole
SEVERAL_PAGES = ("two_hop", "comparison", "list")  # strata whose questions take more than one page


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
    if pair is None or indexed_s is None or trained_s is None:
        return None
    measured = (
        f"on changed facts, {pair_as_text(pair, 'updated_em')}; the update takes {indexed_s:.3g} s by indexing and "
        f"{trained_s:.3g} s by training anew"
    )
    quicker = indexed_s * DRIFT < trained_s
    found = Finding("inconclusive", measured, would_decide([pair]))
    if pair.verdict == "worse":
        found = Finding("refuted", measured)
    elif pair.verdict == "better" or (pair.non_inferior and quicker):
        found = Finding("confirmed", measured)
    elif pair.verdict == "equivalent":
        found = Finding("refuted", f"{measured}: no better, and no quicker to update")
    return above_base(evidence, found, [pair], "updated_em")


def ft_paraphrase(evidence: Evidence) -> Finding | None:
    """Training on passages said in other words teaches facts that as many tokens of the passages alone do not."""
    said = first(evidence, "lora", tuning__passages=True, tuning__paraphrases=True)
    alone = first(evidence, "lora", tuning__passages=True, tuning__paraphrases=False)
    if not (said and alone):
        return None
    found = _ahead(evidence, said, alone, "em", "corpus_only")
    if found is None or same_tokens(evidence, said, alone):
        return found
    return Finding(
        "inconclusive",
        f"{found.measured}; {tokens_as_text(evidence, said, alone)}",
        EQUAL_ARMS,
    )


def ft_style(evidence: Evidence) -> Finding | None:
    """A tuned model writes in the house style, retrieval does not. What stands in it is told beside."""
    tuned, plain = lora(evidence), rag(evidence)
    pair = paired(evidence, tuned, plain, "form")
    found = ahead([pair], "form")
    held = {name: score for name in (tuned, plain) if name and (score := evidence.estimate(name, "content"))}
    if found and held:
        told = ", ".join(f"{name} {score.mean:.2f}" for name, score in held.items())
        found = replace(found, measured=f"{found.measured}; of the facts asked for stand in it: {told}")
    return above_base(evidence, found, [pair], "form")


def hybrid_best(evidence: Evidence) -> Finding | None:
    """Both, by the better of a hybrid and RAFT, is better than retrieval with as many look-ups, and than tuning.

    RAFT takes part where it was trained on as many tokens as the adapter; where it was left out, nothing is refuted,
    for it may be the better of both. All its comparisons are one family.
    """
    measure = evidence.headline
    trained, tuned = first(evidence, "raft"), lora(evidence)
    arms = [name for name in (hybrid(evidence), trained) if name]
    left_out = ""
    if trained and tuned and not same_tokens(evidence, trained, tuned):
        arms.remove(trained)
        left_out = f"; {trained} is left out: {tokens_as_text(evidence, trained, tuned)}"
    pairs = {arm: [paired(evidence, arm, other, measure) for other in (untuned(evidence, arm), tuned)] for arm in arms}
    known = {arm: [pair for pair in found if pair] for arm, found in pairs.items() if all(found)}
    if not known:
        return None
    family = [pair for found in known.values() for pair in found]
    measured = "; ".join(pair_as_text(pair, measure) for pair in family) + left_out
    corrected = holm([pair.p for pair in family])
    ahead_in = [pair for pair, p in zip(family, corrected, strict=True) if p <= ALPHA and pair.verdict == "better"]
    if any(all(pair in ahead_in for pair in found) for found in known.values()):
        return Finding("confirmed", measured)
    if left_out:
        return Finding("inconclusive", measured, EQUAL_ARMS)
    if all(any(pair.verdict in ("worse", "equivalent") for pair in found) for found in known.values()):
        return above_base(evidence, Finding("refuted", measured), family, measure)
    return Finding("inconclusive", measured, would_decide(family))


def raft(evidence: Evidence) -> Finding | None:
    """Training with distractors is better than a hybrid whose adapter was trained, on as many tokens, without
    passages."""
    trained, plain = first(evidence, "raft"), hybrid(evidence)
    found = _ahead(evidence, trained, plain, evidence.headline)
    if not (found and trained and plain):
        return found
    if same_tokens(evidence, trained, plain):
        return replace(found, measured=found.measured + recipes_apart(evidence, trained, plain))
    return Finding("inconclusive", f"{found.measured}; {tokens_as_text(evidence, trained, plain)}", EQUAL_ARMS)


def full_breaks_rag(evidence: Evidence) -> Finding | None:
    """The base model reads given passages better than a fully tuned model does."""
    for name in evidence.named:
        entry = evidence.entry(name)
        if entry.kind == "hybrid" and entry.method == "full" and entry.distractors is not None:
            oracle = first(evidence, "oracle", distractors=entry.distractors)
            return _ahead(evidence, oracle, name, evidence.headline)
    return None


def _ahead(
    evidence: Evidence, a: str | None, b: str | None, measure: str, stratum: str | None = None
) -> Finding | None:
    """Whether one system is better than another; open where neither is better than the base model alone."""
    pair = paired(evidence, a, b, measure, stratum)
    return above_base(evidence, ahead([pair], measure), [pair], measure, stratum)


def _level(evidence: Evidence, a: str | None, b: str | None) -> Finding | None:
    """Whether one system is not worse than another by the measure that leads; open where neither is better than the
    base model alone."""
    pair = paired(evidence, a, b, evidence.headline)
    return above_base(evidence, level(pair, evidence.headline), [pair], evidence.headline)


def lora_full(evidence: Evidence) -> Finding | None:
    """LoRA is not worse than full fine-tuning."""
    return _level(evidence, lora(evidence), first(evidence, "full"))


def qlora_quality(evidence: Evidence) -> Finding | None:
    """QLoRA is not worse than LoRA, whose base is in the numbers that are told beside."""
    plain = lora(evidence)
    found = _level(evidence, first(evidence, "qlora"), plain)
    numbers = sorted({c.notes.dtype for c in evidence.run.done(plain).values() if c.notes.dtype}) if plain else []
    return replace(found, measured=f"{found.measured}; {plain} in {', '.join(numbers)}") if found and numbers else found


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
        return above_base(evidence, Finding("confirmed", measured), [pair], evidence.headline)
    if min(abs(pair.low), abs(pair.high)) > pair.margin and pair.low * pair.high > 0:
        return Finding("refuted", measured)
    return Finding("inconclusive", measured, would_decide([pair]))


def rag_source(evidence: Evidence) -> Finding | None:
    """Confirmed where most answers name their source: cited passages that entail them, or else the gold passages."""
    name = rag(evidence)
    supported = evidence.estimate(name, "alce_recall") if name else None
    found = supported or (evidence.estimate(name, "citation_recall") if name else None)
    if found is None:
        return None
    what = "sentences that their citations entail" if supported else "gold passages cited, or holding what is said,"
    measured = (
        f"{what} of {name}: {found.mean:.2f} (95% interval {found.low:.2f} to {found.high:.2f}, "
        f"n = {found.n}); tuned systems show no source"
    )
    if found.low > 0.5:
        return Finding("confirmed", measured)
    return Finding("refuted" if found.high < 0.5 else "inconclusive", measured)


def rag_multi(evidence: Evidence) -> Finding | None:
    """Retrieval is better than the base model alone, and than a tuned one, on questions over several pages.

    It is the first with more than one look-up, where there is one: it is what such questions need.
    """
    plain = _several(evidence, hops(evidence) or rag(evidence))
    others = [_several(evidence, name) for name in (first(evidence, "closed_book"), lora(evidence)) if name]
    if not plain or not others or not all(others):
        return None
    measure = evidence.headline
    return ahead([evidence.decisive(evidence.compared({**plain, **other}), measure) for other in others], measure)


def _several(evidence: Evidence, name: str | None) -> dict[str, Column]:
    """The headline of a system on questions over several pages that training has not seen; empty where it has none."""
    column = evidence.ranking(name, evidence.headline) if name else None
    if name is None or column is None:
        return {}
    column = evidence.unseen(column)
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
