"""The corpus in the prompt, read once: the answers are those of reading it anew each time, and the cost is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.core.blocks import Prompt
from bench.core.store import Store
from bench.data.formats import native
from bench.scoring import resources
from bench.spec.model import Prices
from systems import long_context
from systems.parts import context, endpoint
from tests.conftest import MICRO, MINI, serving
from tests.golden.make import STORED
from tests.served import Streaming

TASK = native.stored(MINI)  # as a cell reads it
BARE = Prompt(system="", passage="{text}\n", open_book="{passages}\n{question}", closed_book="{question}")


def built(store: Path, **changes: Any) -> context.Whole:
    config = long_context.Config(
        model={"name": str(MICRO), "digest": "micro"},
        prompt=BARE,
        generation={"max_new_tokens": 16},
        **changes,
    )
    found = long_context.build(config, TASK.material, Store(store))
    assert isinstance(found, context.Whole)
    return found


@pytest.mark.heavy
@pytest.mark.parametrize("in_one", [True, False])
def test_what_is_kept_changes_no_answer(tmp_path: Path, in_one: bool) -> None:
    """Also where a model cannot read on in one piece after a cache, and takes token by token."""
    system = built(tmp_path)
    assert system.read is not None and system.read.in_one and len(system.read.ids) > 500
    held = " ".join(text for _, text in system.passages)
    asked = [e.question for e in TASK.test if e.answers and any(a in held for a in e.answers)][:6]
    asked += [e.question for e in TASK.test][:6]
    system.read = replace(system.read, in_one=in_one)
    kept = [(a.text, a.prompt_tokens, a.completion_tokens) for a in system.answer(asked)]
    system.read = None
    anew = [(a.text, a.prompt_tokens, a.completion_tokens) for a in system.answer(asked)]
    assert kept == anew and len({text for text, _, _ in kept}) > 1


def test_as_much_as_the_window_holds_is_read_and_charged(tmp_path: Path) -> None:
    system = built(tmp_path)
    assert not system.all and 0 < len(system.passages) < len(TASK.corpus)
    (answer,) = system.answer([TASK.test[0].question])
    assert answer.truncated and answer.hits is None and answer.prompt_tokens is not None
    (artefact,) = system.store.used
    assert artefact.kind == "context" and artefact.build_s > 0 and not artefact.hit
    assert system.read is not None
    assert artefact.facts == {"tokens": len(system.read.ids), "cache_bytes": context.cache_bytes(system.read.cache)}
    again = built(tmp_path)
    assert again.store.used[0].hit and again.store.used[0].build_s == artefact.build_s


def test_a_changed_corpus_is_read_anew(tmp_path: Path) -> None:
    system = built(tmp_path)
    few = replace(TASK.material, corpus=TASK.corpus[:2])
    system.refresh(few)
    assert system.all and len(system.passages) == 2 and len(system.store.used) == 2
    assert not system.answer([TASK.test[0].question])[0].truncated


class Caching(Streaming):
    """Says how many tokens it was sent, and that it had kept half of them."""

    @staticmethod
    def say(body: dict[str, Any]) -> list[str]:
        return [str(len(body["messages"][-1]["content"]))]

    def _event(self, choice: dict[str, Any]) -> None:
        super()._event(choice)
        usage = {"prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 600}}
        self.wfile.write(b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n")


def test_an_endpoint_is_sent_the_corpus_and_paid_for_what_it_kept(tmp_path: Path) -> None:
    with serving(Caching) as url:
        config = long_context.Config(model={"name": "m", "base_url": url}, prompt=BARE)
        system = long_context.build(config, TASK.material, Store(tmp_path))
        (answer,) = system.answer([TASK.test[0].question])
    assert int(answer.text) > sum(len(p.text) for p in TASK.corpus) and answer.cached_tokens == 600
    from bench.scoring.records import graded

    record = replace(next(iter(graded(STORED).records.values()))[0], answer=answer)
    prices = Prices(prompt_tokens_usd_per_million=10, completion_tokens_usd_per_million=20)
    kept = prices.model_copy(update={"cached_prompt_tokens_usd_per_million": 1.0})
    speed: Any = None
    paid = [
        resources.cost(None, speed, [record], p, on_gpu=False, endpoint=True).thousand_questions_usd
        for p in (prices, kept)
    ]
    assert paid == pytest.approx([1000 * (1000 * 10 + 10 * 20) / 1e6, 1000 * (400 * 10 + 600 * 1 + 10 * 20) / 1e6])
    assert isinstance(system, context.Whole) and isinstance(system.model, endpoint.Endpoint)
