"""The stage of the entailment model: a run's records to entailed.jsonl, a line for each answer and measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from bench.core.errors import UserError
from bench.core.files import write_jsonl
from bench.core.vocabulary import Record
from bench.execution.run_file import read_run
from bench.metrics.citations import ENTAILED, Cited, Pair, alce, sentences
from bench.metrics.grounding import MARK
from bench.scoring.judge_stage import Said, answered

ABSTAINED = "abstained"  # what a line of entailed.jsonl says that is no measure: whether the answer abstains
UNANSWERED = "The question was not answered, because the answer is not known."
FEWEST_WORDS = 3  # a shorter answer states something, or abstains in words of a known form


@dataclass(frozen=True)
class Asked:
    """What is to be known of one answer. Without passages, only whether it abstains."""

    record: Record
    sentences: list[Cited]
    shown: str
    cites: bool  # whether any answer of the run cites: elsewhere nobody was asked to

    @property
    def abstains(self) -> Pair | None:
        """What says whether it abstains; None for an answer that is too short to say so in other words."""
        text = self.record.answer.text
        return (f"{self.record.text} {text}", UNANSWERED) if len(text.split()) >= FEWEST_WORDS else None

    def pairs(self) -> Iterator[Pair]:
        """Every pair that the model is asked about."""
        if self.abstains:
            yield self.abstains
        for sentence in self.sentences:
            yield self.shown, sentence.text
            if self.cites:
                yield from sentence.pairs()

    def said(self, entailed: dict[Pair, float]) -> Iterator[Said]:
        """The lines of this answer. One that abstains rests on nothing."""
        found: dict[str, float | None] = {}
        if self.abstains:
            found[ABSTAINED] = entailed[self.abstains]
        states = bool(self.sentences) and (found.get(ABSTAINED) or 0.0) <= ENTAILED
        if states:
            found["entailment"] = fmean(entailed[self.shown, s.text] for s in self.sentences)
        if states and self.cites:
            found["alce_recall"], found["alce_precision"] = alce(self.sentences, entailed)
        for measure, value in found.items():
            if value is not None:
                yield Said(self.record.cell, self.record.question, measure, value)


def entail_run(folder: Path, *, tell: Callable[[int, int], None] | None = None) -> int:
    """What the model that the spec names says of each answer: whether the passages shown entail its sentences, whether
    those that a sentence cites do, and whether it abstains. Writes entailed.jsonl. How many answers have passages.

    Raises UserError where the run names no model, or it cannot be loaded.
    """
    from bench.metrics.entailment import entailment

    run = read_run(folder)
    settings = run.spec.entailment
    if settings is None:
        raise UserError(
            "no entailment model is named.",
            where=str(folder),
            remedy="Give `entailment:` in the spec, with the name of a folder or hub id.",
        )
    records = answered(folder, run)
    cites = any(MARK.search(r.answer.text) for r in records if r.answer.hits)
    asked = [_asked(record, cites) for record in records]
    pairs = list(dict.fromkeys(pair for one in asked for pair in one.pairs()))
    try:
        found = entailment(
            pairs, name=settings.name, revision=settings.revision, batch_size=settings.batch_size, tell=tell
        )
    except (OSError, ValueError) as e:
        raise UserError(
            f"the entailment model cannot be used: {e}",
            where="entailment.name",
            remedy="Name a cross-encoder that transformers loads.",
        ) from None
    entailed = dict(zip(pairs, found, strict=True))
    write_jsonl(folder / "entailed.jsonl", [line for one in asked for line in one.said(entailed)])
    return sum(bool(one.sentences) for one in asked)


def _asked(record: Record, cites: bool) -> Asked:
    passages = [h.text for h in record.answer.held]
    said = sentences(record.text, record.answer.text, passages) if passages else []
    return Asked(record, said, " ".join(passages), cites)
