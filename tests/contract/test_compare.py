"""Two runs side by side: what moved, paired by question, and what their specs and machines differ in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.core.vocabulary import Answer
from bench.verdict.compare_runs import Change, Comparison, compare
from bench.verdict.score import compared_with
from tests.made_up import Made, asked, scored, showing, turns


def sides(tmp_path: Path, a: dict[str, Made], b: dict[str, Made], **edit: Any) -> Comparison:
    """Two runs compared; `edit` are values of the second's run.json."""
    for name, systems in (("a", a), ("b", b)):
        scored(tmp_path / name, systems, asked(100), **({"margin": 0.05} if name == "b" else {}))
    path = tmp_path / "b" / "run.json"
    whole = json.loads(path.read_text())
    for key, changes in edit.items():
        whole[key] |= changes
    path.write_text(json.dumps(whole))
    return compare(tmp_path / "a", str(tmp_path / "b"))


def row(found: Comparison, measure: str) -> Change:
    (one,) = (change for change in found.rows if (change.system, change.measure) == ("same", measure))
    return one


def right_on(share: int) -> Any:
    """Right on the first so many of a hundred questions."""
    return lambda q, _: Answer("yes" if int(q.id[1:]) < share else "no")


def test_what_moved_is_b_minus_a(tmp_path: Path) -> None:
    shown = Made(showing(right_on(70), "yes"))
    found = sides(
        tmp_path,
        {
            "same": Made(right_on(60), latency_s=0.01, cell=turns(0.01, [1.0, 1.0])),
            "gone": Made(right_on(50)),
            "shows": shown,
        },
        {
            "same": Made(right_on(90), latency_s=0.02, cell=turns(0.02, [1.0, 1.0])),
            "new": Made(right_on(50)),
            "shows": Made(right_on(70)),
        },
    )
    em = row(found, "em")
    assert (em.a, em.b, em.n) == (0.6, 0.9, 100) and em.difference == pytest.approx(0.3)
    assert em.low is not None and em.high is not None and 0.2 < em.low < 0.3 < em.high < 0.42
    assert em.p is not None and em.p < 1e-6
    p50 = row(found, "p50_s")
    assert p50.a == pytest.approx(0.01, rel=0.05) and p50.b == pytest.approx(0.02, rel=0.05)
    assert p50.difference == p50.b - p50.a and (p50.low, p50.high, p50.n, p50.p) == (None, None, None, None)
    assert {change.measure for change in found.rows if change.system == "same"} >= {
        "em",
        "f1",
        "p50_s",
        "questions_per_s",
        "peak_rss_growth_bytes",
    }
    rate = row(found, "questions_per_s")
    assert rate.b == pytest.approx(rate.a / 2, rel=0.05)
    assert not [change for change in found.rows if change.measure == "train_s"]  # nothing was trained
    assert not [c for c in found.rows if c.system == "shows" and c.measure == "k_precision"]  # one of both has it
    assert [c for c in found.rows if c.system == "shows" and c.measure == "em"]
    assert found.only_a == ["gone"] and found.only_b == ["new"]
    assert found.spec["margin"] == (None, 0.05) and found.notes == []


def test_other_software_and_other_models_are_told(tmp_path: Path) -> None:
    """Of the systems that both have; a system more, or a little more memory, is neither."""
    one, other = {"same": Made(right_on(60))}, {"same": Made(right_on(60), config={"model.digest": "sha256:other"})}
    software = {"python": "3.14.0", "commit": "b" * 40, "memory_bytes": 1}
    models, versions = sides(tmp_path / "other", one, other, environment=software).notes
    assert models.startswith("The models of same are not the same files")
    assert "and 3.14.0" in versions and f"and {'b' * 40}" in versions
    more = one | {"more": Made(right_on(50), config={"model.digest": "sha256:other"})}
    assert sides(tmp_path / "more", one, more, environment={"commit": None}).notes == []


def test_figures_of_another_processor_are_the_same() -> None:
    stored = {
        "rules": 1,
        "version": 1,
        "seal": "a",
        "source": "b",
        "systems": {"x": {"mean": 0.18415599546921982, "n": 4}},
    }
    other = {**stored, "seal": "c", "systems": {"x": {"mean": 0.18415599546921987, "n": 4}}}
    assert compared_with(stored, other) == ("The stored scores are the same.", False)
    assert compared_with(stored, {**other, "systems": {"x": {"mean": 0.19, "n": 4}}})[1]
    assert compared_with(stored, {**other, "systems": {"x": {"mean": 0.18415599546921982}}})[1]
    told, differ = compared_with({**stored, "rules": 0}, other)
    assert told.startswith("The stored scores were of rules 0") and not differ
    assert compared_with(None, stored) == ("No scores were stored.", False) and compared_with({}, stored)[1]


def test_other_data_and_other_machines_are_told(tmp_path: Path) -> None:
    one = {"same": Made(right_on(60), cell=turns(0.01, [1.0, 1.0]))}
    other_data = sides(tmp_path / "data", one, one, dataset={"digest": "0" * 64})
    assert other_data.notes == ["The runs are of different datasets: quality is not compared."]
    assert {change.measure for change in other_data.rows} == {"p50_s", "questions_per_s", "peak_rss_growth_bytes"}
    for number, edit in enumerate(({"cpu": "another"}, {"threads": 99})):
        machine = sides(tmp_path / f"machine{number}", one, one, environment=edit)
        assert machine.notes == [
            "The runs are of different machines or thread counts: times and memory are not comparable."
        ]
        assert row(machine, "em").difference == 0.0
