"""How much of a text an embedder reads: its window in tokens, and texts counted in them. Nothing but JSON is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bench.core.errors import UserError
from bench.core.files import read_json

SPECIAL = 2  # tokens that an embedder adds to a text: its first and its last


@dataclass(frozen=True)
class Window:
    """The tokens that an embedder reads of a text, its marks not counted, and how to count those of a text."""

    tokens: int
    count: Callable[[str], int]


def titled(title: str, text: str) -> str:
    """What is embedded of a chunk: its text, after the title where that does not stand in it."""
    return f"{title}. {text}" if title and title not in text else text


@lru_cache(8)
def window(folder: Path) -> Window | None:
    """The window of the embedder in a folder; None where there is no limit, as for an average of word vectors, or it is
    not known."""
    limit = _limit(folder)
    if limit is None or not (folder / "tokenizer.json").is_file():
        return None
    return Window(limit - SPECIAL, counter(folder))


@lru_cache(8)
def counter(folder: Path) -> Callable[[str], int]:
    """Counts the tokens of a text by the tokenizer.json in a folder, without marks."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as e:  # noqa: BLE001 the library raises nothing narrower
        raise UserError(f"it is damaged: {e}.", where=str(path), remedy="Fetch the model anew.") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _limit(folder: Path) -> int | None:
    """`max_seq_length` where sentence-transformers has one, else the positions of the transformer inside."""
    modules = read_json(folder / "modules.json") if (folder / "modules.json").is_file() else []
    first = folder / str(modules[0]["path"]) if modules else folder
    if modules and not str(modules[0]["type"]).endswith("Transformer"):
        return None
    for place in (first, folder):
        if (place / "sentence_bert_config.json").is_file():
            found = read_json(place / "sentence_bert_config.json").get("max_seq_length")
            if isinstance(found, int):
                return found
    config = first / "config.json"
    found = read_json(config).get("max_position_embeddings") if config.is_file() else None
    return found if isinstance(found, int) else None


def context(folder: Path) -> int | None:
    """The tokens that the language model in a folder reads and writes; None where it does not say, or cannot count."""
    config = folder / "config.json"
    if not config.is_file() or not (folder / "tokenizer.json").is_file():
        return None
    found = read_json(config)
    text = found.get("text_config") or found
    limit = text.get("max_position_embeddings")
    return limit if isinstance(limit, int) else None


@dataclass(frozen=True)
class Unread:
    """What of a corpus a window cuts off: passages that are longer, all tokens, and those beyond the window."""

    passages: int
    tokens: int
    cut: int


def exceeds(texts: Iterable[str], seen: Window) -> bool:
    """Whether a text is longer than the window. A token has at least one character, so that most need no counting."""
    return any(len(text) > seen.tokens and seen.count(text) > seen.tokens for text in texts)


def unread(texts: Iterable[str], seen: Window) -> Unread:
    """What of these texts is not read, if each is embedded whole."""
    counts = [seen.count(text) for text in texts]
    beyond = [count - seen.tokens for count in counts if count > seen.tokens]
    return Unread(len(beyond), sum(counts), sum(beyond))
