"""Readers of foreign formats, each to a Task: SQuAD, records, the hub, BEIR, folders of documents."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.dataset import AnyDataset, Beir, Documents, Fields, Hub, Native, Records, Squad
from bench.digest import digest, file_digest, tree_digest, visible
from bench.errors import UserError
from bench.files import read_json, read_jsonl
from bench.native import Task, strings, text_of
from bench.native import read as read_native
from bench.types import JSON, Example, Passage, Question


def fingerprint(block: AnyDataset) -> dict[str, JSON]:
    """sha256 of every input file, or the pinned revision of a hub dataset. Raises UserError where one is missing."""
    if isinstance(block, Hub) and not Path(block.id).is_dir():
        from bench.hub import commit

        return {"hub": block.id, "revision": commit(block.id, block.revision, what="dataset", key="dataset.id")}
    names = ("path", "train_path", "test_ids", "questions", "id")
    values = {n: getattr(block, n) for n in names if isinstance(getattr(block, n, None), str)}
    found: dict[str, JSON] = {}
    for key, value in values.items():
        path = Path(value)
        if not path.exists():
            raise UserError(
                "no such file or folder.",
                where=value,
                remedy=f"Mend `dataset.{key}`; relative paths start at the spec's folder.",
            )
        found[key] = tree_digest(path) if path.is_dir() else file_digest(path)
    return found


def read(block: AnyDataset, origin: JSON) -> Task:
    """The source as a task, not yet split or limited. A hub dataset is read at the commit of its fingerprint."""
    match block:
        case Native():
            return read_native(Path(block.path))
        case Squad():
            return squad(block)
        case Records():
            return records(block)
        case Hub():
            return hub(block.model_copy(update={"revision": origin.get("revision")}))
        case Beir():
            return beir(Path(block.path))
        case Documents():
            return documents(block)


def squad(block: Squad) -> Task:
    """SQuAD v1.1 or v2.0: paragraphs become passages, articles become groups, `is_impossible` unanswerable."""
    corpus: dict[str, Passage] = {}
    test = tuple(_squad_file(Path(block.path), corpus))
    train = tuple(_squad_file(Path(block.train_path), corpus)) if block.train_path else ()
    return Task(Path(block.path).stem, tuple(corpus.values()), train, (), test)


def _squad_file(path: Path, corpus: dict[str, Passage]) -> Iterator[Example]:
    document = read_json(path)
    try:
        for article in document["data"]:
            for paragraph in article["paragraphs"]:
                text, title = paragraph["context"], article.get("title", "")
                passage = Passage("c-" + digest(text)[:12], text, title, title)
                corpus.setdefault(passage.id, passage)
                for qa in paragraph["qas"]:
                    answers = tuple(dict.fromkeys(a["text"] for a in qa["answers"]))
                    impossible = qa.get("is_impossible", False)
                    stratum = "unanswerable" if impossible else "answerable"
                    gold = () if impossible else (passage.id,)
                    yield Example(
                        Question(str(qa["id"]), qa["question"], gold), () if impossible else answers, stratum, title
                    )
    except (KeyError, TypeError) as e:
        raise UserError(f"not SQuAD JSON: {type(e).__name__} at {e}.", where=str(path),
                        remedy="Expected data[].paragraphs[].{context, qas[].{id, question, answers[].text}}.") from None  # fmt: skip


def records(block: Records) -> Task:
    rows = list(_rows(Path(block.path)))
    train = list(_rows(Path(block.train_path))) if block.train_path else []
    task = _mapped(Path(block.path).stem, rows, train, block.fields, block.choices)
    if block.test_ids is None:
        return task
    ids = read_json(Path(block.test_ids))
    if not isinstance(ids, list | dict):
        raise UserError("expected a JSON list or object of ids.", where=block.test_ids)
    official = {str(i) for i in ids}
    unknown = official - {e.question.id for e in task.test}
    if unknown:
        raise UserError(f"{len(unknown)} test ids are of no record, such as {min(unknown)!r}.", where=block.test_ids,
                        remedy="Check `fields.id`.")  # fmt: skip
    return Task(task.name, task.corpus, (*task.train, *(e for e in task.test if e.question.id not in official)), (),
                tuple(e for e in task.test if e.question.id in official))  # fmt: skip


def _rows(path: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(where, default id, record) of each record of a file."""
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        yield from ((f"{path}:{n}", str(n), row) for n, row in read_jsonl(path))
    elif suffix == ".json":
        data = read_json(path)
        pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else None
        if pairs is None:
            raise UserError("expected a list of records, or an object of them.", where=str(path))
        for key, row in pairs:
            if not isinstance(row, dict):
                raise UserError("a record must be an object.", where=f"{path}, record {key!r}")
            yield f"{path}, record {key!r}", str(key), row
    elif suffix == ".csv":
        try:
            with path.open(newline="", encoding="utf-8-sig") as f:
                table = list(csv.DictReader(f))
        except (UnicodeDecodeError, csv.Error) as e:
            raise UserError(
                f"not readable as CSV: {e}.", where=str(path), remedy="Save it as UTF-8 with a header line."
            ) from None
        yield from ((f"{path}:{n}", str(n - 1), row) for n, row in enumerate(table, 2))
    elif suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        try:
            rows = pyarrow.parquet.read_table(path).to_pylist()
        except pyarrow.ArrowException as e:
            raise UserError(f"not readable as Parquet: {e}", where=str(path)) from None
        yield from ((f"{path}, row {n}", str(n), row) for n, row in enumerate(rows))
    else:
        raise UserError(
            f"unknown kind of records {suffix!r}.", where=str(path), remedy="Use .json, .jsonl, .csv or .parquet."
        )


def hub(block: Hub) -> Task:
    import datasets  # Hugging Face's; mypy takes our data folder for it

    def rows(split: str | None) -> list[tuple[str, str, Mapping[str, Any]]]:
        if split is None:
            return []
        try:
            table = datasets.load_dataset(  # type: ignore[attr-defined]
                block.id, block.config, split=split, revision=block.revision
            )
        except (OSError, ValueError) as e:
            raise UserError(f"dataset {block.id!r}, split {split!r}, did not load: {e}",
                            remedy="Check the id, the split and the network, or give a local folder.") from e  # fmt: skip
        return [(f"{block.id}[{split}][{n}]", f"{split}-{n}", row) for n, row in enumerate(table)]

    return _mapped(block.id, rows(block.test_split), rows(block.train_split), block.fields, block.choices)


Row = tuple[str, str, Mapping[str, Any]]


def _mapped(name: str, test: Iterable[Row], train: Iterable[Row], fields: Fields, choices: tuple[str, ...]) -> Task:
    corpus: dict[str, Passage] = {}

    def example(where: str, default_id: str, row: Mapping[str, Any]) -> Example:
        named = {n: path for n, path in fields.model_dump().items() if path}
        flat = {n: _at(row, path, where, optional=n == "answers") for n, path in named.items()}
        ident = text_of(flat, "id", where) if fields.id else default_id
        answers = tuple(a for a in strings(flat, "answers", where) if a.strip())
        outside = [a for a in answers if choices and a not in choices]
        if outside:
            raise UserError(f"answer {outside[0]!r} is not one of the choices {list(choices)}.", where=where)
        gold = []
        group = str(flat["group"]) if fields.group else ""
        for text in strings(flat, "passages", where):
            passage = Passage("c-" + digest(text)[:12], text, "", group or ident)
            gold.append(corpus.setdefault(passage.id, passage).id)
        group = group or (corpus[gold[0]].group if gold else ident)
        stratum = str(flat["stratum"]) if fields.stratum else "answerable" if answers else "unanswerable"
        return Example(
            Question(ident, text_of(flat, "question", where), tuple(dict.fromkeys(gold)), choices),
            answers,
            stratum,
            group,
        )

    tests, trains = tuple(example(*r) for r in test), tuple(example(*r) for r in train)
    if not corpus and not fields.passages:
        raise UserError(
            "no field gives passages.", where=name, remedy="Set `dataset.fields.passages` to the field that holds them."
        )
    return Task(name, tuple(corpus.values()), trains, (), tests)


def _at(row: Mapping[str, Any], path: str, where: str, *, optional: bool) -> Any:
    """The field of a record; None for an optional one that it lacks. Raises UserError naming the fields there are."""
    value: Any = row
    for step in path.split("."):
        if optional and isinstance(value, Mapping) and step not in value:
            return None
        if not isinstance(value, Mapping) or step not in value:
            have = ", ".join(map(str, value)) if isinstance(value, Mapping) else type(value).__name__
            raise UserError(f"no field {path!r}.", where=where, remedy=f"There are: {have}.")
        value = value[step]
    return value


def beir(folder: Path) -> Task:
    """BEIR: graded relevance above zero is gold; questions have no reference answer."""
    corpus = tuple(
        Passage(
            text_of(r, "_id", f"{folder / 'corpus.jsonl'}:{n}"),
            text_of({"text": str(r.get("text") or r.get("title") or "")}, "text", f"{folder / 'corpus.jsonl'}:{n}"),
            str(r.get("title", "")),
            str(r["_id"]),
        )
        for n, r in read_jsonl(folder / "corpus.jsonl")
    )
    queries = {text_of(r, "_id", f"{folder / 'queries.jsonl'}:{n}"): text_of(r, "text", f"{folder / 'queries.jsonl'}:{n}")
               for n, r in read_jsonl(folder / "queries.jsonl")}  # fmt: skip

    def examples(name: str) -> tuple[Example, ...]:
        gold: dict[str, list[str]] = {}
        path = folder / "qrels" / f"{name}.tsv"
        if not path.exists():
            return ()
        for n, row in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], 2):
            parts = row.split("\t")
            if len(parts) != 3 or not parts[2].strip().lstrip("-").isdigit():
                raise UserError(
                    "expected query-id, corpus-id and a whole score, separated by tabs.", where=f"{path}:{n}"
                )
            if parts[0] not in queries:
                raise UserError(f"query {parts[0]!r} is not in queries.jsonl.", where=f"{path}:{n}")
            if int(parts[2]) > 0:
                gold.setdefault(parts[0], []).append(parts[1])
        return tuple(Example(Question(q, queries[q], tuple(g)), None, "all", g[0]) for q, g in gold.items())

    return Task(folder.name, corpus, examples("train"), examples("dev"), examples("test"))


def documents(block: Documents) -> Task:
    """Documents cut into chunks; a gold character span is every chunk that it overlaps."""
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    cutter = RecursiveCharacterTextSplitter(
        chunk_size=block.chunking.size, chunk_overlap=block.chunking.overlap, add_start_index=True
    )
    root = Path(block.path)
    texts = {
        p.relative_to(root).as_posix(): text(p)
        for p in sorted(root.rglob("*"))
        if visible(p, root) and p.suffix.lower() in READERS
    }
    if not texts:
        raise UserError("no document found.", where=block.path, remedy=f"Supported: {', '.join(sorted(READERS))}.")
    chunks: dict[str, list[tuple[int, Passage]]] = {}
    for name, whole in texts.items():
        chunks[name] = [
            (int(d.metadata["start_index"]), Passage(f"{name}#{n}", d.page_content, name, name))
            for n, d in enumerate(cutter.create_documents([whole]))
        ]
    examples = tuple(
        _located(f"{block.questions}:{n}", n, row, texts, chunks) for n, row in read_jsonl(Path(block.questions))
    )
    return Task(root.name, tuple(p for rows in chunks.values() for _, p in rows), (), (), examples)


def _located(
    where: str,
    number: int,
    row: Mapping[str, Any],
    texts: Mapping[str, str],
    chunks: Mapping[str, list[tuple[int, Passage]]],
) -> Example:
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
        raise UserError(f"the span of the answer was not found in {name!r}.", where=where,
                        remedy="Give `quote` as it stands in the document, or `start` and `end` in characters.")  # fmt: skip
    gold = tuple(p.id for at, p in chunks[name] if at < end and start < at + len(p.text))
    return Example(
        Question(ident, text_of(row, "question", where), gold),
        answers,
        "answerable" if answers else "unanswerable",
        name,
    )


def text(path: Path) -> str:
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
