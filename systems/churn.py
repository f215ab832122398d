"""Experiment: an hnswlib index whose vectors are deleted and replaced in place, against one built anew."""

from __future__ import annotations

import random
from typing import Annotated

from pydantic import Field

from bench.core import meters
from bench.core.store import Store
from bench.core.system import Embedder, Family, PositiveInt, Retrieval, SystemConfig
from bench.core.vocabulary import JSON, Material

FAMILY: Family = "experiment"
SUMMARY = "an index updated in place"


class Config(SystemConfig):
    """The index that is updated, and how often."""

    embedder: Embedder = Embedder()
    retrieval: Retrieval = Retrieval()
    rounds: PositiveInt = 10
    share: Annotated[float, Field(gt=0, le=1, description="Share of the vectors that each round replaces.")] = 0.2


def measure(config: Config, material: Material, store: Store) -> dict[str, JSON]:
    """Recall@k of both against exact search, and the seconds that each way takes. Queries are the training questions.

    In each round a share of the passages is deleted and comes back under a new label, as a changed passage would.
    """
    from systems.parts import chunk, embed, lm
    from systems.parts.updated_index import UpdatedIndex

    rows = chunk.chunks(material.corpus, config.retrieval.cut, store, config.embedder)
    encoder = embed.load(config.embedder, device=lm.device_of(config.model.device))
    file, _ = embed.embeddings(rows, encoder, store)
    asked = [e.question.text for e in material.train][:200] or [c.text for c in rows.rows[:200]]
    live = UpdatedIndex.of(file, config.retrieval)
    rng, spent = random.Random(config.seed), 0.0
    for done in range(config.rounds):
        meters.progress("rounds", done, config.rounds)
        moved = rng.sample(range(len(rows.rows)), max(1, round(config.share * len(rows.rows))))
        spent += meters.timed(lambda: live.replace(moved))[1].seconds  # noqa: B023
    anew, watch = meters.timed(lambda: UpdatedIndex.of(file, config.retrieval))
    queries, k = encoder.questions(asked), min(config.retrieval.k, len(rows.rows))
    return {
        "rounds": config.rounds,
        "share": config.share,
        "vectors": len(rows.rows),
        "queries": len(asked),
        "k": k,
        "recall_in_place": live.recall(queries, k),
        "recall_rebuilt": anew.recall(queries, k),
        "update_s": spent / config.rounds,
        "rebuild_s": watch.seconds,
    }
