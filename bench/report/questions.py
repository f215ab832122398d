"""Every question of the page with what each system said, packed for its script."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from bench.core.vocabulary import Answer
from bench.report.details import Example

LONGEST = 2000  # characters of a passage; the rest is in records.jsonl


def packed(examples: Sequence[Example]) -> Markup:
    """The questions, and the passages that they were shown, as JSON, gzip and base64; empty without any."""
    if not examples:
        return Markup("")
    hits = [hit for example in examples for answer in example.said.values() for hit in answer.hits or ()]
    passages = {hit.chunk_id: [hit.title, hit.text[:LONGEST]] for hit in hits}
    for ident, text in (passage for example in examples for passage in example.passages):
        passages.setdefault(ident, ["", text[:LONGEST]])
    whole = json.dumps({"questions": [_question(e) for e in examples], "passages": passages}, ensure_ascii=False)
    return Markup(base64.b64encode(gzip.compress(whole.encode(), mtime=0)).decode())


def _question(example: Example) -> dict[str, Any]:
    return {
        "id": example.question,
        "type": example.stratum,
        "text": example.text,
        "answers": example.answers,
        "gold": example.gold,
        "said": {
            name: [answer.error or answer.text, example.outcomes[name], _hits(answer), bool(answer.error)]
            for name, answer in example.said.items()
        },
    }


def _hits(answer: Answer) -> list[list[Any]] | None:
    """(chunk, passage, score) of what the prompt held; None of a system that shows nothing."""
    if answer.hits is None:
        return None
    return [[hit.chunk_id, hit.passage_id, round(hit.score, 3)] for hit in answer.held]
