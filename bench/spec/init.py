"""Writes a commented spec for a user's own data."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml
from pydantic import TypeAdapter

from bench.core.display import many
from bench.core.errors import UserError
from bench.core.files import write_text
from bench.core.gpu import FULL_BYTES, gpus
from bench.core.normalisation import Language, length, likely_language, unit
from bench.data import formats
from bench.data.formats import AnySource
from bench.data.formats.records import rows
from bench.data.source import Source

SHARE = 0.8  # of the memory of a machine that a model may take
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
{language}  # max_test: 400              # fewer questions, wider intervals

model:
  name: {model}                # a folder or hub id that AutoModelForCausalLM loads
  # {machine}
  # base_url: http://localhost:8000/v1   # or an OpenAI-compatible endpoint, for systems that need no weights

embedder:
  name: {embedder}             # any sentence-transformers model
{prompt}
generation:
  max_new_tokens: 32
  batch_size: 8

retrieval:
  k: {k}
  # index: faiss_flat          # faiss_ivf, faiss_hnsw, hnswlib; flat is fastest below some 50,000 chunks
  # mode: dense                # bm25, fused
  # chunking: auto             # cut what exceeds the embedder's window; or {{ size: 800, overlap: 100 }}, in characters
  # hops: 2                    # look up again by the names in the first passage, for questions over several documents

tuning:
  rank: 16
  alpha: 32
  epochs: 3
  batch_size: 8
  learning_rate: 2.0e-4

systems:
{systems}
# needs:                       # what a system must keep to, before quality counts; `ragtune schema` has them all
#   p90_latency_s: 2.0
#   memory_bytes: 16.0e9
#   provenance: true           # the source of each answer must be shown

seeds: [1]                     # three or more, to know how much of a difference is luck of training

prices: {{}}                     # cpu_hour_usd, gpu_hour_usd: what an hour costs you
"""

ANSWERING = """\
  - { name: closed-book, kind: closed_book }   # control: what the model knows by itself
  - { name: oracle, kind: oracle }             # control: what it could do with perfect retrieval
  - { name: rag, kind: rag }
  - { name: rag-fused, kind: rag, retrieval: { mode: fused } }
  - { name: lora, kind: lora }
  # - { name: qlora, kind: qlora }
  # - { name: raft, kind: raft }
  - { name: hybrid, kind: hybrid, rag: rag, adapter: lora }
"""
RETRIEVING = """\
  # no question has an answer to train on or to judge by: only retrieval can be compared
  - { name: dense, kind: retriever }
  - { name: bm25, kind: retriever, retrieval: { mode: bm25 } }
  - { name: fused, kind: retriever, retrieval: { mode: fused } }
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
    if questions and not Path(questions).is_file():
        raise UserError("no such file of questions.", where=questions, remedy="Give --questions FILE.jsonl.")
    plain = unicodedata.normalize("NFKD", _named(Path(data))).encode("ascii", "ignore").decode()
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in plain).strip(".-_") or "my-data"
    lines = dataset(Path(data), questions, path.resolve().parent)
    chosen = _chosen(lines, path.resolve().parent)
    if chosen.is_empty:
        raise UserError("there is no passage or no question in it.", where=data, remedy="Give data to compare on.")
    spec = TEMPLATE.format(
        name=name,
        dataset="\n".join(f"  {line}" for line in lines),
        share="# " if chosen.is_a_test else "",
        language="" if chosen.language == "en" else f"  language: {chosen.language}\n",
        machine=_machine(),
        k=chosen.k,
        model=json.dumps(model),
        embedder=json.dumps(embedder),
        systems=ANSWERING if chosen.answered else RETRIEVING,
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

    is_a_test: bool
    why: str
    language: Language = "en"
    k: int = 4
    answered: bool = True  # whether any question has an answer
    is_empty: bool = False


def _chosen(lines: Sequence[str], base: Path) -> Chosen:
    """Read the data as the spec will, and say what is in it."""
    block = yaml.safe_load("\n".join(lines))
    source: Source = TypeAdapter(AnySource).validate_python(block)
    located = source.model_copy(update={k: str(base / v) for k in source.path_keys if (v := getattr(source, k))})
    try:
        task = formats.read(located, {})
    except UserError as e:
        return Chosen(located.is_a_test, f"the data does not read yet; mend it, or the block `dataset`: {e}")
    asked = (*task.train, *task.dev, *task.test)
    answered = sum(bool(example.answers) for example in asked)
    language = likely_language(" ".join(passage.text[:500] for passage in task.corpus[:200]))
    lengths = sorted(length(passage.text, language) for passage in task.corpus) or [0]
    gold = sorted(len(example.question.gold) for example in asked) or [0]
    k = min(20, max(4, 2 * gold[int(0.9 * (len(gold) - 1))]))
    return Chosen(
        located.is_a_test,
        f"{block['format']} data with {many(len(task.corpus), 'passage')} and {many(len(asked), 'question')}, "
        f"{answered:,} of them with an answer; language {language}; passages have {lengths[len(lengths) // 2]:,} "
        f"{unit(language)} in the median, {lengths[-1]:,} at most, and what exceeds the embedder's window is cut; "
        f"k = {k}, twice the passages that a question needs, and 4 at least.",
        language,
        k,
        answered > 0,
        not task.corpus or not asked,
    )


def _machine() -> str:
    """The models that this machine can hold.

    A parameter takes 2 bytes on a GPU and 4 on a processor, half as much again with an adapter, its gradients and
    activations, and 18 with the gradients and moments of full tuning.
    """
    cards = gpus()
    memory = cards[0]["memory_bytes"] if cards else psutil.virtual_memory().total
    if memory is None:
        return f"this machine has a GPU ({cards[0]['name']}), whose memory NVML does not tell"
    size = 2 if cards else 4
    held, tuned, full = (SHARE * memory / each / 1e9 for each in (size, 1.5 * size, FULL_BYTES))
    where = str(cards[0]["name"]) if cards else "no GPU"
    return (
        f"this machine ({memory / 1e9:.0f} GB, {where}) holds models of about {held:.2g} billion parameters, "
        f"{tuned:.2g} with LoRA, {full:.2g} in full tuning"
    )


def dataset(data: Path, questions: str | None, base: Path) -> list[str]:
    """The dataset block for what lies at `data`, paths relative to the spec's folder where they can be."""
    if not data.exists():
        raise UserError("no such file or folder.", where=str(data), remedy="Give the path of your data.")

    def here(path: Path | str) -> str:
        return json.dumps(_relative(Path(path), base), ensure_ascii=False)

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
