"""What public data show of the way in, printed: `python -m tests.real_data [FOLDER]`, the folder of pubmedqa/ and
xquad_en/. Passages are cut small, so that a document and the place of an answer in it are two things.
"""

from __future__ import annotations

import copy
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import parse
from bench.core.errors import UserError
from bench.core.store import Store
from bench.data.leakage import asked_again, leaks
from bench.data.task import Task
from bench.execution.pinning import prepare
from bench.execution.run import run
from bench.execution.windows import windows
from bench.verdict.score import read_scores, score
from tests.conftest import ROOT

SQUAD = {"format": "squad", "test_share": 0.5, "seed": 1}
MEASURES = ("recall_at_k", "document_recall_at_k", "precision_at_k", "mrr", "ndcg")


def spec(dataset: dict[str, Any], systems: list[dict[str, Any]], **blocks: Any) -> Any:
    """A spec that only retrieves."""
    raw = {"name": "real", "dataset": dataset, "model": {"name": "micro"}, "systems": systems, "control": False}
    return parse({**raw, "measure": {"rounds": 0}, **blocks})


def retrieval(path: Path, place: Path) -> None:
    """Recall of the chunk that holds the answer, beside that of the document that it was cut from."""
    chunking = {"by": "length", "size": 200, "overlap": 0}
    systems = [
        {"name": "bm25", "kind": "retriever", "retrieval": {"mode": "bm25"}},
        {"name": "dense", "kind": "retriever", "embedder": {"name": os.environ.get("RAGTUNE_EMBEDDER", "micro")}},
    ]
    whole = spec({**SQUAD, "path": str(path)}, systems, retrieval={"k": 4, "chunking": chunking})
    folder = run(whole, out=place / "runs", store=place / "store").folder
    score(folder)
    print("XQuAD, paragraphs cut at 200 characters, k = 4:")
    for name, system in read_scores(folder).measured.items():
        told = ", ".join(f"{m} {found.mean:.3f}" for m in MEASURES if (found := system.score(m)))
        print(f"  {name}: {told}")


def of(dataset: dict[str, Any], place: Path) -> Task:
    """The task of a dataset."""
    return prepare(spec(dataset, [{"name": "r", "kind": "retriever"}]), Store(place / "store")).task


def squad(path: Path, place: Path) -> None:
    """Files without titles, answers that stand twice, offsets that are wrong."""
    raw = json.loads(path.read_text())
    found = [
        (paragraph["context"], qa["answers"][0])
        for article in raw["data"]
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]
    twice = sum(context.count(answer["text"]) > 1 for context, answer in found)
    first = sum(context.find(answer["text"]) != answer["answer_start"] for context, answer in found)
    print(
        f"XQuAD, {len(found):,} answers: {twice} stand more than once in their paragraph; the first place is "
        f"wrong for {first}"
    )
    bare, shifted = copy.deepcopy(raw), copy.deepcopy(raw)
    for article in bare["data"]:
        article.pop("title", None)
    for article in shifted["data"]:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                qa["answers"][0]["answer_start"] += 3
    for name, changed in (("without titles", bare), ("offsets moved by 3", shifted)):
        file = place / f"{name.replace(' ', '-')}.json"
        file.write_text(json.dumps(changed))
        task = of({**SQUAD, "path": str(file), "test_share": 0.2}, place)
        notes = " ".join(task.notes) or "no note"
        print(f"XQuAD {name}, test_share .2: {len(task.train)} training, {len(task.test)} test questions; {notes}")


def pubmedqa(root: Path, place: Path) -> None:
    """Leaks, tokens beyond the embedder's window, and a field whose name is wrong."""
    fields = {"question": "QUESTION", "passages": "CONTEXTS", "answers": "final_decision"}
    source = {"format": "records", "path": str(root / "ori_pqal.json"), "choices": ["yes", "no", "maybe"]}
    ids = {"test_ids": str(root / "test_ground_truth.json")}
    task = of({**source, **ids, "fields": fields}, place)
    train, test = len(task.train), len(task.test)
    print(
        f"PubMedQA, {train} training and {test} test questions on {len(task.corpus):,} passages: "
        f"{len(leaks(task.train, task.test))} test questions leak, {asked_again(task.train, task.test)} are asked in "
        "training with another answer"
    )
    embedder = {"name": os.environ.get("RAGTUNE_EMBEDDER", "micro")}
    told = spec({**source, **ids, "fields": fields}, [{"name": "r", "kind": "retriever", "embedder": embedder}])
    for note in windows(prepare(told, Store(place / "store"))):
        print(f"  {note}")
    try:
        of({**source, "fields": {**fields, "answers": "final_decison"}}, place)
    except UserError as e:
        print(f"PubMedQA with a field misnamed: {str(e).replace(str(root), '...')}")


def main() -> None:
    """Print it all."""
    shared = (
        sys.argv[1] if len(sys.argv) > 1 else os.environ.get("RAGTUNE_SHARED_DATA", ROOT.parent / "shared" / "data")
    )
    data = Path(shared)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        squad(data / "xquad_en" / "xquad.en.json", place)
        retrieval(data / "xquad_en" / "xquad.en.json", place)
        pubmedqa(data / "pubmedqa", place)


if __name__ == "__main__":
    main()
