"""What the page shows of a run's records and cells beside its scores: answers, latencies, memory as it went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.core.files import read_jsonl


@dataclass(frozen=True)
class Seen:
    """Read once from a run's folder; empty where the page is drawn from its scores alone."""

    examples: Sequence[Mapping[str, Any]] = ()
    latencies: Mapping[str, Sequence[float]] = field(
        default_factory=dict
    )  # system -> seconds of each question asked alone, over seeds
    traces: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # system -> process -> its memory


def seen(folder: Path, run: Mapping[str, Any], chosen: Sequence[Mapping[str, Any]]) -> Seen:
    """Examples are of the `chosen` questions, in their order, answers of each system's first seed."""
    done = {c: cell["system"] for c, cell in run["cells"].items() if cell["status"] == "done"}
    first = {system: c for c, system in reversed(done.items())}
    path = folder / "records.jsonl"
    rows = [row for _, row in read_jsonl(path) if row["cell"] in done] if path.exists() else []
    seconds: dict[str, dict[str, list[float]]] = {}
    for r in rows:
        if r["latency_s"] is not None:
            seconds.setdefault(r["system"], {}).setdefault(r["question"], []).append(r["latency_s"])
    means = {n: [fmean(v) for v in found.values()] for n, found in seconds.items()}
    return Seen(examples((r for r in rows if first[r["system"]] == r["cell"]), chosen), means, traces(run))


def examples(rows: Iterable[Mapping[str, Any]], chosen: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The chosen questions, with what each system said and the text of the gold passages that any was shown.

    Systems that a scenario adds are asked the same questions of another world: they are left out.
    """
    found: dict[str, dict[str, Any]] = {c["question"]: {**c, "said": {}} for c in chosen}
    texts: dict[str, str] = {}
    for r in rows:
        e = found.get(r["question"])
        if e is None or r["system"] not in e["outcomes"]:
            continue
        texts |= {h["passage_id"]: h["text"] for h in r["answer"]["hits"] or () if h["passage_id"] in r["gold"]}
        e |= {"text": r["text"], "answers": r["answers"], "gold": r["gold"]}
        e["said"][r["system"]] = r["answer"]
    return [{**e, "passages": [(g, texts[g]) for g in e["gold"] if g in texts]} for e in found.values() if "text" in e]


def traces(run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Memory over time, and its true peaks, of each system's first seed: who trained, and who answered."""
    found: dict[str, dict[str, Any]] = {}
    for cell in run["cells"].values():
        if cell["status"] != "done" or cell["system"] in found or "facts" in cell:
            continue
        trained = [a["memory"] for a in cell["artefacts"] if a["kind"] == "adapter"]
        both = {"training": trained[0] if trained else {}, "answering": cell["memory"]}
        if kept := {k: m for k, m in both.items() if m.get("trace")}:
            found[cell["system"]] = kept
    return found
