"""A folder of documents, and questions about them whose answers are located by character spans."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from bench.core.digest import visible
from bench.core.errors import UserError
from bench.core.files import read_jsonl
from bench.core.system import Chunking
from bench.core.vocabulary import JSON, Example, Passage, Question
from bench.data.row import strings, text_of
from bench.data.source import Source, file_fingerprint
from bench.data.task import Task

fingerprint = file_fingerprint
Chunks = Mapping[str, list[tuple[int, Passage]]]  # document -> (first character, chunk)


class Documents(Source):
    """A folder of txt, md, html and pdf files, and a JSONL of questions.

    A question says its `document`, and where in it the answer stands: `start` and `end`, or `quote`.
    """

    path_keys: ClassVar[tuple[str, ...]] = ("path", "questions")

    format: Literal["documents"]
    path: str
    questions: str
    chunking: Chunking = Chunking()


def read(source: Documents, origin: JSON) -> Task:
    """Documents cut into chunks; a gold character span is every chunk that it overlaps. Raises UserError."""
    root = Path(source.path)
    texts = {
        p.relative_to(root).as_posix(): document_text(p)
        for p in sorted(root.rglob("*"))
        if visible(p, root) and p.suffix.lower() in READERS
    }
    if not texts:
        raise UserError("no document found.", where=source.path, remedy=f"Supported: {', '.join(sorted(READERS))}.")
    chunks = _chunks(texts, source.chunking)
    examples = tuple(
        _located(f"{source.questions}:{n}", n, row, texts, chunks) for n, row in read_jsonl(Path(source.questions))
    )
    return Task(root.name, tuple(p for rows in chunks.values() for _, p in rows), (), (), examples)


def _chunks(texts: Mapping[str, str], chunking: Chunking) -> Chunks:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter(
        chunk_size=chunking.size, chunk_overlap=chunking.overlap, add_start_index=True
    )
    return {
        name: [
            (int(d.metadata["start_index"]), Passage(f"{name}#{n}", d.page_content, name, name))
            for n, d in enumerate(splitter.create_documents([whole]))
        ]
        for name, whole in texts.items()
    }


def _located(where: str, number: int, row: Mapping[str, Any], texts: Mapping[str, str], chunks: Chunks) -> Example:
    """A question with the chunks that its answer's span overlaps as gold. Raises UserError where there is no span."""
    answers = strings(row, "answers", where)
    ident = str(row.get("id", f"q{number}"))
    if "document" not in row and not answers:
        return Example(Question(ident, text_of(row, "question", where)), (), "unanswerable", ident)
    name = text_of(row, "document", where)
    if name not in texts:
        raise UserError(f"no document {name!r}.", where=where, remedy=f"There are: {', '.join(list(texts)[:8])}.")
    quote = row.get("quote") or (answers[0] if answers else "")
    start = row["start"] if "start" in row else texts[name].find(str(quote))
    end = row["end"] if "end" in row else start + len(str(quote))
    if not isinstance(start, int) or not isinstance(end, int) or not 0 <= start < end <= len(texts[name]):
        raise UserError(
            f"the span of the answer was not found in {name!r}.",
            where=where,
            remedy="Give `quote` as it stands in the document, or `start` and `end` in characters.",
        )
    gold = tuple(p.id for at, p in chunks[name] if at < end and start < at + len(p.text))
    question = Question(ident, text_of(row, "question", where), gold)
    return Example(question, answers, "answerable" if answers else "unanswerable", name)


def document_text(path: Path) -> str:
    """The text of a document. Raises UserError for one that cannot be read."""
    try:
        return READERS[path.suffix.lower()](path)
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"cannot be read: {e}.", where=str(path), remedy="Save it as UTF-8.") from None


def _plain(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _html(path: Path) -> str:
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    for tag in soup(["script", "style", "noscript"]):
        tag.decompose()
    return str(soup.get_text("\n", strip=True))


def _pdf(path: Path) -> str:
    import pypdf

    try:
        return "\n".join(page.extract_text() for page in pypdf.PdfReader(path).pages)
    except pypdf.errors.PyPdfError as e:
        raise UserError(f"not a readable PDF: {e}.", where=str(path)) from None


READERS = {".txt": _plain, ".md": _plain, ".html": _html, ".htm": _html, ".pdf": _pdf}
