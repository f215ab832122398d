"""Writes a commented spec for a user's own data."""

from __future__ import annotations

import json
from pathlib import Path

from bench.core.errors import UserError
from bench.core.files import write_text

RECORDS = (".json", ".jsonl", ".csv", ".parquet")

TEMPLATE = """\
# A ragtune spec. Completion in editors: ragtune schema > ragtune.schema.json
# Next: ragtune validate THIS, ragtune plan THIS, ragtune run THIS
schema_version: 1
name: {name}

dataset:
{dataset}
  # a source without a training split is split by document, never by question
  test_share: 0.5
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
  # chunking: {{ size: 800, overlap: 100 }}

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


def write(path: Path, *, data: str, questions: str | None, model: str, embedder: str) -> None:
    """Write the spec; raises UserError rather than overwrite, or where the data is of no known form."""
    if path.exists():
        raise UserError("this file exists.", where=str(path), remedy="Give another path: ragtune init my-spec.yaml.")
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in Path(data).stem).strip(".-_") or "my-data"
    lines = dataset(Path(data), questions, path.resolve().parent)
    spec = TEMPLATE.format(
        name=name,
        dataset="\n".join(f"  {line}" for line in lines),
        model=json.dumps(model),
        embedder=json.dumps(embedder),
        prompt=MICRO_PROMPT if model == "micro" else "",
    )
    write_text(path, spec)


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
        return [
            "format: records",
            f"path: {here(data)}",
            "# which of your fields is what",
            "fields: { question: question, answers: answers, passages: passages }",
        ]
    raise UserError(
        f"no known form of data ({data.suffix or 'no suffix'}).",
        where=str(data),
        remedy="Give a folder, SQuAD .json, or .json, .jsonl, .csv or .parquet records.",
    )


def _relative(path: Path, base: Path) -> str:
    whole = path.resolve()
    return str(whole.relative_to(base)) if whole.is_relative_to(base) else str(whole)
