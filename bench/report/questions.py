"""Every question of the page with what each system said, packed for its script."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from bench.core.blocks import Prompt
from bench.core.vocabulary import Answer
from bench.execution.run_file import RunFile
from bench.report.details import Example
from bench.verdict.disagreements import OUTCOMES

LONGEST = 2000  # characters of a passage; the rest is in records.jsonl
TEMPLATES = {"system", "passage", "open_book", "closed_book", "choices"}  # of a prompt


def prompts(run: RunFile, names: Iterable[str]) -> dict[str, Prompt]:
    """The templates of the systems whose prompts they make; what else a few-shot prompt holds is not in the records."""
    return {name: run.systems[name].prompt for name in names if "shots" not in run.systems[name].config}


def questions(examples: Sequence[Example], prompts: Mapping[str, Prompt]) -> Markup:
    """The questions, the passages that they were shown, and the templates that make each system's prompts of them;
    empty without any question."""
    if not examples:
        return Markup("")
    hits = [hit for example in examples for answer in example.said.values() for hit in answer.hits or ()]
    passages = {hit.chunk_id: [hit.title, _cut(hit.text)] for hit in hits}
    for ident, text in (passage for example in examples for passage in example.passages):
        passages.setdefault(ident, ["", _cut(text)])
    templates = {name: prompt.model_dump(include=TEMPLATES) for name, prompt in prompts.items()}
    asked = [_question(e) for e in examples]
    whole = {"questions": asked, "passages": passages, "prompts": templates, "outcomes": OUTCOMES}
    return packed(json.dumps(whole, ensure_ascii=False))


def packed(text: str) -> Markup:
    """A text for the page's script: gzip and base64."""
    return Markup(base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode())


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} [cut here: {len(text) - LONGEST:,} more characters]"


def _question(example: Example) -> dict[str, Any]:
    said = {
        name: [answer.error or answer.text, example.outcomes[name], _hits(answer), bool(answer.error), _tokens(answer)]
        for name, answer in example.said.items()
    }
    return {
        "id": example.question,
        "type": example.stratum,
        "text": example.text,
        "choices": example.choices,
        "answers": example.answers,
        "gold": example.gold,
        "said": said,
    }


def _tokens(answer: Answer) -> int | None:
    """Of its prompt; None where there was none: an answer of another product."""
    return None if answer.error else answer.prompt_tokens


def _hits(answer: Answer) -> list[list[Any]] | None:
    """(chunk, passage, score) of what the prompt held; None of a system that shows nothing."""
    if answer.hits is None:
        return None
    return [[hit.chunk_id, hit.passage_id, round(hit.score, 3)] for hit in answer.held]
