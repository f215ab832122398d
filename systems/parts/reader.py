"""The one way of answering: a language model that reads what a source of passages shows it, if anything."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any, Protocol

from bench.core import meters
from bench.core.blocks import Embedder, Position, Prompt, Raft, Retrieval
from bench.core.store import Store
from bench.core.system import SystemConfig, TunedConfig
from bench.core.vocabulary import Answer, Example, Hit, Material, Passage, Question
from systems.parts import endpoint, lm, prompt, retrieve, rewrite, tuned
from systems.parts.train import Recipe


class Source(Protocol):
    """Where a prompt's passages come from."""

    def passages(self, questions: Sequence[Question]) -> list[list[Hit]]:
        """The passages of each question's prompt, best first."""

    def recall(self, questions: Sequence[Question]) -> list[float] | None:
        """Share of the exact top-k that the index found, a question each; None without an index."""


@dataclass(frozen=True)
class Retrieved:
    """What a retriever finds."""

    retriever: retrieve.Retriever

    def passages(self, questions: Sequence[Question]) -> list[list[Hit]]:
        """The best chunks of each question."""
        return self.retriever.search([q.text for q in questions])

    def recall(self, questions: Sequence[Question]) -> list[float] | None:
        """Share of the exact top-k that the index found, a question each."""
        return self.retriever.recall([q.text for q in questions])


@dataclass(frozen=True)
class Gold:
    """The gold passages of each question, as the harness names them to privileged controls, among hard distractors."""

    passage: Callable[[str], Passage]
    search: retrieve.Search
    distractors: int
    position: Position
    gold: bool

    def passages(self, questions: Sequence[Question]) -> list[list[Hit]]:
        """The gold passages of each question among its distractors."""
        return retrieve.among(
            self.search,
            self.passage,
            questions,
            count=self.distractors,
            rng=lambda question: random.Random(question.id),
            keep_gold=float(self.gold),
            position=self.position,
        )

    def recall(self, questions: Sequence[Question]) -> list[float] | None:
        """None: nothing is searched for."""
        return None


Answerer = lm.LM | endpoint.Endpoint
Shots = Callable[[Sequence[Question]], Sequence[Sequence[prompt.Shot]]]  # the pairs that stand before each question


@dataclass
class Reader:
    """A System. The two makers are called again when the world changes; the store keeps what did not."""

    config: SystemConfig
    make_model: Callable[[Material], Answerer]
    make_source: Callable[[Material], Source] | None
    learned: tuple[Example, ...] | None  # the training pairs that the model depends on, if it does
    model: Answerer
    source: Source | None
    make_shots: Callable[[Material], Shots] | None = None
    shots: Shots | None = None

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """One answer a question, in order."""
        found: Sequence[list[Hit] | None] = [None] * len(questions)
        wrote: list[Answer] = []
        if self.source:
            found, wrote = self._found(questions)
            meters.forget_marks()
        given = self.shots(questions) if self.shots else [()] * len(questions)
        retrieval: Retrieval | None = getattr(self.config, "retrieval", None)
        titles = [prompt.shown(hits, self.config.prompt, retrieval) if hits is not None else None for hits in found]
        shown = [tuple(hits) if hits is not None else None for hits in found]
        if isinstance(self.model, endpoint.Endpoint):
            said = replied(self.model, self.config.generation.batch_size, questions, titles, shown, given)
            return _with_cost(said, wrote)
        fitted = [self._fit(q, t, s) for q, t, s in zip(questions, titles, given, strict=True)]
        texts = iter(self._completed([f.ids for f in fitted if isinstance(f, prompt.Fitted)]))
        return _with_cost([self._answer(f, hits, texts) for f, hits in zip(fitted, shown, strict=True)], wrote)

    def _found(self, questions: Sequence[Question]) -> tuple[list[list[Hit]], list[Answer]]:
        """(the passages of each question, what the model wrote to look them up, where that is asked for)."""
        assert self.source is not None
        retrieval: Retrieval | None = getattr(self.config, "retrieval", None)
        if retrieval is None or retrieval.rewrite == "none" or not isinstance(self.source, Retrieved):
            return self.source.passages(questions), []
        texts = [q.text for q in questions]
        wrote = self._say([rewrite.request(retrieval.rewrite, text) for text in texts])
        if retrieval.rewrite == "hyde":
            return self.source.retriever.search(texts, written=[a.text for a in wrote]), wrote
        asked = [rewrite.queries(text, a.text) for text, a in zip(texts, wrote, strict=True)]
        return rewrite.search(self.source.retriever.search, asked, k=retrieval.k, rrf_k=retrieval.rrf_k), wrote

    def _say(self, texts: Sequence[str]) -> list[Answer]:
        """What the model says to each text, as it stands."""
        bare = Prompt(system="", closed_book="{question}")
        asked = [Question(str(n), text) for n, text in enumerate(texts)]
        if isinstance(self.model, endpoint.Endpoint):
            nothing, size = [None] * len(asked), self.config.generation.batch_size
            return replied(replace(self.model, prompt=bare), size, asked, nothing, nothing)
        window, tokenizer = self.model.window, self.model.tokenizer
        fitted = [prompt.fit(tokenizer, bare, question, None, window=window) for question in asked]
        said = self._completed([f.ids for f in fitted])
        return [
            Answer(text, prompt_tokens=len(f.ids), completion_tokens=tokens)
            for f, (text, tokens) in zip(fitted, said, strict=True)
        ]

    def _completed(self, prompts: Sequence[Sequence[int]]) -> list[tuple[str, int]]:
        """(text, completion tokens) of each prompt, in order."""
        assert isinstance(self.model, lm.LM)
        return self.model.complete_all(prompts, self.config.generation.batch_size)

    def _fit(
        self, question: Question, passages: Sequence[tuple[str, str]] | None, shots: Sequence[prompt.Shot]
    ) -> prompt.Fitted | prompt.TooLong:
        assert isinstance(self.model, lm.LM)
        window, tokenizer = self.model.window, self.model.tokenizer
        try:
            return prompt.fit(tokenizer, self.config.prompt, question, passages, window=window, shots=shots)
        except prompt.TooLong as e:
            return e

    def _answer(self, fitted: prompt.Fitted | prompt.TooLong, hits: tuple[Hit, ...] | None, said: object) -> Answer:
        if isinstance(fitted, prompt.TooLong):
            return Answer("", hits, truncated=True, error=str(fitted))
        text, tokens = next(said)  # type: ignore[call-overload]
        shown = fitted.shown if hits is not None else None
        return Answer(text, hits, shown, len(fitted.ids), tokens, fitted.truncated)

    def refresh(self, material: Material) -> None:
        """Index the corpus anew. Weights are trained again only where the training pairs have changed."""
        if self.learned is not None and self.learned != material.train:
            self.model, self.learned = self.make_model(material), material.train
        if self.make_source:
            self.source = self.make_source(material)
        if self.make_shots:
            self.shots = self.make_shots(material)

    def index_recall(self, questions: Sequence[Question]) -> list[float] | None:
        """Share of the exact top-k that the index found, a question each; None without an index."""
        return self.source.recall(questions) if self.source else None


def _with_cost(answers: Sequence[Answer], wrote: Sequence[Answer]) -> list[Answer]:
    """The answers with the tokens, and the attempts that failed, of what was written to look their passages up. Where
    that failed, so did the answer: its passages were looked up by the question alone."""
    if not wrote:
        return list(answers)
    return [
        replace(
            answer,
            prompt_tokens=_sum(answer.prompt_tokens, query.prompt_tokens),
            completion_tokens=_sum(answer.completion_tokens, query.completion_tokens),
            cached_tokens=_sum(answer.cached_tokens, query.cached_tokens),
            retries=answer.retries + query.retries,
            error=answer.error or query.error,
        )
        for answer, query in zip(answers, wrote, strict=True)
    ]


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None and other is None else (one or 0) + (other or 0)


def replied(model: endpoint.Endpoint, size: int, *asked: Sequence[Any]) -> list[Answer]:
    """What an endpoint replies to each question with its passages, its hits and its shots, `size` requests at once."""
    with ThreadPoolExecutor(size) as pool:
        replies = [pool.submit(copy_context().run, model.reply, *each) for each in zip(*asked, strict=True)]
        return [reply.result() for reply in replies]


def reader(
    config: SystemConfig,
    material: Material,
    *,
    model: Callable[[Material], Answerer],
    source: Callable[[Material], Source] | None = None,
    learns: bool = False,
    shots: Callable[[Material], Shots] | None = None,
) -> Reader:
    """Build both halves on the first material. Indexes come first: memory is freed before a model is loaded."""
    first = source(material) if source else None
    seen = shots(material) if shots else None
    return Reader(config, model, source, material.train if learns else None, model(material), first, shots, seen)


def base(config: SystemConfig) -> Callable[[Material], Answerer]:
    """The untuned model, or the endpoint."""

    def make(_: Material) -> Answerer:
        most = config.generation.max_new_tokens
        if config.model.base_url:
            return endpoint.connect(config.model, config.model.name, max_new_tokens=most, prompt=config.prompt)
        model, tokenizer = lm.load(config.model, precision=config.precision)
        return lm.ready(model, tokenizer, max_new_tokens=most)

    return make


def adapted(config: TunedConfig, raft: Raft | None, store: Store) -> Callable[[Material], Answerer]:
    """The tuned model, trained where the store does not have it; or where an endpoint serves it, that endpoint."""
    most, served = config.generation.max_new_tokens, config.adapter
    if served is not None:
        return lambda _: endpoint.connect(config.model, served, max_new_tokens=most, prompt=config.prompt)
    recipe = Recipe(config.method, config.model, config.precision, config.prompt, config.tuning, config.seed, raft)

    def make(material: Material) -> Answerer:
        model, tokenizer = tuned.tuned(recipe, material, store, config.serving)
        return lm.ready(model, tokenizer, max_new_tokens=most)

    return make


def searched(
    config: SystemConfig,
    embedder: Embedder,
    retrieval: Retrieval,
    store: Store,
    *,
    distractors: int | None = None,
    position: Position = "shuffled",
    gold: bool = True,
) -> Callable[[Material], Source]:
    """Where passages come from: what is retrieved, or for a privileged control gold among so many distractors."""
    device = lm.device_of(config.model.device)

    def make(material: Material) -> Source:
        if distractors is None:
            return Retrieved(retrieve.retriever(material, embedder, retrieval, store, device=device))
        known = retrieve.by_id(material.corpus)
        if not distractors:
            return Gold(known, lambda texts, _: [[] for _ in texts], 0, position, gold)
        found = retrieve.retriever(material, embedder, retrieval, store, device=device)
        return Gold(known, found.search, distractors, position, gold)

    return make
