"""Relevance of what was retrieved: passages by ir-measures (trec_eval's definitions), chunks by their evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bench.core.vocabulary import Hit, Place

Row = tuple[Sequence[str], Mapping[str, int]]  # (passage ids as ranked, grade of each gold passage)
Span = Sequence[Place]


def measures(rows: Mapping[str, Row], k: int) -> dict[str, dict[str, float]]:
    """recall@k, precision@k, MRR@k and nDCG@k of each question. Chunks of one passage count once, at their best rank.

    trec_eval orders by score and breaks ties by id, so the rank itself is given as the score. What it finds follows
    from the grades alone, in the order of the ranks: of questions that have the same, one is asked for all.
    """
    import ir_measures
    from ir_measures import RR, P, R, nDCG

    names = {"recall_at_k": R @ k, "precision_at_k": P @ k, "mrr": RR @ k, "ndcg": nDCG @ k}
    ranked = {q: list(dict.fromkeys(ids)) for q, (ids, _) in rows.items()}
    first: dict[tuple[tuple[int | None, ...], tuple[int, ...]], str] = {}
    like = {
        q: first.setdefault((tuple([gold.get(i) for i in ranked[q]]), tuple(sorted(gold.values()))), q)
        for q, (_, gold) in rows.items()
    }
    qrels = {q: dict(rows[q][1]) for q in first.values()}
    run = {q: {i: -rank for rank, i in enumerate(ranked[q])} for q in first.values()}
    found: dict[str, dict[str, float]] = {}
    for name, measure in names.items():  # one at a time: to tell measures apart takes longer than to compute them
        values = {metric.query_id: float(metric.value) for metric in ir_measures.iter_calc([measure], qrels, run)}
        found[name] = {q: values.get(one, 0.0) for q, one in like.items()}
    return found


def of_spans(hits: Sequence[Hit], spans: Sequence[Span], k: int) -> dict[str, float]:
    """recall@k, precision@k, MRR@k and nDCG@k of the chunks that overlap the evidence.

    Recall is the share of the evidence that the first k chunks cover, a mean over its spans. The gain of a chunk in
    nDCG (Jarvelin and Kekalainen 2002) is the share that it adds; at best, one chunk for each passage holds all that
    stands there, evidence that several passages hold counted once.
    """
    covered: list[set[int]] = [set() for _ in spans]
    sizes = [max(place.at + place.end - place.start for place in span) for span in spans]
    gains, relevant = [], []
    for hit in hits[:k]:
        held = [_held(hit, span) for span in spans]
        relevant.append(any(held))
        gains.append(
            sum(len(new - old) / size for new, old, size in zip(held, covered, sizes, strict=True)) / len(spans)
        )
        covered = [old | new for old, new in zip(covered, held, strict=True)]
    ideal = [n / len(spans) for n in _at_best(spans, k)]
    return {
        "recall_at_k": sum(gains),
        "precision_at_k": sum(relevant) / k,
        "mrr": next((1 / rank for rank, is_so in enumerate(relevant, 1) if is_so), 0.0),
        "ndcg": min(1.0, _dcg(gains) / _dcg(ideal)),  # where passages overlap, what adds most first is not always best
    }


def _at_best(spans: Sequence[Span], k: int) -> list[int]:
    """How many spans more each of the k passages holds that hold the most, the one that adds most first."""
    holding: dict[str, set[int]] = {}
    for number, span in enumerate(spans):
        for place in span:
            holding.setdefault(place.passage, set()).add(number)
    found: list[int] = []
    seen: set[int] = set()
    while holding and len(found) < k:
        best = max(holding, key=lambda passage: len(holding[passage] - seen))
        added = holding.pop(best) - seen
        seen |= added
        found.append(len(added))
    return found


def _held(hit: Hit, span: Span) -> set[int]:
    """The characters of a span that a chunk holds."""
    held: set[int] = set()
    for place in span:
        if place.passage == hit.passage_id and hit.start is not None:
            first, last = max(place.start, hit.start), min(place.end, hit.start + len(hit.text))
            held.update(range(place.at + first - place.start, place.at + last - place.start))
    return held


def _dcg(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))
