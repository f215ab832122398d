"""A run that nothing was run for: systems whose answers are made, as large as a test of speed needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.core.files import write_json
from tests.golden.make import STORED

Says = Callable[[int, int], Mapping[str, Any]]  # of a system and a question: `text`, `answers` and `hits`


def write(folder: Path, says: Says, *, systems: int, questions: int, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Write run.json and records.jsonl, four questions a group and the passage `p<question>-0` gold; the records."""
    run = json.loads((STORED / "run.json").read_text())
    of = next(c for c in run["cells"].values() if c["system"] == "right")
    lines = (STORED / "records.jsonl").read_text().splitlines()
    first = next(row for row in map(json.loads, lines) if row["system"] == "right")
    names, entry = [f"system-{n}" for n in range(systems)], run["systems"]["right"]
    entry["config"] |= config
    run["systems"] = dict.fromkeys(names, entry)
    run["cells"] = {f"{name}-s1": {**of, "system": name} for name in names}
    run["dataset"]["test"], run["files"], run["seal"] = questions, {}, None
    rows = []
    for number, name in enumerate(names):
        for q in range(questions):
            said = dict(says(number, q))
            answers = said.pop("answers")
            rows.append(
                first
                | {"cell": f"{name}-s1", "system": name, "question": f"q{q}", "group": f"g{q // 4}", "batch": q}
                | {"answers": answers, "gold": [f"p{q}-0"], "answer": {**first["answer"], **said}}
                | {"later": None, "updated": [], "latency_s": 0.01 if q < 64 else None}
            )
    with (folder / "records.jsonl").open("w") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
    write_json(folder / "run.json", run)
    return rows
