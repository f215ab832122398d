"""Writes the exercises that a tuned micro model may rehearse: `python -m systems.micro.rehearsal`.

What the reader was trained on, in worlds of their own: pages that a search finds together and one question on them, in
the form in which the quickstart asks. No name of the plant occurs in them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from bench.core.files import write_text
from systems.micro.reading import SETTLED, exercise

PATH = Path(__file__).resolve().parent.parent.parent / "datasets" / "plant" / "rehearsal.jsonl"
COUNT, PASSAGES, WORLDS = 400, 4, 10
FORMS = {form: share for form, share in SETTLED.items() if form not in ("told", "draw")}  # no drill, and no documents


def exercises() -> Iterator[dict[str, str]]:
    """COUNT exercises, each a prompt and its answer."""
    number = count = 0
    while count < COUNT:
        shown = exercise(
            f"rehearsal/{number}",
            passages=PASSAGES,
            turns=1,
            forms=FORMS,
            alike=f"rehearsal/{number * WORLDS // (2 * COUNT)}",
        )
        number += 1
        for question, answer in shown.turns:
            count += 1
            yield {"prompt": "".join(f"{page}\n" for page in shown.passages) + f"\n{question}", "answer": answer}


def main() -> None:
    """Write the file."""
    write_text(PATH, (json.dumps(row, ensure_ascii=False) + "\n" for row in exercises()))


if __name__ == "__main__":
    main()
