"""Chunks and questions to vectors, by a sentence-transformers model."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer

from bench.core import first_calls, hub, meters
from bench.core.blocks import Embedder
from bench.core.files import part_of
from bench.core.lazy import Mapped
from bench.core.store import EARLIER, Store
from bench.core.window import titled
from systems.parts import whole
from systems.parts.chunk import Chunks
from systems.parts.prompt import as_text

AT_ONCE = 4096  # passages that are embedded between two reports of progress
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Encoder:
    """A loaded embedder. Vectors are float32, one row a text, of unit length: inner product is cosine."""

    model: Any
    config: Embedder

    def questions(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of questions: (texts, dimensions)."""
        return self._encode([self.config.query_prefix + t for t in texts])

    def passages(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of passages: (texts, dimensions)."""
        return self._encode([self.config.passage_prefix + t for t in texts])

    def _encode(self, texts: list[str]) -> Vectors:
        rows = self.model.encode(
            [as_text(self.model.tokenizer, text) for text in texts],
            batch_size=self.config.batch_size,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return np.ascontiguousarray(rows, dtype=np.float32)


def load(config: Embedder, *, device: str) -> Encoder:
    """The embedder on a device. Raises OSError for a name that neither the disk nor the hub has."""
    first_calls.resolve()
    hub.checked(config.name, config.revision, what="embedder")
    model = SentenceTransformer(config.name, revision=config.revision, device=device, trust_remote_code=False)
    inner = getattr(model[0], "auto_model", None)
    whole.check(inner, config.name, config.revision)
    if config.precision == "int8":
        _quantise(inner, config.name, device)
    return Encoder(model, config)


def _quantise(model: Any, name: str, device: str) -> None:
    """Put the linear layers of a transformer into 8 bits, their inputs as they come (dynamic quantisation). Raises
    ValueError where there is none, or it is on a GPU."""
    if device != "cpu" or model is None:
        why = "runs on a GPU" if device != "cpu" else "has no linear layers"
        raise ValueError(f"`embedder.precision: int8` is for transformers on a processor, and {name} {why}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch moves it into a package of its own
        quantise: Any = torch.ao.quantization.quantize_dynamic
        quantise(model, {torch.nn.Linear}, dtype=torch.qint8, inplace=True)


def recipe(chunks: Chunks, config: Embedder) -> dict[str, Any]:
    """What stored embeddings depend on."""
    return {
        "kind": "embeddings",
        "version": 1,
        "chunks": chunks.digest,
        "embedder": config.digest or config.name,
        "revision": config.revision,
        "prefix": config.passage_prefix,
        "dtype": "float32",
        **({} if config.precision == "native" else {"precision": config.precision}),
    }


def embeddings(chunks: Chunks, encoder: Encoder, store: Store) -> tuple[Path, str]:
    """(file of the vectors, digest of the artefact): shape (chunks, dimensions)."""
    known = recipe(chunks, encoder.config)
    parts = store.path(known).with_suffix(".parts")

    def make(folder: Path) -> dict[str, float]:
        texts = Mapped(chunks.rows, lambda c: titled(c.title, c.text))
        facts = _embedded(texts, encoder, folder / "vectors.npy", parts)
        shutil.rmtree(parts, ignore_errors=True)
        return facts

    folder, artefact = store.get(known, make)
    return folder / "vectors.npy", artefact.digest


def _embedded(texts: Sequence[str], encoder: Encoder, out: Path, parts: Path) -> dict[str, float]:
    """Write the vectors of the texts, and return what the store keeps of it.

    AT_ONCE of them at a time lie in `parts` until all are there: what was stopped goes on from them, and the seconds
    that they took then are counted.
    """
    rows, earlier_s = np.zeros((0, 0), np.float32), 0.0
    for start in range(0, len(texts), AT_ONCE):
        meters.progress("embeddings", start, len(texts))
        some, file = texts[start : start + AT_ONCE], parts / f"{start}.npz"
        if file.exists():
            with np.load(file) as kept:
                vectors, seconds = kept["vectors"], float(kept["seconds"])
            earlier_s += seconds
        else:
            vectors, watch = meters.timed(partial(encoder.passages, some))
            if len(texts) > AT_ONCE:
                _keep(file, vectors, watch.seconds)
        if not start:
            shape = (len(texts), vectors.shape[1])
            rows = np.lib.format.open_memmap(out, mode="w+", dtype=np.float32, shape=shape)
        rows[start : start + len(some)] = vectors
    return {"vectors": len(rows), "dimensions": int(rows.shape[1]), EARLIER: earlier_s}


def _keep(file: Path, vectors: Vectors, seconds: float) -> None:
    """Write a part, which is there whole or not at all."""
    file.parent.mkdir(exist_ok=True)
    with (part := part_of(file)).open("wb") as written:
        np.savez(written, vectors=vectors, seconds=seconds)
    part.replace(file)
