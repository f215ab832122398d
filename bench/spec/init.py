"""Writes a commented spec for a user's own data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import TypeAdapter

from bench.core.errors import UserError
from bench.core.files import write_text
from bench.data import formats
from bench.data.formats import AnySource
from bench.data.formats.records import rows
from bench.data.source import Source

LONG = 180  # words of a passage, beyond which embedders of 256 tokens cut it
RECORDS = (".json", ".jsonl", ".csv", ".parquet")

TEMPLATE = """\
# A ragtune spec. Completion in editors: ragtune schema > ragtune.schema.json
# Next: ragtune validate THIS, ragtune plan THIS, ragtune run THIS
schema_version: 1
name: {name}

dataset:
{dataset}
  # a source without a training split is split by document, never by question; what is named a test is not split
  {share}test_share: 0.5
  seed: 0
  # max_test: 400              # fewer questions, wider intervals

model:
  name: {model}                # a folder or hub id that AutoModelForCausalLM loads
  # base_url: http://localhost:8000/v1   # or an OpenAI-compatible endpoint, for systems that need no weights

embedder:
  name: {embedder}             # any sentence-transformers model
{prompt}
generation:
  max_new_tokens: 32
  batch_size: 8

retrieval:
  k: 4
  # index: faiss_flat          # faiss_ivf, faiss_hnsw, hnswlib; flat is fastest below some 50,000 chunks
  # mode: dense                # bm25, fused
  {chunking}chunking: {{ size: 800, overlap: 100 }}   # characters; or each passage is one chunk

tuning:
  rank: 16
  alpha: 32
  epochs: 3
  batch_size: 8
  learning_rate: 2.0e-4

systems:
  - {{ name: closed-book, kind: closed_book }}   # control: what the model knows by itself
  - {{ name: oracle, kind: oracle }}             # control: what it could do with perfect retrieval
  - {{ name: rag, kind: rag }}
  - {{ name: rag-fused, kind: rag, retrieval: {{ mode: fused }} }}
  - {{ name: lora, kind: lora }}
  # - {{ name: qlora, kind: qlora }}
  # - {{ name: raft, kind: raft }}
  - {{ name: hybrid, kind: hybrid, rag: rag, adapter: lora }}

seeds: [1]                     # three or more, to know how much of a difference is luck of training

prices: {{}}                     # cpu_hour_usd, gpu_hour_usd: what an hour costs you
"""

MICRO_PROMPT = """
# the form that the micro model was trained on; remove it with another model
prompt: { system: "", passage: "{text}\\n", open_book: "{passages}\\n{question}", closed_book: "{question}" }
"""


def write(path: Path, *, data: str, questions: str | None, model: str, embedder: str) -> str:
    """Write the spec, and return a line that says what was chosen and why.

    Raises UserError rather than overwrite, or where the data is of no known form.
    """
    if path.exists():
        raise UserError("this file exists.", where=str(path), remedy="Give another path: ragtune init my-spec.yaml.")
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in _named(Path(data))).strip(".-_") or "my-data"
    lines = dataset(Path(data), questions, path.resolve().parent)
    chosen = _chosen(lines, path.resolve().parent)
    spec = TEMPLATE.format(
        name=name,
        dataset="\n".join(f"  {line}" for line in lines),
        share="# " if chosen.is_a_test else "",
        chunking="" if chosen.chunking else "# ",
        model=json.dumps(model),
        embedder=json.dumps(embedder),
        prompt=MICRO_PROMPT if model == "micro" else "",
    )
    write_text(path, spec)
    return f"Chosen: model {model}, embedder {embedder}; {chosen.why}"


def _named(data: Path) -> str:
    """What a run over the data is called: by the file or folder, or by what holds a folder that says nothing."""
    return data.stem if data.stem not in ("data", "dataset") else data.resolve().parent.name


@dataclass(frozen=True)
class Chosen:
    """What the data suggests, and a line that says why."""

    chunking: bool
    is_a_test: bool
    why: str


def _chosen(lines: Sequence[str], base: Path) -> Chosen:
    """Read the data as the spec will, and say what is in it."""
    block = yaml.safe_load("\n".join(lines))
    source: Source = TypeAdapter(AnySource).validate_python(block)
    located = source.model_copy(update={k: str(base / v) for k in source.path_keys if (v := getattr(source, k))})
    try:
        task = formats.read(located, {})
    except UserError as e:
        return Chosen(False, located.is_a_test, f"the data does not read yet, so mend the block `dataset`: {e}")
    words = [len(passage.text.split()) for passage in task.corpus] or [0]
    asked = (*task.train, *task.dev, *task.test)
    answered = sum(bool(example.answers) for example in asked)
    long = max(words) > LONG
    cut = f"passages are cut into chunks, for the longest has {max(words):,} words" if long else "passages stay whole"
    return Chosen(
        long,
        located.is_a_test,
        f"{block['format']} data with {len(task.corpus):,} passages and {len(asked):,} questions, {answered:,} of them "
        f"with an answer; {cut}.",
    )


def dataset(data: Path, questions: str | None, base: Path) -> list[str]:
    """The dataset block for what lies at `data`, paths relative to the spec's folder where they can be."""
    if not data.exists():
        raise UserError("no such file or folder.", where=str(data), remedy="Give the path of your data.")

    def here(path: Path | str) -> str:
        return json.dumps(_relative(Path(path), base))

    if data.is_dir() and (data / "corpus.jsonl").exists() and (data / "qrels").is_dir():
        return ["format: beir", f"path: {here(data)}"]
    if data.is_dir() and (data / "corpus.jsonl").exists():
        return ["format: native", f"path: {here(data)}"]
    if data.is_dir():
        if not questions:
            raise UserError(
                "a folder of documents needs questions.",
                where=str(data),
                remedy="Give --questions FILE.jsonl, a line each: "
                '{"question": "...", "answers": ["..."], "document": "file.md"}.',
            )
        return [
            "format: documents",
            f"path: {here(data)}",
            f"questions: {here(questions)}",
            "chunking: { size: 800, overlap: 100 }",
        ]
    if data.suffix == ".json" and '"paragraphs"' in data.read_text(encoding="utf-8", errors="replace")[:20000]:
        return ["format: squad", f"path: {here(data)}"]
    if data.suffix in RECORDS:
        return ["format: records", f"path: {here(data)}", "# which of your fields is what", f"fields: {_fields(data)}"]
    raise UserError(
        f"no known form of data ({data.suffix or 'no suffix'}).",
        where=str(data),
        remedy="Give a folder, SQuAD .json, or .json, .jsonl, .csv or .parquet records.",
    )


def _fields(data: Path) -> str:
    """Which field of the first record is what, by usual names; the name itself where none is there."""
    try:
        _, _, first = next(iter(rows(data)), ("", "", {}))
    except UserError:
        first = {}
    lower = {str(key).lower(): str(key) for key in first}
    found = {part: next((lower[n] for n in (part, *names) if n in lower), part) for part, names in USUAL.items()}
    return json.dumps(found).replace('"', "") if all(map(str.isidentifier, found.values())) else json.dumps(found)


USUAL = {
    "question": ("query", "q", "prompt", "input", "instruction"),
    "answers": (
        "answer",
        "a",
        "reference",
        "references",
        "ground_truth",
        "final_decision",
        "label",
        "output",
        "target",
    ),
    "passages": ("passage", "contexts", "context", "evidence", "documents", "document", "text", "source"),
}


def _relative(path: Path, base: Path) -> str:
    whole = path.resolve()
    return str(whole.relative_to(base)) if whole.is_relative_to(base) else str(whole)
