"""Answered training questions that stand before a question: the same for all, or the nearest to each."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench.core.vocabulary import Material, Question
from systems.parts import embed, lm
from systems.parts.examples import taught
from systems.parts.prompt import Shot


def chooser(config: Any) -> Callable[[Material], Callable[[Sequence[Question]], list[list[Shot]]]]:
    """Of a material, what gives each question its shots: the nearest one last, beside the question."""

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
        vectors = encoder.questions([question.text for question, _ in known])

        def nearest(questions: Sequence[Question]) -> list[list[Shot]]:
            close = encoder.questions([q.text for q in questions]) @ vectors.T
            best = np.argsort(-close, axis=1, kind="stable")[:, :count]
            return [[known[n] for n in row[::-1]] for row in best.tolist()]

        return nearest

    return make
