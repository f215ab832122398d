"""Passages against the windows of the models that read them: lengths in tokens, and what is cut off."""

from __future__ import annotations

import heapq
import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bench.core import hub
from bench.core.lazy import Mapped
from bench.core.window import context, counter, exceeds, titled, unread, window
from bench.execution.pinning import Prepared
from bench.spec import kinds
from bench.spec.cells import Cell

SAMPLE = 200  # passages whose tokens are counted for a median


def lengths(prepared: Prepared) -> list[str]:
    """The tokens of a passage and of a question, by the tokenizer of each model and embedder that is on this disk."""
    texts = _texts(prepared)
    some, long = _some(texts), heapq.nlargest(SAMPLE, texts, key=len)
    asked = [example.question.text for example in prepared.task.test[:SAMPLE]]
    told = {}
    for name, revision in _named(prepared.cells):
        folder = hub.local(name, revision)
        if folder is None or not (folder / "tokenizer.json").is_file():
            continue
        count = counter(folder)
        passages, most, questions = [*map(count, some)], max(map(count, long)), statistics.median(map(count, asked))
        told[folder] = (
            f"Tokens of {folder.name}: a passage has {statistics.median(passages):.0f} (median), the longest "
            f"{max(most, *passages):,}; a question {questions:.0f} (median)."
        )
    return list(told.values())


def _texts(prepared: Prepared) -> Sequence[str]:
    return Mapped(prepared.task.corpus, lambda passage: titled(passage.title, passage.text))


def _some(texts: Sequence[str]) -> list[str]:
    return random.Random("window").sample(texts, min(SAMPLE, len(texts)))


def _named(cells: Sequence[Cell]) -> list[tuple[str, str | None]]:
    """(name, revision) of each model and embedder, once."""
    blocks = [cell.config.get(key) or {} for cell in cells for key in ("model", "embedder")]
    named = [(str(b["name"]), b.get("revision")) for b in blocks if b.get("name") and not b.get("base_url")]
    return list(dict.fromkeys(named))


def windows(prepared: Prepared) -> list[str]:
    """What the windows of the embedders do to the passages, a sentence each."""
    texts = _texts(prepared)
    asked: dict[tuple[str, str | None], list[Cell]] = {}
    for cell in prepared.cells:
        if cell.config.get("retrieval", {}).get("mode") in ("dense", "fused"):
            embedder = cell.config["embedder"]
            asked.setdefault((str(embedder["name"]), embedder.get("revision")), []).append(cell)
    told = [line for key, cells in asked.items() for line in _windows(key, cells, texts)]
    some = _some(texts)

    @cache  # the cells of a run share models
    def usual(folder: Path) -> float:
        return statistics.median(map(counter(folder), some))

    reading = [
        cell
        for cell in prepared.cells
        if "retrieval" in cell.config and cell.config["model"].get("name") and kinds.load(cell.kind).Config.answers
    ]
    return list(dict.fromkeys([*told, *(line for cell in reading for line in _prompts(cell.config, usual))]))


def _prompts(config: Mapping[str, Any], usual: Callable[[Path], float]) -> Iterator[str]:
    """Whether the passages of a usual prompt exceed what the base model reads. `usual`: median tokens of a passage, by
    the folder of a model."""
    model, retrieval = config["model"], config["retrieval"]
    folder = None if model.get("base_url") else hub.local(str(model["name"]), model.get("revision"))
    room = context(folder) if folder else None
    if folder is None or room is None:
        return
    each, room = usual(folder), room - config["generation"]["max_new_tokens"]
    if cut := retrieval["chunking"]:
        each = min(each, cut["size"] if cut["unit"] == "tokens" else cut["size"] / 4)
    if retrieval["k"] * each > room:
        yield (
            f"{retrieval['k']} passages of {each:.0f} tokens (median) exceed the {room:,} tokens that "
            f"{Path(str(model['name'])).name} reads beside its answer: passages will be left out. Lower `retrieval.k`, "
            "or cut shorter chunks."
        )


def _windows(embedder: tuple[str, str | None], cells: Sequence[Cell], texts: Sequence[str]) -> Iterator[str]:
    folder, name = hub.local(*embedder), Path(embedder[0]).name
    if folder is None:
        yield f"How many tokens {name} reads of a passage is not known before it is downloaded."
    seen = window(folder) if folder else None
    if seen is None:
        return
    chunkings = [cell.config["retrieval"]["chunking"] for cell in cells]
    sizes = sorted({int(c["size"]) for c in chunkings if c and c["unit"] == "tokens"})
    for size in sizes:
        yield f"Passages are cut into chunks of at most {size:,} tokens; the embedder {name} reads {seen.tokens:,}."
    long = max((int(c["size"]) for c in chunkings if c and c["unit"] == "characters"), default=0)
    if any(size > seen.tokens for size in sizes) or (long > seen.tokens and exceeds((t[:long] for t in texts), seen)):
        yield (
            f"Chunks are longer than the {seen.tokens:,} tokens that the embedder {name} reads: what is beyond is not "
            "embedded. Lower `retrieval.chunking.size`, or set `retrieval.chunking: auto`."
        )
    if None in chunkings and exceeds(texts, seen):
        found = unread(texts, seen)
        whole = [cell.system for cell in cells if cell.config["retrieval"]["chunking"] is None]
        yield (
            f"The embedder {name} reads {seen.tokens} tokens of a passage. {found.passages:,} of {len(texts):,} "
            f"passages are longer, and {found.cut / found.tokens:.1%} of all tokens are not embedded for "
            f"{', '.join(whole)}. `retrieval.chunking: auto` cuts them."
        )
