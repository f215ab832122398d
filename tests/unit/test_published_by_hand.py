"""Each row of a run beside a paper, against figures worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.core.errors import UserError
from bench.verdict.published import Beside, beside
from tests.made_up import Made, asked, saying, scored

QUESTIONS = asked(30)
WILSON = 0.113513  # the upper end of none of 30; the lower end of all of them is one less this
GONE = {"status": "failed", "reason": "planted"}


def trained(seconds: float, says: Any) -> Made:
    artefact = {"kind": "adapter", "build_s": seconds, "bytes": 1, "hit": False, "facts": {"train_loop_s": seconds}}
    return Made(says, tuned=True, kind="lora", cell={"artefacts": [artefact]})


SYSTEMS = {
    "all": trained(10.0, saying((range(30), "yes"))),
    "none": trained(23.0, saying()),
    "half": Made(saying((range(15), "yes"))),
    "other-half": Made(saying((range(14, 30), "yes"))),
    "gone": Made(saying(), on=(), cell=GONE),
}


def rows(folder: Path, figures: list[dict[str, Any]], costs: list[dict[str, Any]] | None = None) -> list[Beside]:
    paper = {"title": "A paper", "source": "a table", "figures": figures, "costs": costs or []}
    scored(folder, SYSTEMS, QUESTIONS, paper=paper)
    return beside(folder)[1]


def test_figures(tmp_path: Path) -> None:
    """An interval within the tolerance, its ends included; outside of it; and across its end, from either side."""
    asked_for = [
        {"system": "gone", "value": 0.2, "order_only": False},
        {"system": "all", "value": 0.94, "tolerance": 0.06},
        {"system": "none", "value": 0.06, "tolerance": 0.06},
        {"system": "half", "value": 0.5, "order_only": True},
    ]
    gone, every, none, *orders = rows(tmp_path / "within", asked_for)
    assert gone == Beside("gone", "em", 0.2, None, None, None, "cannot tell")
    assert every == Beside("all", "em", 0.94, 1.0, pytest.approx(1 - WILSON, abs=1e-6), 1.0, "reproduced")
    assert none == Beside("none", "em", 0.06, 0.0, 0.0, pytest.approx(WILSON, abs=1e-6), "reproduced")
    assert orders and all(" over " in row.what for row in orders)
    for at, (value, state) in enumerate(((0.11, "cannot tell"), (0.5, "not reproduced"), (0.2, "not reproduced"))):
        found = rows(tmp_path / f"none-{at}", [{"system": "none", "value": value, "tolerance": 0.06}])
        assert [row.state for row in found] == [state]
    for at, (value, state) in enumerate(((0.88, "cannot tell"), (0.5, "not reproduced"))):
        found = rows(tmp_path / f"all-{at}", [{"system": "all", "value": value, "tolerance": 0.06}])
        assert [row.state for row in found] == [state]


def test_costs(tmp_path: Path) -> None:
    """Each over the least; what the run has no figure of cannot be told, and the others still are."""
    costs = [
        {"system": "none", "value": 230.0, "tolerance": 0.3},
        {"system": "all", "value": 100.0},
        {"system": "gone", "value": 150.0},
        {"system": "half", "value": 400.0},
    ]
    found = [r for r in rows(tmp_path / "r", [{"system": "all", "value": 1.0}], costs) if r.metric == "train_s"]
    factor = 1.15 ** (2**0.5)  # of each of both
    assert found == [
        Beside("gone over all", "train_s", 1.5, None, None, None, "cannot tell"),
        Beside(
            "none over all",
            "train_s",
            pytest.approx(2.3),
            pytest.approx(2.3),
            pytest.approx(2.3 / factor),
            pytest.approx(2.3 * factor),
            "reproduced",
        ),
        Beside("half over all", "train_s", 4.0, None, None, None, "cannot tell"),
    ]


def test_orders(tmp_path: Path) -> None:
    """Of every two whose figures are apart by more than the tolerance of either: the first is the higher one there."""
    figures = [
        {"system": "none", "value": 0.1},
        {"system": "half", "value": 0.5},
        {"system": "other-half", "value": 0.7},
        {"system": "gone", "value": 0.9},
    ]
    found = {row.what: row for row in rows(tmp_path / "r", figures) if " over " in row.what}
    assert set(found) == {
        "half over none", "other-half over none", "other-half over half",
        "gone over none", "gone over half", "gone over other-half",
    }  # fmt: skip
    assert found["half over none"].state == found["other-half over none"].state == "reproduced"
    assert found["other-half over half"].state == "cannot tell"
    gone = found["gone over half"]
    assert gone == Beside("gone over half", "em", pytest.approx(0.4), None, None, None, "cannot tell")
    row = found["half over none"]
    assert (row.metric, row.published, row.found) == ("em", pytest.approx(0.4), pytest.approx(0.5))
    assert 0.2 < row.low < 0.4 < 0.6 < row.high < 0.8
    level = found["other-half over half"]
    assert level.found == pytest.approx(1 / 30) and level.low < 0 < level.high and level.low < level.high


def test_orders_that_are_the_other_way_round(tmp_path: Path) -> None:
    figures = [{"system": "none", "value": 0.8}, {"system": "half", "value": 0.3}]
    (row,) = [row for row in rows(tmp_path / "r", figures) if " over " in row.what]
    assert (row.what, row.state, row.found) == ("none over half", "not reproduced", pytest.approx(-0.5))
    assert row.low < row.found < row.high < 0


def test_figures_that_are_as_far_apart_as_the_tolerance_have_no_order(tmp_path: Path) -> None:
    for apart, count in ((0.25, 0), (0.26, 1)):
        figures = [{"system": "none", "value": 0.25, "tolerance": 0.25}, {"system": "all", "value": 0.25 + apart}]
        found = [row for row in rows(tmp_path / str(apart), figures) if " over " in row.what]
        assert len(found) == count


def test_a_run_without_a_paper(tmp_path: Path) -> None:
    scored(tmp_path / "r", {"all": Made(saying((range(30), "yes")))}, QUESTIONS)
    with pytest.raises(UserError) as told:
        beside(tmp_path / "r")
    assert str(told.value) == (
        f"{tmp_path / 'r'}: the spec of this run names no paper. "
        "Give `paper:` in the spec, as bench/specs/papers/ does."
    )
