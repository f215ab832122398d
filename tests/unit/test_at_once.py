"""What is computed for many at once is what it is for each alone."""

from __future__ import annotations

import gc
import json
import random
from pathlib import Path

import ir_measures
import numpy as np
import pytest

from bench.core.errors import UserError
from bench.core.files import read_lines
from bench.core.vocabulary import read_record, read_record_line
from bench.metrics import retrieval
from bench.scoring.records import graded, read_records
from bench.stats import intervals, permutation
from tests.conftest import ROOT

STORED = ROOT / "tests" / "golden" / "run"


def test_intervals_of_measures_of_the_same_questions() -> None:
    rng = np.random.default_rng(0)
    clusters = [f"c{i // 3}" for i in range(150)]
    shares = [
        rng.random((1, 150)),
        rng.random((3, 150)),
        (rng.random((1, 150)) < 0.5).astype(float),
        np.zeros((1, 150)),
    ]
    several = [*shares, 5 * rng.random((1, 150)), np.empty((1, 0)), rng.random((1, 150))]
    found = intervals.estimates(several, clusters)
    for one, values in zip(found, several, strict=True):
        alone = intervals.estimate(values, clusters)
        assert (one is None) == (alone is None) == (values.size == 0)
        if one and alone:
            assert (one.method, one.n, one.clusters) == (alone.method, alone.n, alone.clusters)
            assert (one.mean, one.low, one.high) == pytest.approx((alone.mean, alone.low, alone.high), abs=1e-12)


def test_permutations_of_pairs_with_shared_signs() -> None:
    """With 14 to 512 clusters that differ, more pairs than are tested at once, and in any order."""
    rng, columns = np.random.default_rng(1), []
    for differing in [0, 1, 13, 14, 40, 512, 513, *rng.integers(14, 500, 70)]:
        column = np.zeros(700)
        places = rng.choice(700, differing, replace=False)
        column[places] = rng.choice([-1.0, -0.5, 0.25, 1.0], differing) + 0.05
        columns.append(column)
    whole = permutation.sign_flipped(np.stack(columns, 1), 0)
    assert whole == [permutation.sign_flipped(column[:, None], 0)[0] for column in columns]
    assert permutation.sign_flipped(np.stack(columns[::-1], 1), 0) == whole[::-1]
    assert [test for _, test in whole[:4]] == ["exact cluster permutation"] * 3 + ["cluster permutation"]


def test_changing_every_sign_by_hand() -> None:
    """Of the sixteen sums of four ones two are as large; of 2 and -1, whose sum is 1, none is smaller."""
    columns = np.array([[1.0, 2.0, 3.0], [1.0, -1.0, 1.0], [1.0, 0.0, 0.5], [1.0, 0.0, 0.0]])
    assert [p for p, _ in permutation.sign_flipped(columns, 0)] == [2 / 16, 1.0, 2 / 8]


def test_questions_with_the_same_ranks_of_the_same_grades() -> None:
    """Against ir-measures question by question: chunks of one passage, grades, passages that are missing."""
    draws, rows = random.Random(0), {}
    for number in range(300):
        gold = {f"p{i}": draws.choice((1, 1, 2, 3)) for i in draws.sample(range(12), draws.randint(1, 3))}
        rows[f"q{number}"] = ([f"p{draws.randrange(12)}" for _ in range(draws.randint(0, 8))], gold)
    found = retrieval.measures(rows, 4)
    names = {
        "recall_at_k": ir_measures.R @ 4,
        "precision_at_k": ir_measures.P @ 4,
        "mrr": ir_measures.RR @ 4,
        "ndcg": ir_measures.nDCG @ 4,
    }
    for question, (ids, gold) in rows.items():
        run = {"q": {i: float(-rank) for rank, i in enumerate(dict.fromkeys(ids))}}
        for name, measure in names.items():
            (alone,) = ir_measures.iter_calc([measure], {"q": gold}, run)
            assert found[name][question] == pytest.approx(alone.value, abs=1e-12), (question, name)


def test_a_line_is_read_as_its_object_is() -> None:
    lines = [line for _, line in read_lines(STORED / "records.jsonl")]
    assert lines and all(read_record_line(line) == read_record(json.loads(line)) for line in lines)
    row = json.loads(lines[0])
    assert read_record_line(json.dumps(row | {"of_another_version": 1})) == read_record(row)
    assert read_record_line(json.dumps(row | {"updated": None})) is None  # which an older version may have written
    assert read_record(row | {"updated": None}).updated == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_s": float("nan")}, "NaN"),
        ({"text": "\ud800"}, "half of a character"),
        ({"batch": "many"}, "no record: `batch`"),
    ],
)
def test_what_a_line_cannot_hold_is_told_with_its_number(change: dict[str, object], said: str, tmp_path: Path) -> None:
    lines = [line for _, line in read_lines(STORED / "records.jsonl")][:3]
    lines[2] = json.dumps(json.loads(lines[2]) | change) + "\n"
    (tmp_path / "records.jsonl").write_text("".join(lines))
    with pytest.raises(UserError, match=said) as told:
        list(read_records(tmp_path))
    assert str(told.value.where).endswith("records.jsonl:3")


def test_the_collector_is_left_as_it_was() -> None:
    before = gc.get_threshold()
    graded(STORED)
    assert gc.get_threshold() == before
