"""Chunks and questions to vectors, by a sentence-transformers model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sentence_transformers import SentenceTransformer

from bench.core import hub, meters
from bench.core.store import Store
from bench.core.system import Embedder
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
    hub.checked(config.name, config.revision, what="embedder")
    model = SentenceTransformer(config.name, revision=config.revision, device=device, trust_remote_code=False)
    first = model[0]
    whole.check(getattr(first, "auto_model", None), config.name, config.revision)
    return Encoder(model, config)


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
    }


def embeddings(chunks: Chunks, encoder: Encoder, store: Store) -> tuple[Path, str]:
    """(file of the vectors, digest of the artefact): shape (chunks, dimensions)."""

    def make(folder: Path) -> dict[str, int]:
        texts, parts = [titled(c.title, c.text) for c in chunks.rows], []
        for start in range(0, len(texts), AT_ONCE):
            meters.progress("embeddings", start, len(texts))
            parts.append(encoder.passages(texts[start : start + AT_ONCE]))
        rows = np.concatenate(parts)
        np.save(folder / "vectors.npy", rows)
        return {"vectors": len(rows), "dimensions": int(rows.shape[1])}

    folder, artefact = store.get(recipe(chunks, encoder.config), make)
    return folder / "vectors.npy", artefact.digest
