"""Questions to chunks: dense, BM25 or fused, then reranked. Built from stored parts."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.core import first_calls, hub
from bench.core.blocks import Embedder, Position, Reranker, Retrieval
from bench.core.store import Store
from bench.core.vocabulary import Hit, Material, Passage, Question
from bench.core.window import titled
from systems.parts import chunk, embed, index, whole
from systems.parts.bm25 import BM25, bm25
from systems.parts.faiss_index import exact_recall


@dataclass(frozen=True)
class Retriever:
    """`search` gives the best `k` chunks of each question, best first."""

    retrieval: Retrieval
    chunks: chunk.Chunks
    encoder: embed.Encoder | None
    dense: index.Index | None
    vectors: Path | None
    sparse: BM25 | None
    reranker: Any

    def search(
        self, texts: Sequence[str], k: int | None = None, *, written: Sequence[str] | None = None
    ) -> list[list[Hit]]:
        """The best `k` chunks of each text, best first; with several hops, those of the first before the others'.

        `written` is a passage for each text that could answer it: what is looked up first is the mean of both vectors
        (HyDE, Gao et al. 2212.10496), and by words the two together.
        """
        k = k or self.retrieval.k
        later = k // self.retrieval.hops  # chunks of each hop but the first
        found = self._once(texts, k - later * (self.retrieval.hops - 1), written)
        best = [hits[0] if hits else None for hits in found]
        for _ in range(1, self.retrieval.hops):
            again = self._once([further(t, b) for t, b in zip(texts, best, strict=True)], k + later)
            for number, hits in enumerate(again):
                seen = {h.chunk_id for h in found[number]}
                more = [h for h in hits if h.chunk_id not in seen][:later]
                found[number] += more
                best[number] = more[0] if more else best[number]
        return found

    def _once(self, texts: Sequence[str], k: int, written: Sequence[str] | None = None) -> list[list[Hit]]:
        """The best `k` chunks of each text by one look-up."""
        wide = max(k, self.retrieval.reranker.candidates) if self.retrieval.reranker else k
        ranked = self._ranked(texts, wide, written)
        if self.reranker is not None:
            ranked = [self._reranked(text, row) for text, row in zip(texts, ranked, strict=True)]
        return [[self._hit(i, score) for i, score in row[:k]] for row in ranked]

    def _ranked(self, texts: Sequence[str], k: int, written: Sequence[str] | None) -> index.Ranked:
        words = texts if written is None else [f"{t} {w}".strip() for t, w in zip(texts, written, strict=True)]
        if self.dense is None or self.encoder is None:
            return self.sparse.search(words, k) if self.sparse else []
        queries = self.encoder.questions(texts)
        if written is not None:
            queries = queries + self.encoder.passages(written)
            queries /= np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-12)
        if self.sparse is None:
            return self.dense.search(queries, k)
        wide = max(50, 5 * k)
        lists = zip(self.dense.search(queries, wide), self.sparse.search(words, wide), strict=True)
        return [fuse(both, self.retrieval.rrf_k)[:k] for both in lists]

    def _reranked(self, text: str, row: index.Row) -> list[tuple[int, float]]:
        chunks = [self.chunks.rows[i] for i, _ in row]
        pairs = [(text, titled(c.title, c.text) if self.retrieval.is_contextual else c.text) for c in chunks]
        scores = self.reranker.predict(pairs, show_progress_bar=False)
        return sorted(((i, float(s)) for (i, _), s in zip(row, scores, strict=True)), key=lambda pair: -pair[1])

    def _hit(self, number: int, score: float) -> Hit:
        chunk = self.chunks.rows[number]
        return Hit(chunk.id, chunk.passage_id, chunk.text, score, chunk.title, chunk.start)

    def recall(self, texts: Sequence[str]) -> list[float] | None:
        """Share of the exact top-k that the index found, a question each; None without a vector index."""
        if self.dense is None or self.encoder is None or self.vectors is None:
            return None
        queries = self.encoder.questions(texts)
        k = min(self.retrieval.k, len(self.chunks.rows))
        found = [[i for i, _ in row] for row in self.dense.search(queries, k)]
        return exact_recall(np.load(self.vectors, mmap_mode="r"), queries, found, k)


def further(question: str, found: Hit | None) -> str:
    """The question with the names that a passage adds to it: what to look up next.

    After Qi et al. 1910.07000, whose next query is made of words of what was found; where a script has no capital
    letters, the whole passage is added, as Xiong et al. 2009.12756 do.
    """
    if found is None:
        return question
    asked = set(_WORD.findall(question))
    words = dict.fromkeys(w for w in _WORD.findall(found.text) if w not in asked)
    names = [w for w in words if w[0].isupper()]
    cased = any(w[0].isupper() or w[0].islower() for w in words)
    return " ".join([question, *names]) if cased else f"{question} {found.text}"


_WORD = re.compile(r"\w+")


def fuse(rankings: Sequence[Sequence[tuple[int, float]]], rrf_k: int) -> list[tuple[int, float]]:
    """Reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009); ties go to the lower number."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, (number, _) in enumerate(ranking, 1):
            scores[number] = scores.get(number, 0.0) + 1 / (rrf_k + rank)
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))


def by_id(corpus: Sequence[Passage]) -> Callable[[str], Passage]:
    """Gives the passage of an id."""
    places = {p.id: n for n, p in enumerate(corpus)}
    return lambda ident: corpus[places[ident]]


Search = Callable[[Sequence[str], int], list[list[Hit]]]
AT_ONCE = 1024  # questions that are looked up together


def among(
    search: Search,
    passage: Callable[[str], Passage],
    questions: Sequence[Question],
    *,
    count: int,
    rng: Callable[[Question], random.Random],
    keep_gold: float = 1.0,
    position: Position = "shuffled",
) -> list[list[Hit]]:
    """Of each question the gold passages, with probability `keep_gold`, at their position among the best hits that are
    not gold.

    One gold passage stands among `count` others, and every question shows as many passages as that, gold or not: their
    number gives nothing away. A hit is the best chunk of its passage.
    """
    drawn = [rng(question) for question in questions]
    given = [
        [Hit(p.id, p.id, p.text, 1.0, p.title, 0) for p in map(passage, question.gold)]
        if draw.random() < keep_gold
        else []
        for question, draw in zip(questions, drawn, strict=True)
    ]
    wanted = [max(0, count + 1 - len(gold)) if count else 0 for gold in given]
    others = _others(search, questions, wanted)
    return [_placed(*parts, position) for parts in zip(given, others, drawn, strict=True)]


def _others(search: Search, questions: Sequence[Question], wanted: Sequence[int]) -> list[list[Hit]]:
    """So many hits of each question as are wanted that are not gold, of different passages; fewer where there are none
    left. Those that ask for as many hits are looked up together."""
    found: list[list[Hit]] = [[] for _ in questions]
    look = {n: k + len(questions[n].gold) for n, k in enumerate(wanted) if k}  # question -> hits to ask for
    while look:
        for k in sorted(set(look.values())):
            alike = [n for n, asked in look.items() if asked == k]
            for start in range(0, len(alike), AT_ONCE):
                some = alike[start : start + AT_ONCE]
                for n, hits in zip(some, search([questions[m].text for m in some], k), strict=True):
                    best: dict[str, Hit] = {}
                    for hit in hits:
                        if hit.passage_id not in questions[n].gold:
                            best.setdefault(hit.passage_id, hit)
                    found[n] = list(best.values())[: wanted[n]]
                    if len(found[n]) == wanted[n] or len(hits) < k:
                        del look[n]
                    else:
                        look[n] = 2 * k  # several chunks were of one passage
    return found


def _placed(gold: list[Hit], rest: list[Hit], rng: random.Random, position: Position) -> list[Hit]:
    """The gold passages at their place among the others."""
    if position == "shuffled":
        hits = gold + rest
        rng.shuffle(hits)
        return hits
    before = {"first": 0, "middle": len(rest) // 2, "last": len(rest)}[position]
    return rest[:before] + gold + rest[before:]


def retriever(material: Material, embedder: Embedder, retrieval: Retrieval, store: Store, *, device: str) -> Retriever:
    """Chunks, embeddings and indexes of the corpus from the store, or built into it; the tuned embedder as well."""
    rows = chunk.chunks(material.corpus, retrieval.cut, store, embedder)
    if retrieval.mode != "bm25" and embedder.tuned is not None:
        from systems.parts import tuned_embedder  # a trainer, which nobody else needs

        embedder = tuned_embedder.tuned(embedder, material, store, device=device)
    encoder = dense = vectors = None
    if retrieval.mode != "bm25":
        encoder = embed.load(embedder, device=device)
        vectors, digest = embed.embeddings(rows, encoder, store)
        dense = index.index(vectors, digest, retrieval, store)
    sparse = bm25(rows, store) if retrieval.mode != "dense" else None
    return Retriever(retrieval, rows, encoder, dense, vectors, sparse, _reranker(retrieval.reranker, device))


def _reranker(config: Reranker | None, device: str) -> Any:
    if config is None:
        return None
    from sentence_transformers import CrossEncoder

    first_calls.resolve()
    hub.checked(config.name, config.revision, what="reranker")
    model = CrossEncoder(config.name, revision=config.revision, device=device, trust_remote_code=False)
    whole.check(model.model, config.name, config.revision)
    return model
