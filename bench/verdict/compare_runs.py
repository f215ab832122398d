"""Two runs side by side: what differs between their specs, and what moved, paired by question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.core.nested import differences
from bench.core.vocabulary import JSON
from bench.scoring.grade import METRICS
from bench.stats import comparisons
from bench.verdict import scenario_tables
from bench.verdict.score import Scored, graded, read_run, score

SINGLE = {  # one figure a run: shown without an interval
    "p50_s": ("speed", "p50_s"),
    "questions_per_s": ("speed", "questions_per_s"),
    "train_s": ("build", "train_s"),
    "peak_rss_bytes": ("memory", "peak_rss_bytes"),
}


def compare(a: Path | str, b: Path | str) -> dict[str, JSON]:
    """{spec: key -> (A, B), notes, rows}. Quality is paired by question where both runs are of one dataset.

    Raises UserError where either folder holds no finished run.
    """
    folders = Path(a), Path(b)
    scored = [score(f) for f in folders]
    runs = [read_run(f) for f in folders]
    same_data = runs[0]["dataset"]["digest"] == runs[1]["dataset"]["digest"]
    same_place = all(runs[0]["environment"][k] == runs[1]["environment"][k] for k in ("cpu", "threads", "gpus"))
    systems = [
        n for n in runs[0]["systems"] if n in runs[1]["systems"] and all("scores" in s["systems"][n] for s in scored)
    ]
    notes = [] if same_data else ["The runs are of different datasets: quality is not compared."]
    notes += (
        []
        if same_place
        else ["The runs are of different machines or thread counts: times and memory are not comparable."]
    )
    sides = graded(folders[0]), graded(folders[1])
    rows = [row for n in systems for row in _paired(n, sides)] if same_data else []
    rows += [row for n in systems for row in _single(n, scored)]
    return {"spec": differences(runs[0]["spec"], runs[1]["spec"]), "notes": notes, "rows": rows,
            "only_a": [n for n in runs[0]["systems"] if n not in systems], "only_b": [n for n in runs[1]["systems"] if n not in systems]}  # fmt: skip


def _paired(system: str, sides: tuple[Scored, Scored]) -> list[dict[str, JSON]]:
    rows = []
    for metric in METRICS:
        having = {
            side: s.columns[system][metric] for side, s in zip("AB", sides, strict=True) if metric in s.columns[system]
        }
        panel = scenario_tables.panel(having) if len(having) == 2 else None
        if panel is None:
            continue
        found = comparisons.compare(
            comparisons.Panel({"B": panel.values["B"], "A": panel.values["A"]}, panel.clusters)
        )[0]
        mean = {side: float(v.mean()) for side, v in panel.values.items()}
        rows.append({
            "system": system, "measure": metric, "a": mean["A"], "b": mean["B"],
            "difference": found.difference, "low": found.low, "high": found.high, "n": found.n, "p": found.p,
        })  # fmt: skip
    return rows


def _single(system: str, scored: list[dict[str, Any]]) -> list[dict[str, JSON]]:
    rows = []
    for name, (part, key) in SINGLE.items():
        a, b = (s["systems"][system][part][key] for s in scored)
        if a is not None and b is not None:
            rows.append(
                {
                    "system": system,
                    "measure": name,
                    "a": a,
                    "b": b,
                    "difference": b - a,
                    "low": None,
                    "high": None,
                    "n": None,
                }
            )
    return rows
