"""What the page shows of a run's records and cells beside its scores: answers, latencies, memory as it went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.files import read_jsonl


@dataclass(frozen=True)
class Seen:
    """Read once from a run's folder; empty where the page is drawn from its scores alone."""

    examples: Sequence[Mapping[str, Any]] = ()
    latencies: Mapping[str, Sequence[float]] = field(default_factory=dict)  # system -> seconds of questions asked alone
    traces: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # system -> process -> memory over time


def seen(folder: Path, run: Mapping[str, Any], chosen: Sequence[Mapping[str, Any]]) -> Seen:
    """Examples are of the `chosen` questions, in their order, answers of each system's first seed."""
    rows = [row for _, row in read_jsonl(folder / "records.jsonl")]
    seconds: dict[str, list[float]] = {}
    for r in rows:
        if r["latency_s"] is not None:
            seconds.setdefault(r["system"], []).append(r["latency_s"])
    return Seen(examples(rows, chosen), seconds, traces(run))


def examples(rows: Iterable[Mapping[str, Any]], chosen: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The chosen questions, with what each system said and the text of the gold passages that any was shown."""
    found: dict[str, dict[str, Any]] = {c["question"]: {**c, "said": {}} for c in chosen}
    texts: dict[str, str] = {}
    for r in rows:
        e = found.get(r["question"])
        if e is None:
            continue
        texts |= {h["passage_id"]: h["text"] for h in r["answer"]["hits"] or () if h["passage_id"] in r["gold"]}
        e |= {"text": r["text"], "answers": r["answers"], "gold": r["gold"]}
        if r["system"] in e["outcomes"]:
            e["said"].setdefault(r["system"], r["answer"])
    return [{**e, "passages": [(g, texts[g]) for g in e["gold"] if g in texts]} for e in found.values() if "text" in e]


def traces(run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Of each system's first seed: the process that trained, and the one that answered."""
    found: dict[str, dict[str, Any]] = {}
    for cell in run["cells"].values():
        if cell["status"] != "done" or cell["system"] in found or "facts" in cell:
            continue
        trained = [a["memory"].get("trace") for a in cell["artefacts"] if a["kind"] == "adapter"]
        both = {"training": trained[0] if trained else None, "answering": cell["memory"].get("trace")}
        if kept := {k: t for k, t in both.items() if t}:
            found[cell["system"]] = kept
    return found
