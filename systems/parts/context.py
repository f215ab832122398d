"""The corpus in front of every question: how much of it the window holds, and the model's cache after reading it."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.core import meters
from bench.core.digest import digest
from bench.core.files import write_json
from bench.core.store import Store
from bench.core.system import SystemConfig
from bench.core.vocabulary import JSON, Answer, Material, Question
from systems.parts import endpoint, lm, prompt, reader

Titled = tuple[str, str]  # the title and the text of a passage
ASKED = ("What", "Zero?")  # two questions that share no token: what their prompts share stands before any question


@dataclass(frozen=True)
class Read:
    """What a model has read: the tokens, its cache after them, and whether it may read on in one piece."""

    ids: list[int]
    cache: Any
    in_one: bool


@dataclass
class Whole:
    """A System: every question after the same passages, whose cache is kept."""

    config: SystemConfig
    model: reader.Answerer
    store: Store
    reserve: float
    passages: Sequence[Titled] = ()
    all: bool = True  # whether the window held the whole corpus
    read: Read | None = None

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """One answer a question, in order. No passages are shown as sources: all of them are."""
        if isinstance(self.model, endpoint.Endpoint):
            given = [self.passages] * len(questions)
            return reader.replied(self.model, self.config.generation.batch_size, questions, given, [None] * len(given))
        return [self._answer(self.model, question) for question in questions]

    def _answer(self, model: lm.LM, question: Question) -> Answer:
        try:
            fitted = prompt.fit(model.tokenizer, self.config.prompt, question, self.passages, window=model.window)
        except prompt.TooLong as e:
            return Answer("", truncated=True, error=str(e))
        text, tokens = after(model, self.read, fitted.ids)
        cut = fitted.truncated or not self.all
        return Answer(text, prompt_tokens=len(fitted.ids), completion_tokens=tokens, truncated=cut)

    def refresh(self, material: Material) -> None:
        """Read the changed corpus anew."""
        corpus = [(p.title, p.text) for p in material.corpus]
        if isinstance(self.model, endpoint.Endpoint):
            self.passages = corpus  # its server keeps what cache it keeps
            return
        model, asked = self.model, [e.question for e in (*material.train, *material.dev)]
        longest = max((len(model.tokenizer.encode(q.text)) for q in asked), default=32)
        room = model.window - int(self.reserve * longest)
        self.passages = corpus[: held(model.tokenizer, self.config, corpus, room)]
        self.all = len(self.passages) == len(corpus)
        self.read = self._kept(model)

    def _kept(self, model: lm.LM) -> Read:
        """The cache after the passages. It lives in memory; what reading took is kept in the store, and charged."""
        ids = shared(model.tokenizer, self.config, self.passages)
        found: list[Any] = []

        def make(folder: Path) -> dict[str, JSON]:
            found.append(prefill(model, ids))
            write_json(folder / "context.json", {"passages": len(self.passages), "tokens": len(ids)})
            return {"tokens": len(ids), "cache_bytes": cache_bytes(found[0])}

        base = self.config.model
        recipe = {
            "kind": "context",
            "model": base.digest or base.name,
            "dtype": base.dtype,
            "precision": self.config.precision,
            "ids": digest(ids),
        }
        _, artefact = self.store.get(recipe, make)
        cache = found[0] if found else prefill(model, ids)
        probe = encoded(model.tokenizer, self.config, ASKED[0], self.passages)
        plain = model.complete([probe])[0]
        meters.note("context", {"held": len(self.passages), "all": self.all, **artefact.facts})
        in_one = after(model, Read(ids, cache, in_one=True), probe) == plain
        return Read(ids, cache, in_one)

    def index_recall(self, questions: Sequence[Question]) -> list[float] | None:
        """None: nothing is searched for."""
        return None


def whole(config: SystemConfig, material: Material, store: Store, *, reserve: float) -> Whole:
    """The base model, or the endpoint, with what of the corpus fits read."""
    system = Whole(config, reader.base(config)(material), store, reserve)
    system.refresh(material)
    return system


def encoded(tokenizer: Any, config: SystemConfig, question: str, passages: Sequence[Titled]) -> list[int]:
    """The prompt of a question after the passages."""
    return prompt.encode(tokenizer, prompt.messages(config.prompt, Question("", question), passages))


def shared(tokenizer: Any, config: SystemConfig, passages: Sequence[Titled]) -> list[int]:
    """The tokens that stand before every question, the last one left out: a question may merge with it."""
    one, other = (encoded(tokenizer, config, question, passages) for question in ASKED)
    same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    return one[: max(0, same - 1)]


def held(tokenizer: Any, config: SystemConfig, corpus: Sequence[Titled], room: int) -> int:
    """The most passages from the start of the corpus whose prompt takes no more than `room` tokens."""
    low, high = 0, len(corpus)
    while low < high:
        middle = (low + high + 1) // 2
        fits = len(encoded(tokenizer, config, ASKED[0], corpus[:middle])) <= room
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def prefill(model: lm.LM, ids: Sequence[int]) -> Any:
    """The model's cache after reading these tokens; None for none."""
    if not ids:
        return None
    with torch.inference_mode(), lm.four_bit_errors():
        return model.model(
            input_ids=torch.tensor([list(ids)], device=model.model.device), use_cache=True
        ).past_key_values


def after(model: lm.LM, read: Read | None, ids: Sequence[int]) -> tuple[str, int]:
    """(text, completion tokens) of a prompt that begins with what was read; of another one as if nothing was."""
    if read is None or not read.ids or list(ids[: len(read.ids)]) != read.ids:
        return model.complete([ids])[0]
    cache, at = copy.deepcopy(read.cache), len(read.ids)
    for n in range(at, at if read.in_one else len(ids) - 1):
        with torch.inference_mode():
            token = torch.tensor([[ids[n]]], device=model.model.device)
            cache = model.model(input_ids=token, past_key_values=cache, use_cache=True).past_key_values
    return model.complete([ids], cache=cache)[0]


def cache_bytes(cache: Any) -> int:
    """Bytes of the tensors in a cache, whatever its layers keep."""
    return sum(t.numel() * t.element_size() for t in {id(t): t for t in _tensors(cache, depth=4)}.values())


def _tensors(value: Any, depth: int) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif depth:
        parts = value if isinstance(value, list | tuple) else value.values() if isinstance(value, dict) else ()
        for part in (*parts, *vars(value).values()) if hasattr(value, "__dict__") else parts:
            yield from _tensors(part, depth - 1)
