"""Records to values: how right each answer is, question by question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.core.vocabulary import Record
from bench.metrics import grounding, text
from bench.metrics import retrieval as relevance
from bench.stats.bootstrap import Array

Values = dict[str, float | None]  # metric -> value of one question; None: does not apply

# metric -> (title, whether higher is better)
METRICS: dict[str, tuple[str, bool]] = {
    "em": ("Exact match", True),
    "answerable_em": ("Exact match, answerable", True),
    "f1": ("F1", True),
    "contains": ("Containment", True),
    "rouge_l": ("ROUGE-L", True),
    "label_accuracy": ("Label accuracy", True),
    "form": ("House style: form", True),
    "content": ("House style: content", True),
    "before_em": ("New facts, before the update", True),
    "updated_em": ("Exact match after the update", True),
    "kept_em": ("Unchanged facts after the update", True),
    "stale": ("Stale after the update", False),
    "abstains_rightly": ("Abstains when it should", True),
    "abstains_wrongly": ("Abstains when it should not", False),
    "k_precision": ("K-Precision", True),
    "entailment": ("Entailment", True),
    "citation_precision": ("Citation precision", True),
    "citation_recall": ("Citation recall", True),
    "faithfulness": ("Faithfulness (judge)", True),
    "response_groundedness": ("Groundedness (judge)", True),
    "answer_accuracy": ("Answer accuracy (judge)", True),
    "factual_correctness": ("Factual correctness (judge)", True),
    "context_precision": ("Context precision (judge)", True),
    "context_recall": ("Context recall (judge)", True),
    "noise_sensitivity": ("Noise sensitivity (judge)", False),
    "response_relevancy": ("Response relevancy (judge)", True),
    "recall_at_k": ("Recall@k", True),
    "mrr": ("MRR", True),
    "ndcg": ("nDCG@k", True),
    "index_recall": ("Index recall", True),
}

JUDGED = tuple(m for m, (title, _) in METRICS.items() if title.endswith("(judge)"))


def quality(r: Record, abstain: Sequence[str]) -> Values:
    """How right the answer is. A failed question is wrong; a question without reference is not scored."""
    if r.answers is None:
        return {}
    said = "" if r.answer.error else r.answer.text
    silent = text.abstains(said, abstain) and not r.answer.error
    if not r.answers:
        right = float(silent)
        return {"em": right, "f1": right, "abstains_rightly": right}
    if r.answer.error:
        em = f1 = rouge = inside = 0.0
    else:
        (em, f1), rouge, inside = (
            text.squad(said, r.answers),
            text.rouge_l(said, r.answers),
            text.contains(said, r.answers),
        )
    values: Values = {
        "em": em,
        "answerable_em": em,
        "f1": f1,
        "contains": inside,
        "rouge_l": rouge,
        "abstains_wrongly": float(silent),
    }
    if r.choices:
        values["label_accuracy"] = float(not r.answer.error and text.label(said, r.choices) in r.answers)
    if r.form:
        values["form"] = float(not r.answer.error and text.matches(said, r.form))
        values["content"] = text.holds(said, r.facts)
    return values


def fresh(r: Record) -> Values:
    """What it says of changed facts before and after the corpus was updated, and of unchanged ones after."""
    if r.later is None or not r.answers:
        return {}
    said = "" if r.later.error else r.later.text
    if not r.updated:
        return {"kept_em": text.squad(said, r.answers)[0]}
    before = "" if r.answer.error else r.answer.text
    right = text.squad(said, r.updated)[0]
    return {
        "before_em": text.squad(before, r.updated)[0],
        "updated_em": right,
        "stale": text.squad(said, r.answers)[0] if not right else 0.0,
    }


def grounded(r: Record, abstain: Sequence[str]) -> Values:
    """Whether the passages shown carry the answer. An abstention rests on nothing, and is not scored."""
    a = r.answer
    if a.hits is None or a.error or text.abstains(a.text, abstain):
        return {}
    shown = a.held
    values: Values = {"k_precision": grounding.k_precision(a.text, [h.text for h in shown])}
    if r.gold:
        values["citation_precision"], values["citation_recall"] = grounding.citation(a.text, shown, r.gold)
    return values


def retrieved(records: Sequence[Record], k: int) -> dict[str, Values]:
    """Relevance of the passages found, for the questions that have gold ones."""
    rows = {
        r.question: ([h.passage_id for h in r.answer.hits], r.gold)
        for r in records
        if r.answer.hits is not None and r.gold
    }
    found = relevance.measures(rows, k) if rows else {}
    return {q: {name: values[q] for name, values in found.items()} for q in rows}


def per_question(
    records: Sequence[Record], config: Mapping[str, Any], index_recall: Mapping[str, float] | None
) -> list[Values]:
    """The values of each record of one cell, in order."""
    abstain = config["prompt"]["abstain"]
    finds = "retrieval" in config and config.get("distractors") is None  # an oracle is given its passages
    relevant = retrieved(records, config["retrieval"]["k"]) if finds else {}
    rows = []
    for r in records:
        values = {**quality(r, abstain), **fresh(r), **grounded(r, abstain), **relevant.get(r.question, {})}
        if index_recall is not None:
            values["index_recall"] = index_recall[r.question]
        rows.append(values)
    return rows


@dataclass(frozen=True)
class Column:
    """One metric of one system, with each question's cluster and stratum. `values`: (seeds, questions).

    One row where it was built once, or where seeds do not have the metric on the same questions: then of their means.
    """

    questions: list[str]
    values: Array
    clusters: list[str]
    strata: list[str]

    def only(self, kept: Sequence[int]) -> Column:
        """The column on some of its questions, by their places."""
        questions, clusters, strata = ([x[i] for i in kept] for x in (self.questions, self.clusters, self.strata))
        return Column(questions, self.values[:, list(kept)], clusters, strata)

    def of(self, stratum: str) -> Column:
        return self.only([i for i, s in enumerate(self.strata) if s == stratum])

    def on(self, questions: Sequence[str]) -> Column:
        at = {q: i for i, q in enumerate(self.questions)}
        return self.only([at[q] for q in questions])


def columns(cells: Sequence[tuple[Sequence[Record], Sequence[Values]]]) -> dict[str, Column]:
    """metric -> column, from the cells of one system: one a seed."""
    where = {r.question: r for records, _ in cells for r in records}
    found = {}
    for metric in METRICS:
        rows: list[dict[str, float]] = []
        for records, values in cells:
            rows.append(
                {r.question: v for r, row in zip(records, values, strict=True) if (v := row.get(metric)) is not None}
            )
        seen = [q for q in where if any(q in row for row in rows)]
        if not seen:
            continue
        matrix = np.array([[row.get(q, np.nan) for q in seen] for row in rows])
        whole = matrix if not np.isnan(matrix).any() else np.nanmean(matrix, 0, keepdims=True)
        found[metric] = Column(seen, whole, [where[q].group for q in seen], [where[q].stratum for q in seen])
    return found


def headline(found: Mapping[str, Mapping[str, object]]) -> str:
    """The measure that leads: label accuracy, exact match, or recall where there is no reference answer."""
    return next(
        (m for m in ("label_accuracy", "em", "recall_at_k") if any(c.get(m) is not None for c in found.values())), "em"
    )
