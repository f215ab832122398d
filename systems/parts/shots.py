"""Answered training questions that stand before a question: the same for all, or the nearest to each."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.digest import digest
from bench.core.store import Store
from bench.core.vocabulary import JSON, Material, Question
from systems.parts import embed, lm
from systems.parts.examples import taught
from systems.parts.prompt import Shot


def chooser(config: Any, store: Store) -> Callable[[Material], Callable[[Sequence[Question]], list[list[Shot]]]]:
    """Of a material, what gives each question its shots: the nearest one last, beside the question. Vectors of training
    questions are kept in the store."""

    def make(material: Material) -> Callable[[Sequence[Question]], list[list[Shot]]]:
        answers = [(e.question, taught(e, config.prompt)) for e in material.train]
        known: list[Shot] = [(question, answer) for question, answer in answers if answer is not None]
        if not known:
            raise ValueError("no training question has a reference answer: there is nothing to show")
        count = min(config.shots, len(known))
        if config.choose == "random":
            drawn = random.Random(f"{config.seed}/shots").sample(known, count)
            return lambda questions: [drawn for _ in questions]
        encoder = embed.load(config.embedder, device=lm.device_of(config.model.device))
        vectors = _vectors(encoder, [question.text for question, _ in known], store)

        def nearest(questions: Sequence[Question]) -> list[list[Shot]]:
            close = encoder.questions([q.text for q in questions]) @ vectors.T
            best = np.argsort(-close, axis=1, kind="stable")[:, :count]
            return [[known[n] for n in row[::-1]] for row in best.tolist()]

        return nearest

    return make


def _vectors(encoder: embed.Encoder, texts: Sequence[str], store: Store) -> embed.Vectors:
    """Unit vectors of questions, (texts, dimensions), from the store or built into it."""

    def make(folder: Path) -> dict[str, JSON]:
        np.save(folder / "vectors.npy", encoder.questions(texts))
        return {"vectors": len(texts)}

    config = encoder.config
    recipe: dict[str, JSON] = {
        "kind": "embeddings",
        "version": 1,
        "questions": digest(texts),
        "embedder": config.digest or config.name,
        "revision": config.revision,
        "prefix": config.query_prefix,
        "precision": config.precision,
    }
    folder, _ = store.get(recipe, make)
    found: embed.Vectors = np.load(folder / "vectors.npy")
    return found
