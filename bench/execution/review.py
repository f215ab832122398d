"""What a person says of drafted pairs: a CSV with a row each, and its decisions applied to the dataset."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.core.errors import UserError
from bench.core.files import read_csv, write_json
from bench.core.vocabulary import Example, Passage, Place
from bench.data.formats import native

NAME = "review.csv"
COLUMNS = ("id", "split", "kind", "decision", "question", "answer", "document", "evidence")
DECISIONS = ("", "accept", "edit", "drop")


def check_undecided(folder: Path) -> None:
    """Raises UserError where a person has decided on pairs of this folder: drafting anew would lose that."""
    path = folder / NAME
    if not path.exists():
        return
    decisions = sum(bool(_decision(row)) for _, row in _rows(path))
    if decisions:
        raise UserError(
            f"it holds {decisions} decisions of a person, which drafting again would lose.",
            where=str(path),
            remedy=f"Apply them with `ragtune pairs {folder} --review`, or give another folder as --out.",
        )


def about(out: Path, examples: Sequence[Example], notes: Sequence[str], model: str, *, reviewed: int) -> None:
    """Write what the dataset is of: who drafted the questions, and how many a person has seen."""
    seen = f"{reviewed} of them were reviewed by a person" if reviewed else "no person has reviewed them"
    told = f"{len(examples)} questions were drafted by {model} from the documents, and {seen}."
    strata = {
        "single": "one fact of one passage",
        "multi": "needs two passages of a document",
        "paraphrase": "another question in other words",
        "unanswerable": "its fact was taken from the documents",
    }
    used = {name: text for name, text in strata.items() if any(e.stratum == name for e in examples)}
    write_json(out / "dataset.yaml", {"name": out.name, "strata": used, "notes": [told, *notes], "drafted_by": model})


def write(
    path: Path, examples: Sequence[Example], texts: Mapping[str, Passage], taken: Mapping[str, tuple[Place, str]]
) -> None:
    """A row a pair, for a person to accept, edit or drop; formulas of spreadsheets are quoted. `taken`: question ->
    where the answer stood that was taken from a passage, and what it was."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, COLUMNS)
        rows.writeheader()
        for e in examples:
            gold = texts[e.question.gold[0]].text if e.question.gold else ""
            if e.question.id in taken:
                place, answer = taken[e.question.id]
                gold = f"{texts[place.passage].text} [a sentence with the answer, {answer}, was taken from here]"
            cells = {
                "id": e.question.id,
                "split": e.split,
                "kind": e.stratum,
                "decision": "",
                "question": e.question.text,
                "answer": e.answers[0] if e.answers else "",
                "document": e.group,
                "evidence": gold,
            }
            rows.writerow(
                {key: f"'{value}" if value[:1] in "=+-@" and value else value for key, value in cells.items()}
            )


def decided(folder: Path) -> tuple[int, int, int]:
    """Apply the decisions of review.csv: (accepted or edited, dropped, not reviewed). Raises UserError."""
    path = folder / NAME
    if not path.exists():
        raise UserError("no such file.", where=str(path), remedy="Draft pairs into this folder first: `ragtune pairs`.")
    task = native.read_folder(folder)
    known = {e.question.id: e for split in (task.train, task.dev, task.test) for e in split}
    texts = {p.id: p.text for p in task.corpus}
    found: dict[str, Example] = {}
    counts: Counter[str] = Counter()
    for number, row in _rows(path):
        where, ident, decision = f"{path}:{number}", str(row.get("id")), _decision(row)
        if ident not in known and decision == "drop":  # in an earlier sitting
            counts[decision] += 1
            continue
        if ident not in known:
            raise UserError(
                f"there is no pair {ident!r}.",
                where=where,
                remedy="Leave the ids as they are; one that was dropped before is drafted anew in another folder.",
            )
        if decision not in DECISIONS:
            raise UserError(
                f"decision {decision!r}.", where=where, remedy="Give accept, edit or drop, or leave it empty."
            )
        counts[decision] += 1
        if decision != "drop":
            found[ident] = _edited(known[ident], row, texts, where) if decision == "edit" else known[ident]
    splits = {name: [e for e in found.values() if e.split == name] for name in ("train", "dev", "test")}
    if not splits["test"]:
        raise UserError("no test question is left.", where=str(path), remedy="Keep some whose split is test.")
    before = json.loads((folder / "dataset.yaml").read_text(encoding="utf-8"))
    native.write_parts(folder, task.corpus, splits)
    reviewed = counts["accept"] + counts["edit"]
    about(folder, list(found.values()), before["notes"][1:], before["drafted_by"], reviewed=reviewed)
    return reviewed, counts["drop"], counts[""]


def _rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """(line, row) of review.csv, as a spreadsheet may have saved it. Raises UserError."""
    columns, rows = read_csv(path)
    if missing := [name for name in ("id", "decision") if name not in columns]:
        raise UserError(
            f"there is no column {missing[0]!r}.", where=str(path), remedy=f"The columns are {', '.join(COLUMNS)}."
        )
    return rows


def _decision(row: Mapping[str, str | None]) -> str:
    return str(row.get("decision") or "").strip().lower()


def _edited(example: Example, row: Mapping[str, str | None], texts: Mapping[str, str], where: str) -> Example:
    """The pair as a person wrote it; its evidence is where the new answer stands, if it does."""
    question, answer = (str(row.get(key) or "").strip().removeprefix("'") for key in ("question", "answer"))
    if not question:
        raise UserError("the question is empty.", where=where)
    at = next(
        (Place(g, s, s + len(answer)) for g in example.question.gold if answer and (s := texts[g].find(answer)) >= 0),
        None,
    )
    return replace(
        example,
        question=replace(example.question, text=question, gold=example.question.gold if answer else ()),
        answers=(answer,) if answer else (),
        spans=((at,),) if at else (),
    )
