"""Every measure once: its name, its title, its direction, where it comes from, and the table that shows it.

The order is that of the columns of the tables. To add a measure of one answered question, write a function
`(record, abstain) -> float | None` and a line here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.core.vocabulary import Record
from bench.metrics import answer

Source = Literal["answer", "retrieval", "index", "entailment", "judge"]
Measured = Callable[[Record, Sequence[str]], float | None]


@dataclass(frozen=True)
class Table:
    """A table of the report: its title, and the note above it."""

    title: str
    note: str = ""


ANSWERS = Table("Answers")
STYLE = Table(
    "House style",
    "Form: the whole answer matches the required form. "
    "Content: share of the requested facts in the answer, in any form.",
)
GROUNDING = Table(
    "Retrieval and grounding",
    "Index recall is measured against exact search; recall@k, precision@k, MRR and nDCG of the chunks that hold the "
    "evidence, where the dataset says in which characters of a passage it stands, else of the gold passages. Document "
    "recall@k and the like count any chunk of a gold passage. "
    "K-Precision: share of the words of an answer that occur in the passages shown. "
    "Citations: the passages that an answer cites as [n]; without citations, those that contain the answer or the "
    "reference that it states, but for a choice, a yes and a no, which cite none. They are compared with the gold "
    "passages. Whether the passages that a sentence cites support it is told where an entailment model is given: "
    "citation recall and precision as in ALCE.",
)
TABLES = (ANSWERS, STYLE, GROUNDING)


@dataclass(frozen=True)
class Measure:
    """One measure, a share in 0..1.

    `of` gives its value for one answered question; it is None for measures that are taken of many at once: relevance of
    what was retrieved, recall of the index, and what an entailment model or a judge says. `table` is None for measures
    that only the scenario tables show. `asked` says of which questions a measure is asked that has no value where a
    system does not answer: when systems are ranked by it, such a gap counts as 0.
    """

    name: str
    title: str
    table: Table | None
    of: Measured | None = None
    source: Source = "answer"
    higher_is_better: bool = True
    asked: Callable[[Record], bool] | None = None


def _answerable(record: Record) -> bool:
    return record.answers != ()


def _sourced(record: Record) -> bool:
    return record.answers != () and bool(record.gold)


_ALL = (
    Measure("em", "Exact match", ANSWERS, answer.em),
    Measure("em_strict", "Strict exact match", ANSWERS, answer.em_strict),
    Measure("numeric", "Numeric match", ANSWERS, answer.numeric),
    Measure("answerable_em", "Exact match, answerable", ANSWERS, answer.answerable_em),
    Measure("f1", "F1", ANSWERS, answer.f1),
    Measure("contains", "Containment", ANSWERS, answer.contains),
    Measure("rouge_l", "ROUGE-L", ANSWERS, answer.rouge_l),
    Measure("label_accuracy", "Label accuracy", ANSWERS, answer.label_accuracy),
    Measure("form", "House style: form", STYLE, answer.form),
    Measure("content", "House style: content", STYLE, answer.content),
    Measure("before_em", "New facts, before the update", None, answer.before_em),
    Measure("updated_em", "Exact match after the update", None, answer.updated_em),
    Measure("kept_em", "Unchanged facts after the update", None, answer.kept_em),
    Measure("stale", "Stale after the update", None, answer.stale, higher_is_better=False),
    Measure("abstains_rightly", "Abstains when it should", ANSWERS, answer.abstains_rightly),
    Measure(
        "abstains_wrongly", "Abstains when it should not", ANSWERS, answer.abstains_wrongly, higher_is_better=False
    ),
    Measure("recall_at_k", "Recall@k", GROUNDING, source="retrieval", asked=_sourced),
    Measure("precision_at_k", "Precision@k", GROUNDING, source="retrieval", asked=_sourced),
    Measure("mrr", "MRR", GROUNDING, source="retrieval", asked=_sourced),
    Measure("ndcg", "nDCG@k", GROUNDING, source="retrieval", asked=_sourced),
    Measure("document_recall_at_k", "Document recall@k", GROUNDING, source="retrieval", asked=_sourced),
    Measure("document_precision_at_k", "Document precision@k", GROUNDING, source="retrieval", asked=_sourced),
    Measure("document_mrr", "Document MRR", GROUNDING, source="retrieval", asked=_sourced),
    Measure("document_ndcg", "Document nDCG@k", GROUNDING, source="retrieval", asked=_sourced),
    Measure("index_recall", "Index recall", GROUNDING, source="index"),
    Measure("k_precision", "K-Precision", GROUNDING, answer.k_precision, asked=_answerable),
    Measure("entailment", "Entailment", GROUNDING, source="entailment", asked=_answerable),
    Measure("alce_recall", "Citation recall (ALCE)", GROUNDING, source="entailment", asked=_answerable),
    Measure("alce_precision", "Citation precision (ALCE)", GROUNDING, source="entailment", asked=_answerable),
    Measure("citation_precision", "Cited passages that are gold", GROUNDING, answer.citation_precision, asked=_sourced),
    Measure("citation_recall", "Gold passages cited", GROUNDING, answer.citation_recall, asked=_sourced),
    Measure("faithfulness", "Faithfulness (judge)", GROUNDING, source="judge", asked=_answerable),
    Measure("response_groundedness", "Groundedness (judge)", GROUNDING, source="judge", asked=_answerable),
    Measure("answer_accuracy", "Answer accuracy (judge)", GROUNDING, source="judge", asked=_answerable),
    Measure("factual_correctness", "Factual correctness (judge)", GROUNDING, source="judge", asked=_answerable),
    Measure("context_precision", "Context precision (judge)", GROUNDING, source="judge", asked=_answerable),
    Measure("context_recall", "Context recall (judge)", GROUNDING, source="judge", asked=_answerable),
    Measure(
        "noise_sensitivity",
        "Noise sensitivity (judge)",
        GROUNDING,
        source="judge",
        higher_is_better=False,
        asked=_answerable,
    ),
    Measure("response_relevancy", "Response relevancy (judge)", GROUNDING, source="judge", asked=_answerable),
)
MEASURES: dict[str, Measure] = {measure.name: measure for measure in _ALL}
JUDGED = tuple(measure.name for measure in _ALL if measure.source == "judge")
LEADING = (
    "label_accuracy",
    "numeric",
    "em_strict",
    "em",
    "recall_at_k",
    "document_recall_at_k",
)  # which measure leads a comparison: the first that covers it


def title(name: str) -> str:
    """The title of a measure."""
    return MEASURES[name].title


def in_table(table: Table) -> list[str]:
    """The names of a table's measures, in the order of its columns."""
    return [measure.name for measure in _ALL if measure.table is table]
