"""How each step grows: generated worlds of a thousand to a million pages, searched by the micro embedder.

`python -m tests.scale --sizes 1000 10000 100000 --questions 400` prints docs/scale.md's table: for each step, each in a
process of its own, seconds and peak memory, and the exponent that the last two sizes fit (1: linear).
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

SPEC = """\
schema_version: 1
name: scale
dataset: {{path: {data}}}
model: {{name: micro}}
embedder: {{name: micro}}
control: false
systems:
{systems}
measure: {{rounds: 0, latency_questions: 64}}
"""
SYSTEMS = {
    "flat": "{ index: faiss_flat }",
    "IVF": "{ index: faiss_ivf }",
    "HNSW": "{ index: hnswlib }",
    "BM25": "{ mode: bm25 }",
}
Taken = tuple[float, float]  # seconds, peak bytes


def taken(*command: str) -> Taken:
    """What a command of ragtune takes, its children included: the highest peak of any of its processes. Raises
    CalledProcessError."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "bench.cli", *command], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - began, 1024.0 * used.ru_maxrss


def measured(size: int, questions: int, place: Path) -> dict[str, Taken]:
    """Each step on a world of so many pages and questions."""
    data, spec = place / "data", place / "scale.yaml"
    os.environ["RAGTUNE_STORE"] = str(place / "store")
    found = {"generate": taken("world", str(data), "--pages", str(size), "--test", str(questions), "--restated", "0")}
    for name, retrieval in SYSTEMS.items():
        entry = f"  - {{ name: {name.lower()}, kind: retriever, retrieval: {retrieval} }}"
        spec.write_text(SPEC.format(data=data, systems=entry))
        if name == "flat":
            found["validate"] = taken("validate", str(spec))
        folder = place / name
        found[f"run, {name}"] = taken("run", str(spec), "--out", str(folder), "--details")
        if name == "flat":
            (folder / "scale" / "scores.json").unlink()
            found["score"] = taken("score", str(folder / "scale"))
            found["report"] = taken("report", str(folder / "scale"))
    return found


def exponent(small: float, large: float, factor: float) -> str:
    """Of the power law through two points."""
    return f"{math.log(large / small) / math.log(factor):.2f}" if small > 0 and large > 0 else ""


def table(rows: Sequence[tuple[int, dict[str, Taken]]]) -> str:
    """Seconds and peak memory of each step at each size, as Markdown."""
    heads = " | ".join(f"{size:,}" for size, _ in rows)
    lines = [f"| step | {heads} | exponent |", "|---|" + "---|" * (len(rows) + 1)]
    for step in rows[0][1]:
        cells = [f"{found[step][0]:.1f} s, {found[step][1] / 1e6:,.0f} MB" for _, found in rows]
        (small, before), (large, after) = rows[-2:]
        lines.append(f"| {step} | {' | '.join(cells)} | {exponent(before[step][0], after[step][0], large / small)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--questions", type=int, default=400)
    options = parser.parse_args()
    rows = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as place:
            rows.append((size, measured(size, options.questions, Path(place))))
            print(size, rows[-1][1], file=sys.stderr, flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
