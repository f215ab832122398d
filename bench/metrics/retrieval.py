"""Relevance of what was retrieved, by ir-measures (trec_eval's definitions)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Row = tuple[Sequence[str], Sequence[str]]  # (passage ids as ranked, gold ids)


def measures(rows: Mapping[str, Row], k: int) -> dict[str, dict[str, float]]:
    """recall@k, MRR@k and nDCG@k of each question. Chunks of one passage count once, at their best rank.

    trec_eval orders by score and breaks ties by id, so the rank itself is given as the score.
    """
    import ir_measures
    from ir_measures import RR, R, nDCG

    names = {"recall_at_k": R @ k, "mrr": RR @ k, "ndcg": nDCG @ k}
    qrels = [ir_measures.Qrel(q, g, 1) for q, (_, gold) in rows.items() for g in gold]
    run = [
        ir_measures.ScoredDoc(q, i, -rank) for q, (ids, _) in rows.items() for rank, i in enumerate(dict.fromkeys(ids))
    ]
    found: dict[str, dict[str, float]] = {name: dict.fromkeys(rows, 0.0) for name in names}
    by_measure = {str(measure): name for name, measure in names.items()}
    for metric in ir_measures.iter_calc(list(names.values()), qrels, run):
        found[by_measure[str(metric.measure)]][metric.query_id] = float(metric.value)
    return found
