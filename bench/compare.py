"""Two runs side by side: what differs between their specs, and what moved, paired by question."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import stats
from bench.score import METRICS, averaged, per_question, read_run, records_of, score
from bench.trees import differences
from bench.types import JSON

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
    values = [_values(f, r) for f, r in zip(folders, runs, strict=True)] if same_data else []
    rows = [row for n in systems for row in _paired(n, values)] if same_data else []
    rows += [row for n in systems for row in _single(n, scored)]
    return {"spec": differences(runs[0]["spec"], runs[1]["spec"]), "notes": notes, "rows": rows,
            "only_a": [n for n in runs[0]["systems"] if n not in systems], "only_b": [n for n in runs[1]["systems"] if n not in systems]}  # fmt: skip


Values = dict[str, dict[str, dict[str, tuple[float, str]]]]  # system -> metric -> question -> (value, cluster)


def _values(folder: Path, run: Mapping[str, Any]) -> Values:
    by_cell = records_of(folder)
    cells: dict[str, list[Any]] = defaultdict(list)
    for name, cell in run["cells"].items():
        if cell["status"] == "done":
            config = run["systems"][cell["system"]]["config"]
            cells[cell["system"]].append((by_cell[name], per_question(by_cell[name], config, cell["index_recall"])))
    return {
        system: {
            m: {q: (v, c) for q, v, c in zip(found.questions, found.values, found.clusters, strict=True)}
            for m, found in averaged(own).items()
        }
        for system, own in cells.items()
    }


def _paired(system: str, values: list[Values]) -> list[dict[str, JSON]]:
    rows = []
    for metric in METRICS:
        a, b = (v[system].get(metric, {}) for v in values)
        common = [q for q in a if q in b]
        found = stats.difference([b[q][0] - a[q][0] for q in common], [a[q][1] for q in common])
        if found is None:
            continue
        mean = [sum(side[q][0] for q in common) / len(common) for side in (a, b)]
        rows.append(
            {
                "system": system,
                "measure": metric,
                "a": mean[0],
                "b": mean[1],
                "difference": found.mean,
                "low": found.low,
                "high": found.high,
                "n": found.n,
            }
        )
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
