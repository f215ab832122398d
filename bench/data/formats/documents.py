"""A folder of documents, and questions about them whose answers are located by character spans."""

from __future__ import annotations

import difflib
import importlib.util
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import field_validator

from bench.core.blocks import Chunking
from bench.core.digest import visible
from bench.core.errors import UserError, every
from bench.core.files import read_jsonl
from bench.core.normalisation import AFTER_WORD, BEFORE_WORD
from bench.core.vocabulary import JSON, Example, Passage, Place, Question
from bench.data.row import Keys, name_of, strings, text_of
from bench.data.source import Source, file_fingerprint
from bench.data.task import Task

PAGE = "\n\f"  # between the pages of a PDF, as pdftotext writes it
Chunks = Mapping[str, list[tuple[int, Passage]]]  # document -> (first character, chunk)


class Documents(Source):
    """A folder of txt, md, rst, html and pdf files, and a JSONL of questions; with `ragtune[documents]` also docx, pptx
    and xlsx files.

    A question says its `document`, and where in it the answer stands: `start` and `end`, or `quote`.
    """

    path_keys: ClassVar[tuple[str, ...]] = ("path", "questions")

    format: Literal["documents"]
    path: str
    questions: str
    chunking: Chunking = Chunking()

    @field_validator("chunking")
    @classmethod
    def _in_characters(cls, chunking: Chunking) -> Chunking:
        if chunking.unit != "characters":
            raise ValueError("documents are cut before any embedder reads them: lengths here are in characters")
        return chunking


def fingerprint(source: Documents) -> dict[str, JSON]:
    """The digests of the files, and whether office documents are read."""
    return file_fingerprint(source) | ({"office": True} if readers().keys() >= OFFICE.keys() else {})


def read(source: Documents, origin: JSON) -> Task:
    """Documents cut into chunks; a gold character span is every chunk that it overlaps. Raises UserError."""
    root = Path(source.path)
    texts, notes = _whole(root)
    chunks = _chunks(texts, source.chunking)
    keys = Keys(KEYS)

    def located(line: tuple[int, Mapping[str, Any]]) -> Example:
        where = f"{source.questions}:{line[0]}"
        keys.check(line[1], where)
        return _located(where, *line, texts, chunks)

    examples = every(located, read_jsonl(Path(source.questions)))
    keys.end(source.questions)
    passages = tuple(p for rows in chunks.values() for _, p in rows)
    return Task(root.name, passages, (), (), tuple(examples), notes=tuple(notes))


KEYS = frozenset(["id", "question", "answers", "document", "quote", "start", "end", "occurrence"])


def read_chunks(root: Path, chunking: Chunking) -> tuple[Chunks, list[str]]:
    """(the documents of a folder in chunks, what of them was left out). Raises UserError where none holds text."""
    texts, notes = _whole(root)
    return _chunks(texts, chunking), notes


def _whole(root: Path) -> tuple[dict[str, str], list[str]]:
    """(name -> text, what was left out). Raises UserError where no document holds text."""
    files = [p for p in sorted(root.rglob("*")) if p.is_file() and visible(p, root)]
    texts, broken = _texts(files, root)
    if not any(text.strip() for text in texts.values()):
        raise UserError(
            "no document with text was found.",
            where=str(root),
            remedy=" ".join([f"Supported: {', '.join(sorted(readers()))}.", *broken[:3]]),
        )
    return texts, [*_left_out(files, texts, broken, root), *_scanned(texts)]


def _texts(files: Sequence[Path], root: Path) -> tuple[dict[str, str], list[str]]:
    """(name -> text, what was wrong with those that cannot be read): one bad file does not end a corpus."""
    texts: dict[str, str] = {}
    broken: list[str] = []
    known = readers()
    for path in files:
        if path.suffix.lower() in known:
            try:
                texts[path.relative_to(root).as_posix()] = document_text(path)
            except UserError as e:
                broken.append(str(e).replace(f"{root}/", ""))
    return texts, broken


def _scanned(texts: Mapping[str, str]) -> Iterator[str]:
    """PDFs of which some pages hold text and others none."""
    for name, text in texts.items():
        pages = text.split(PAGE) if name.lower().endswith(".pdf") else []
        empty = [str(number) for number, page in enumerate(pages, 1) if not page.strip()]
        if empty and len(empty) < len(pages):
            yield (
                f"{name}: {len(empty)} of {len(pages)} pages hold no text and were left out (scanned? recognise their "
                f"text first): {_first(empty)}."
            )


def _first(names: Sequence[str]) -> str:
    """A few of them, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _left_out(files: Sequence[Path], texts: Mapping[str, str], broken: list[str], root: Path) -> Iterator[str]:
    """What was not read: files of a kind that is not supported, broken ones, and those without text, such as scans."""
    known = readers()
    other = [p.relative_to(root).as_posix() for p in files if p.suffix.lower() not in known]
    empty = [name for name, text in texts.items() if not text.strip()]
    install = "" if known.keys() >= OFFICE.keys() else "; pip install 'ragtune[documents]' for docx, pptx and xlsx"
    reasons = {
        f"are not of {', '.join(sorted(known))}{install}": other,
        "hold no text (scanned pages? recognise their text first)": empty,
        "cannot be read": broken,
    }
    for why, names in reasons.items():
        if names:
            many = f"{len(names)} files were" if len(names) > 1 else "1 file was"
            yield f"{many} left out of the documents, as those that {why}: {_first(names)}."


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
    ident = name_of(row.get("id")) or f"q{number}"
    unknown = row.get("answers", ()) is None  # no reference is known, which is another thing than that none is right
    if "document" not in row and not answers and not unknown:
        return Example(Question(ident, text_of(row, "question", where)), (), "unanswerable", ident)
    name = text_of(row, "document", where)
    if name not in texts:
        raise UserError(f"no document {name!r}.", where=where, remedy=_like(name, list(texts)))
    start, end = _span(row, str(row.get("quote") or (answers[0] if answers else "")), name, texts[name], where)
    if not row.get("quote"):
        _check_answer(answers, texts[name], start, end, where)
    places = tuple(
        Place(p.id, max(start, at) - at, min(end, at + len(p.text)) - at, max(start, at) - start)
        for at, p in chunks[name]
        if at < end and start < at + len(p.text)
    )
    question = Question(ident, text_of(row, "question", where), tuple(place.passage for place in places))
    stratum = "answerable" if answers or unknown else "unanswerable"
    return Example(question, None if unknown else answers, stratum, name, spans=(places,))


def _like(name: str, known: Sequence[str]) -> str:
    """Which document may be meant. Documents are named by their path below the folder."""
    ends = [other for other in known if other.rpartition("/")[2] == name]
    near = ends or difflib.get_close_matches(name, known, 1)
    if near:
        return f"Did you mean {near[0]!r}?"
    some = f"There are: {', '.join(known[:8])}"
    return f"{some}." if len(known) <= 8 else f"{some}, and {len(known) - 8:,} more."


def _span(row: Mapping[str, Any], quote: str, name: str, whole: str, where: str) -> tuple[int, int]:
    """The first character of the evidence in its document, and the one after the last. Raises UserError.

    `quote` is looked for where `start` is not given; where it stands more than once, `occurrence` says which is meant.
    """
    start, end = row.get("start"), row.get("end")
    if start is None:
        start = _place(row, quote, name, whole, where)
    end = start + len(quote) if end is None and type(start) is int else end
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(whole):
        raise UserError(
            f"`start` {start!r} and `end` {end!r} are no span of {name!r}, which has {len(whole):,} characters.",
            where=where,
            remedy="Give both in characters, or `quote` as it stands in the document.",
        )
    if row.get("quote") and whole[start:end] != quote:
        raise UserError(
            f"`quote` is {quote!r}, and at `start` {start} of {name!r} stands {whole[start:end]!r}.",
            where=where,
            remedy="Leave out `start` and `end`, or mend the one that is wrong.",
        )
    return start, end


def _check_answer(answers: Sequence[str], whole: str, start: int, end: int, where: str) -> None:
    """Raises UserError where no answer stands in the evidence, and one does elsewhere: then the wrong text is marked.
    "Yes", "no" and what the document says in other words need not stand in it."""
    sought = [answer for answer in answers if len(answer) > 3 or re.search(r"\d", answer)]
    found = {a: re.search(rf"(?<!\w){re.escape(a)}(?!\w)", whole, re.IGNORECASE) for a in sought}
    if any(found.values()) and not any(a.casefold() in whole[start:end].casefold() for a in sought):
        answer, match = next((a, match) for a, match in found.items() if match)
        raise UserError(
            f"from `start` {start} to `end` {end} stands {whole[start:end][:60]!r}, which holds no answer; "
            f"{answer!r} stands at {match.start()}.",
            where=where,
            remedy="Mend `start` and `end`, or give the evidence as `quote`.",
        )


def _place(row: Mapping[str, Any], quote: str, name: str, whole: str, where: str) -> int:
    """Where the quote begins: its only place, or the one that `occurrence` counts from 1 on. Raises UserError."""
    sought = re.escape(quote) if row.get("quote") else rf"{BEFORE_WORD}{re.escape(quote)}{AFTER_WORD}"
    found = [match.start() for match in re.finditer(sought, whole)] if quote else []
    if not found:
        raise UserError(
            f"{quote!r} does not stand in {name!r}.",
            where=where,
            remedy="Give `quote` as it stands in the document, or `start` and `end` in characters.",
        )
    which = row.get("occurrence", 1 if len(found) == 1 else None)
    if which is None:
        places = ", ".join(f"{at} (line {whole.count(chr(10), 0, at) + 1})" for at in found[:5])
        raise UserError(
            f"{quote!r} stands {len(found)} times in {name!r}: at {places}.",
            where=where,
            remedy="Say which is meant by `occurrence: 1` and so on, or by `start`, or give a longer `quote`.",
        )
    if type(which) is not int or not 1 <= which <= len(found):
        raise UserError(
            f"`occurrence` is {which!r}, and {quote!r} stands {len(found)} times in {name!r}.",
            where=where,
            remedy=f"Give a whole number from 1 to {len(found)}.",
        )
    return found[which - 1]


def document_text(path: Path) -> str:
    """The text of a document. Raises UserError for one that cannot be read."""
    try:
        return readers()[path.suffix.lower()](path)
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"cannot be read: {e}.", where=str(path), remedy="Save it as UTF-8.") from None


def _plain(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig")


INLINE = (
    *("a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins"),
    *("kbd", "label", "mark", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time"),
    *("tt", "u", "var", "wbr"),
)


def _html(path: Path) -> str:
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(path.read_text(encoding="utf-8-sig"), "html.parser")
    for tag in soup(["script", "style", "noscript"]):
        tag.decompose()
    for tag in soup(INLINE):  # which end no line
        tag.unwrap()
    soup.smooth()
    return str(soup.get_text("\n", strip=True))


def _pdf(path: Path) -> str:
    import pypdf

    try:
        return PAGE.join(page.extract_text() for page in pypdf.PdfReader(path).pages)
    except pypdf.errors.PyPdfError as e:
        raise UserError(f"not a readable PDF: {e}.", where=str(path)) from None


def _office(path: Path) -> str:
    """A docx, pptx or xlsx as Markdown. Raises UserError for one that is damaged, or that unpacks to too much."""
    import markitdown

    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(entry.file_size for entry in packed.infolist())
        if size > UNPACKED:
            raise UserError(f"unpacks to {size:,} bytes, and {UNPACKED:,} are read at most.", where=str(path))
        return str(markitdown.MarkItDown(enable_plugins=False).convert_local(path).text_content)
    except (zipfile.BadZipFile, markitdown.MarkItDownException) as e:
        why = next(iter(str(e).splitlines()), type(e).__name__)
        raise UserError(f"not a readable {path.suffix[1:]}: {why}.", where=str(path)) from None


UNPACKED = 500_000_000  # bytes of an office document, which is a packed folder
READERS = {".txt": _plain, ".md": _plain, ".rst": _plain, ".html": _html, ".htm": _html, ".pdf": _pdf}
OFFICE = {".docx": _office, ".pptx": _office, ".xlsx": _office}


@cache  # asked for every document, and looked for in every folder of packages
def readers() -> Mapping[str, Callable[[Path], str]]:
    """suffix -> what reads it; office documents where `ragtune[documents]` is installed."""
    return READERS | OFFICE if importlib.util.find_spec("markitdown") else READERS
