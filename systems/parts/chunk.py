"""Passages to chunks: the units that are embedded and retrieved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.digest import digest
from bench.core.files import read_jsonl, write_jsonl
from bench.core.store import Store
from bench.core.system import Chunking, Embedder
from bench.core.vocabulary import Passage
from bench.core.window import counter


@dataclass(frozen=True)
class Chunk:
    """A part of a passage, which is embedded and retrieved."""

    id: str
    passage_id: str
    title: str
    text: str
    start: int | None = 0  # its first character in the passage; None where the text is not found as it stands


@dataclass(frozen=True)
class Chunks:
    """Chunks and the digest of the artefact that they are."""

    rows: list[Chunk]
    digest: str


def chunks(corpus: Sequence[Passage], chunking: Chunking | None, store: Store, embedder: Embedder) -> Chunks:
    """The corpus cut by `chunking`, or whole passages without it. Tokens are those of the embedder."""
    tokens = chunking is not None and chunking.unit == "tokens"
    recipe = {
        "kind": "chunks",
        "version": 2,
        "corpus": digest([[p.id, p.title, p.text] for p in corpus]),
        "chunking": chunking.model_dump() if chunking else None,
        **({"tokens_of": [embedder.digest or embedder.name, embedder.revision]} if tokens else {}),
    }

    def make(folder: Path) -> dict[str, int]:
        rows = cut(corpus, chunking, _counter(embedder) if tokens else len)
        write_jsonl(folder / "chunks.jsonl", rows)
        return {"chunks": len(rows)}

    folder, artefact = store.get(recipe, make)
    return Chunks([Chunk(**row) for _, row in read_jsonl(folder / "chunks.jsonl")], artefact.digest)


def _counter(embedder: Embedder) -> Callable[[str], int]:
    """Counts the tokens of a text as the embedder does. Raises OSError for one that cannot be had."""
    if (Path(embedder.name) / "tokenizer.json").is_file():
        return counter(Path(embedder.name))
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(embedder.name, revision=embedder.revision, trust_remote_code=False)
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False, verbose=False))


def cut(corpus: Sequence[Passage], chunking: Chunking | None, length: Callable[[str], int] = len) -> list[Chunk]:
    """The chunks of a corpus, in order, no longer than `chunking` says by `length`."""
    if chunking is None:
        return [Chunk(p.id, p.id, p.title, p.text) for p in corpus]
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    cutter = RecursiveCharacterTextSplitter(
        chunk_size=chunking.size, chunk_overlap=chunking.overlap, length_function=length, add_start_index=True
    )
    return [
        Chunk(f"{p.id}#{n}", p.id, p.title, d.page_content, _known(d.metadata["start_index"]))
        for p in corpus
        for n, d in enumerate(cutter.create_documents([p.text]))
    ]


def _known(start: int) -> int | None:
    return start if start >= 0 else None  # the splitter's sign that it did not find the chunk
