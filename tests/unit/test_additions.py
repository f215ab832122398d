"""One of each thing that the project can be extended with, added to a copy: that it works, and in how many files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

NEW = {  # path in the project -> text
    "systems/parrot.py": '''
"""Control: says the question back."""

from bench.core.system import Family, SystemConfig
from bench.core.vocabulary import Answer

FAMILY: Family = "control"
SUMMARY = "says the question back"


class Config(SystemConfig):
    """Nothing of its own."""


class Parrot:
    def answer(self, questions):
        return [Answer(q.text) for q in questions]

    def refresh(self, material):
        return None

    def index_recall(self, questions):
        return None


def build(config, material, store):
    return Parrot()
''',
    "bench/metrics/brevity.py": '''
"""How short an answer is."""


def brevity(record, abstain):
    """One over the number of words; None for an empty answer."""
    return 1 / len(record.answer.text.split()) if record.answer.text.split() else None
''',
    "bench/data/formats/tabbed.py": '''
"""Lines of question, answer and passage, with tabs between them."""

from pathlib import Path
from typing import Literal

from bench.core.vocabulary import Example, Passage, Question
from bench.data.source import Source, file_fingerprint
from bench.data.task import Task

fingerprint = file_fingerprint


class Tabbed(Source):
    """A text file with tabs."""

    format: Literal["tabbed"]
    path: str


def read(source, origin):
    rows = [line.split("\\t") for line in Path(source.path).read_text().splitlines()]
    corpus = tuple(Passage(f"p{n}", row[2], "", f"p{n}") for n, row in enumerate(rows))
    test = tuple(Example(Question(f"q{n}", row[0], (f"p{n}",)), (row[1],), group=f"p{n}") for n, row in enumerate(rows))
    return Task("tabbed", corpus, (), (), test)
''',
    "systems/parts/index/numpy_exact.py": '''
"""Exact search by one matrix product."""

import numpy as np


class Exact:
    def __init__(self, vectors):
        self.vectors = vectors

    def search(self, queries, k):
        scores = queries @ self.vectors.T
        best = np.argsort(-scores, axis=1)[:, :k]
        return [[(int(i), float(row[i])) for i in order] for row, order in zip(scores, best, strict=True)]


def build(vectors, retrieval, folder):
    np.save(folder / "vectors.npy", vectors)


def open_folder(folder, vectors, retrieval):
    return Exact(np.load(folder / "vectors.npy"))


def recipe(retrieval):
    return {}
''',
    "bench/report/sections/thanks.html.j2": '<section><h2 id="thanks">Thanks to {{ run.name }}</h2></section>\n',
}
EDITS = {  # path in the project -> (what stands there, what is put before it)
    "bench/metrics/registry.py": [
        ("from bench.metrics import answer\n", "from bench.metrics.brevity import brevity\n"),
        ('    Measure("f1", "F1", ANSWERS, answer.f1),\n', '    Measure("brevity", "Brevity", ANSWERS, brevity),\n'),
    ],
    "bench/report/page.py": [('    "caveats": "Caveats",\n', '    "thanks": "Thanks",\n')],
    "bench/verdict/claims.yaml": [
        (
            "- id: rag-external\n",
            "- id: parrots-fail\n  claim: Parrots know nothing.\n  source: everybody\n  published: nowhere\n"
            "  test: parrots_fail\n  needs: a parrot\n",
        )
    ],
    "bench/verdict/claims.py": [
        (
            "Rule = Callable",
            'def parrots_fail(evidence):\n    return Finding("confirmed", "it said the question back")\n\n\n',
        ),
        ("        rag_external,\n", "        parrots_fail,\n"),
    ],
}
ADDITIONS = {  # what CONTRIBUTING calls it -> the files that it takes
    "a kind of system": ["systems/parrot.py"],
    "a measure of one answer": ["bench/metrics/brevity.py", "bench/metrics/registry.py"],
    "a dataset format": ["bench/data/formats/tabbed.py"],
    "a vector index": ["systems/parts/index/numpy_exact.py"],
    "a section of the report": ["bench/report/sections/thanks.html.j2", "bench/report/page.py"],
    "a claim": ["bench/verdict/claims.yaml", "bench/verdict/claims.py"],
}
SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
from bench import parse, report, run, score
from bench.core.store import Store
from bench.core.blocks import Retrieval
from bench.spec import kinds
from systems.parts.index import index

root, model = Path(sys.argv[1]), sys.argv[2]
rows = [f"What is item {n}?\\truby\\titem {n} is ruby." for n in range(8)]
(root / "data.txt").write_text("\\n".join(rows))
raw = {
    "name": "added", "dataset": {"format": "tabbed", "path": str(root / "data.txt")}, "model": {"name": model},
    "systems": [{"name": "bird", "kind": "parrot"}], "measure": {"latency_questions": 2, "warmup": 1},
}
parse({**raw, "systems": [{"name": "r", "kind": "rag", "retrieval": {"index": "numpy_exact"}}]})
folder = run(parse(raw), out=root / "r", store=root / "s").folder
found = score(folder)
page = report(folder).read_text()
vectors = np.eye(4, dtype=np.float32)
np.save(root / "vectors.npy", vectors)
hits = index(root / "vectors.npy", "d", Retrieval(index="numpy_exact"), Store(root / "i")).search(vectors[2:3], 1)
print(json.dumps({
    "kinds": kinds.builtin(), "control": found.systems["bird"].control,
    "brevity": found.systems["bird"].scores["brevity"].mean,
    "claim": found.claims[0].status, "hit": hits[0][0][0],
    "page": [text in page for text in ("Brevity", "Thanks to added", "Parrots know nothing.")],
}))
"""


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with one of each."""
    copy = tmp_path_factory.mktemp("extended")
    for package in ("bench", "systems"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    for path, text in NEW.items():
        assert not (copy / path).exists()
        (copy / path).write_text(text.lstrip())
    for path, edits in EDITS.items():
        whole = (copy / path).read_text()
        for anchor, added in edits:
            assert whole.count(anchor) == 1, (path, anchor)
            whole = whole.replace(anchor, added + anchor)
        (copy / path).write_text(whole)
    return copy


@pytest.mark.heavy
def test_each_works_where_it_was_added(extended: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(ROOT / "systems" / "micro" / "lm")]
    done = subprocess.run(command, cwd=extended, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert "parrot" in found["kinds"] and found["control"]
    assert found["brevity"] == pytest.approx(1 / 4)
    assert found["claim"] == "confirmed" and found["hit"] == 2
    assert found["page"] == [True, True, True]


def test_contributing_counts_the_files_of_each() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text().split("| to add | files |")[1].split("\n\n")[0]
    lines = [line.split("|") for line in table.splitlines() if line.count("|") == 3]
    rows = {cells[1].strip(): re.findall(r"`([^`]+)`", cells[2]) for cells in lines}
    rows = {what: paths for what, paths in rows.items() if paths}
    assert {what: len(paths) for what, paths in rows.items()} == {what: len(paths) for what, paths in ADDITIONS.items()}
    touched = {path for paths in ADDITIONS.values() for path in paths}
    assert touched == {*NEW, *EDITS}
    for what, paths in ADDITIONS.items():
        for said, path in zip(rows[what], paths, strict=True):
            assert re.fullmatch(re.sub(r"<\w+>", r"\\w+", said.replace(".", r"\.")), path), (said, path)
