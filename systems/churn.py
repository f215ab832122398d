"""Experiment: a vector index by itself: its speed at a recall, also filtered, and updated against built anew."""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from bench.core import meters
from bench.core.blocks import Embedder, PositiveInt, Retrieval
from bench.core.store import Store
from bench.core.system import Family, SystemConfig
from bench.core.vocabulary import JSON, Material

if TYPE_CHECKING:
    from systems.parts.index import Live

FAMILY: Family = "experiment"
SUMMARY = "an index updated in place"
EFFORTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)  # of `ef_search` or `nprobe`
QUERIES, SINGLES = 200, 100  # that recall is of, and that are timed one at a time


class Config(SystemConfig):
    """The index that is updated, and how often."""

    embedder: Embedder = Embedder()
    retrieval: Retrieval = Retrieval()
    rounds: PositiveInt = 10
    share: Annotated[float, Field(gt=0, le=1, description="Share of the vectors that each round replaces.")] = 0.2
    recall: Annotated[float, Field(gt=0, le=1, description="Recall@k at which the search is timed.")] = 0.95


def measure(config: Config, material: Material, store: Store) -> dict[str, JSON]:
    """Recall@k is against exact search. Queries are the training questions, passages where there are none.

    The effort of a search (`ef_search`, `nprobe`) is doubled until recall is reached. A filter leaves a tenth of the
    vectors. In each round a share of the vectors is deleted and put there again, as changed passages would be.
    """
    import numpy as np

    from systems.parts import chunk, embed, lm
    from systems.parts.faiss_index import exact_recall
    from systems.parts.index import PARTS, library

    rows = chunk.chunks(material.corpus, config.retrieval.cut, store, config.embedder)
    encoder = embed.load(config.embedder, device=lm.device_of(config.model.device))
    file, _ = embed.embeddings(rows, encoder, store)
    vectors = np.load(file)
    asked = [e.question.text for e in material.train][:QUERIES] or [c.text for c in rows.rows[:QUERIES]]
    queries, k = encoder.questions(asked), min(config.retrieval.k, len(vectors))
    chosen = library(config.retrieval.index)

    def recall(live: Live) -> float:
        found = [[number for number, _ in row] for row in live.search(queries, k)]
        return float(np.mean(exact_recall(vectors, queries, found, k)))

    def filtered(live: Live) -> JSON:
        of_part = vectors[::PARTS]
        found = [[number // PARTS for number, _ in row] for row in live.search(queries, k, 0)]
        few = min(k, len(of_part))
        return {
            "recall": float(np.mean(exact_recall(of_part, queries, found, few))),
            "p50_s": _p50(lambda i: live.search(queries[i : i + 1], few, 0), len(queries)),
        }

    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        live = chosen.live(vectors, config.retrieval, Path(first))
        try:
            effort = (
                _reached(live, recall, config.recall, k if chosen.EFFORT == "ef_search" else 1)
                if chosen.EFFORT
                else None
            )
            at_effort, size = recall(live), live.size()
            p50_s = _p50(lambda i: live.search(queries[i : i + 1], k), len(queries))
            few, no_filter = _or_why(lambda: filtered(live))
            update_s, no_update = _or_why(lambda: _updated(live, config, len(vectors)))
            in_place = None if no_update else recall(live)
            after = live.size()
        finally:
            live.close()
        anew, watch = meters.timed(lambda: chosen.live(vectors, config.retrieval, Path(second)))
        try:
            if effort is not None:
                anew.reach(effort)
            rebuilt = recall(anew)
        finally:
            anew.close()
    return {
        "index": config.retrieval.index,
        "rounds": config.rounds,
        "share": config.share,
        "vectors": len(vectors),
        "queries": len(asked),
        "k": k,
        "effort": None if effort is None else f"{chosen.EFFORT} {effort}",
        "recall": at_effort,
        "p50_s": p50_s,
        "filtered": few,
        "recall_in_place": in_place,
        "recall_rebuilt": rebuilt,
        "update_s": update_s,
        "rebuild_s": watch.seconds,
        "disk_bytes": size.disk_bytes,
        "disk_after_bytes": after.disk_bytes,
        "server_bytes": after.server_bytes,
        "left_out": [why for why in (no_filter, no_update) if why],
    }


def _reached(live: Live, recall: Callable[[Live], float], wanted: float, least: int) -> int:
    """The least effort of a doubling that reaches the recall; the highest where none does."""
    for effort in (effort for effort in EFFORTS if effort >= least):
        live.reach(effort)
        if recall(live) >= wanted:
            break
    return effort


def _p50(search: Callable[[int], object], count: int) -> float:
    """Median seconds of one query, each alone."""
    search(0)
    return statistics.median(meters.timed(lambda: search(i))[1].seconds for i in range(min(SINGLES, count)))  # noqa: B023


def _or_why(work: Callable[[], Any]) -> tuple[Any, str | None]:
    """(what it gives, None), or (None, why the library does not do it)."""
    try:
        return work(), None
    except NotImplementedError as e:
        return None, str(e)


def _updated(live: Live, config: Config, vectors: int) -> float:
    """Seconds of a round of updates."""
    rng, spent = random.Random(config.seed), 0.0
    for done in range(config.rounds):
        meters.progress("rounds", done, config.rounds)
        moved = rng.sample(range(vectors), max(1, round(config.share * vectors)))
        spent += meters.timed(lambda: live.replace(moved))[1].seconds  # noqa: B023
    return spent / config.rounds
