"""Passages to chunks: the units that are embedded and retrieved."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.core.blocks import Chunking, Embedder
from bench.core.digest import digest_of_parts
from bench.core.files import write_jsonl
from bench.core.lazy import Lines, Mapped
from bench.core.store import Store
from bench.core.vocabulary import Passage
from bench.core.window import counter

Encode = Callable[[Sequence[str]], npt.NDArray[np.float32]]


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

    rows: Sequence[Chunk]  # each is read when it is asked for
    digest: str


def chunks(corpus: Sequence[Passage], chunking: Chunking | None, store: Store, embedder: Embedder) -> Chunks:
    """The corpus cut by `chunking`, or whole passages without it. Tokens are those of the embedder."""
    tokens = chunking is not None and chunking.unit == "tokens"
    semantic = chunking is not None and chunking.by == "semantic"
    encoded = [embedder.passage_prefix, embedder.precision]
    recipe = {
        "kind": "chunks",
        "version": _version(chunking),
        "corpus": digest_of_parts([p.id, p.title, p.text] for p in corpus),
        "chunking": chunking.recorded("by", "contextual") if chunking else None,
        **({"tokens_of": [embedder.digest or embedder.name, embedder.revision]} if tokens or semantic else {}),
        **({"placed": 2} if tokens else {}),
        **({"cut_by": encoded} if semantic and encoded != ["", "native"] else {}),
    }

    def make(folder: Path) -> dict[str, int]:
        rows = cut(corpus, chunking, _counter(embedder) if tokens else len, _encoder(embedder) if semantic else None)
        write_jsonl(folder / "chunks.jsonl", rows)
        return {"chunks": len(Lines(folder / "chunks.jsonl"))}

    folder, artefact = store.get(recipe, make)
    return Chunks(Mapped(Lines(folder / "chunks.jsonl"), lambda row: Chunk(**row)), artefact.digest)


def _version(chunking: Chunking | None) -> int:
    """Of what is made: raised for what was cut in another way before."""
    if chunking is None:
        return 3
    return 5 if chunking.by in ("sentences", "semantic") else 4 if chunking.contextual else 3


def _counter(embedder: Embedder) -> Callable[[str], int]:
    """Counts the tokens of a text as the embedder does. Raises OSError for one that cannot be had."""
    if (Path(embedder.name) / "tokenizer.json").is_file():
        return counter(Path(embedder.name))
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(embedder.name, revision=embedder.revision, trust_remote_code=False)
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False, verbose=False))


def _encoder(embedder: Embedder) -> Encode:
    """Unit vectors of texts, by the embedder, on the processor."""
    from systems.parts import embed

    return embed.load(embedder, device="cpu").passages


def cut(
    corpus: Iterable[Passage],
    chunking: Chunking | None,
    length: Callable[[str], int] = len,
    encode: Encode | None = None,
) -> Iterator[Chunk]:
    """The chunks of a corpus, in order, no longer than `chunking` says by `length`. `encode` is for semantic cuts."""
    if chunking is None:
        yield from (Chunk(p.id, p.id, p.title, p.text) for p in corpus)
        return
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    sentences: dict[str, Any] = {"separators": [SENTENCE.pattern, r"\s+", ""], "is_separator_regex": True}
    cutter = RecursiveCharacterTextSplitter(
        chunk_size=chunking.size,
        chunk_overlap=chunking.overlap,
        length_function=length,
        **(sentences if chunking.by in ("sentences", "semantic") else {}),
    )
    parted: Iterable[tuple[Passage, Sequence[Part]]] = ((p, list(_parts(p.text, chunking.by))) for p in corpus)
    if chunking.by == "semantic" and encode is not None:
        held = list(parted)  # a distance is far or near among all
        parted = zip((p for p, _ in held), _by_meaning([parts for _, parts in held], encode), strict=True)
    for p, parts in parted:
        pieces = (
            (start, path, piece)
            for start, text, path in parts
            for piece in _placed(text, cutter.split_text(text), chunking.overlap, length)
        )
        heads = _headings(p.text) if chunking.contextual and chunking.by != "headings" else []
        for number, (start, path, (text, within)) in enumerate(pieces):
            if heads and within is not None:
                path = max((h for h in heads if h[0] <= start + within), default=(0, ()))[1]
            title = " > ".join(filter(None, (p.title, *path))) if chunking.contextual else p.title
            yield Chunk(f"{p.id}#{number}", p.id, title, text, None if within is None else start + within)


Part = tuple[int, str, tuple[str, ...]]  # where a part of a passage begins, its text, the headings above it
SENTENCE = (
    re.compile(  # after a stop and a space; where a script writes none, after its stop and what closes a quotation
        r"(?<=[.!?\u061f\u06d4\u0964\u0965])\s+"
        r"|(?<=[\u3002\uff01\uff1f])(?![\u300d\u300f\u201d\u2019\uff09])\s*"
        r"|(?<=[\u3002\uff01\uff1f][\u300d\u300f\u201d\u2019\uff09])\s*"
        r"|\n{2,}"
    )
)
HEADING = re.compile(r"^(#{1,6})[ \t]+(.+?)[ \t#]*$", re.M)
FARTHEST = 95  # percentile of distances between neighbouring sentences from which they are parted


def _parts(text: str, by: str) -> Iterator[Part]:
    """The parts of a passage that no chunk crosses: sections under headings, sentences, or the whole."""
    if by == "semantic":
        starts = [0, *(m.end() for m in SENTENCE.finditer(text))]
        yield from (
            (a, text[a:b], ()) for a, b in zip(starts, [*starts[1:], len(text)], strict=True) if text[a:b].strip()
        )
        return
    found = _headings(text) if by == "headings" else []
    if not found or found[0][0] > 0:
        yield 0, text[: found[0][0]] if found else text, ()
    ends = [*(start for start, _ in found[1:]), len(text)][: len(found)]
    for (start, path), end in zip(found, ends, strict=True):
        yield start, text[start:end], path


def _headings(text: str) -> list[tuple[int, tuple[str, ...]]]:
    """(where it begins, itself under those above it) of each Markdown heading."""
    found, path = [], list[tuple[int, str]]()
    for heading in HEADING.finditer(text):
        depth = len(heading[1])
        path = [*((d, name) for d, name in path if d < depth), (depth, heading[2])]
        found.append((heading.start(), tuple(name for _, name in path)))
    return found


def _by_meaning(parted: Sequence[Sequence[Part]], encode: Encode) -> list[list[Part]]:
    """Neighbouring sentences joined, but where they are farther apart than FARTHEST per cent of all neighbours."""
    rows = encode([text for parts in parted for _, text, _ in parts])
    ends = np.cumsum([len(parts) for parts in parted])
    each = [rows[end - len(parts) : end] for parts, end in zip(parted, ends, strict=True)]
    gaps = [1 - (vectors[1:] * vectors[:-1]).sum(axis=1) for vectors in each]
    every = np.concatenate(gaps) if gaps else np.zeros(0)
    limit = float(np.percentile(every, FARTHEST)) if every.size else 0.0
    joined: list[list[Part]] = []
    for parts, apart in zip(parted, gaps, strict=True):
        merged: list[Part] = list(parts[:1])
        for (start, text, _), gap in zip(parts[1:], apart, strict=True):
            first, before, path = merged[-1]
            if gap > limit:
                merged.append((start, text, path))
            else:
                merged[-1] = (first, before + text, path)
        joined.append(merged)
    return joined


def _placed(
    text: str, pieces: Sequence[str], overlap: int, length: Callable[[str], int]
) -> Iterator[tuple[str, int | None]]:
    """Each piece of a text with where it begins; None where it does not stand in it.

    A piece begins after the one before begins, and no later than where that ends; of several such places it is the
    first that shares no more than the `overlap` with it, which is of tokens where `length` counts those.
    """
    low = end = 0
    most = overlap if length is len else overlap + overlap // 4 + 8  # tokens of a whole are more than of its parts
    for piece in pieces:
        at = _place(text, piece, low, end, partial(_shares_little, text, end, most, length))
        yield piece, at if at >= 0 else None
        if at >= 0:
            low, end = at + 1, at + len(piece)


def _shares_little(text: str, end: int, most: int, length: Callable[[str], int], start: int) -> bool:
    return length(text[start:end]) <= most


def _place(text: str, piece: str, low: int, end: int, shares_little: Callable[[int], bool]) -> int:
    """Where a piece begins between `low` and what follows `end`; anywhere later if not there; -1 if nowhere."""
    last = end + len(text[end:]) - len(text[end:].lstrip())
    places, at = [], text.find(piece, low)
    first = at
    while 0 <= at <= last:
        places.append(at)
        at = text.find(piece, at + 1)
    return next(filter(shares_little, places), places[-1] if places else first)
