"""pytest: each rule of a gate as a test item, and the scores of a run as a fixture.

    pytest --ragtune-run reports/mine --ragtune-baseline reports/baselines/mine.json [--ragtune-rules rules.yaml]

`ragtune_scores` gives a team's own test the scores of the run as a pandas frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The plugin's options."""
    group = parser.getgroup("ragtune")
    group.addoption("--ragtune-run", type=Path, help="A run's folder, for the fixture `ragtune_scores` and the gate.")
    group.addoption("--ragtune-baseline", type=Path, help="A baseline: every rule of the gate becomes a test.")
    group.addoption("--ragtune-rules", type=Path, help="YAML of rules.")
    group.addoption(
        "--ragtune-inconclusive",
        choices=("skip", "fail"),
        default="skip",
        help="What an undecided rule does to its test.",
    )


@pytest.fixture(scope="session")
def ragtune_scores(request: pytest.FixtureRequest) -> Any:
    """The scores of --ragtune-run as a frame: system, metric, stratum, mean, low, high, n."""
    run = request.config.getoption("--ragtune-run")
    if run is None:
        pytest.skip("no run: give --ragtune-run")
    from bench.verdict.score import scores

    return scores(run)


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add an item for each rule and system, where a run and a baseline are given."""
    run, baseline = config.getoption("--ragtune-run"), config.getoption("--ragtune-baseline")
    if run and baseline:
        gate = Gate.from_parent(session, name="ragtune-gate")
        items.extend(gate.of(run, baseline, config.getoption("--ragtune-rules")))


class Gate(pytest.Collector):
    """The rules of a gate, as test items of a session."""

    def collect(self) -> Iterator[pytest.Item]:
        """Nothing: the items are made by `of`."""
        return iter(())

    def of(self, run: Path, baseline: Path, rules: Path | None) -> Iterator[pytest.Item]:
        """An item for each rule and system. Raises pytest.UsageError where a file cannot be read."""
        from bench.core.errors import UserError
        from bench.gate.decisions import is_any_compared
        from bench.gate.held import held

        try:
            results = held(run, baseline, rules).results
        except UserError as e:
            raise pytest.UsageError(f"ragtune: {e}") from None
        if not is_any_compared(results):
            results = [
                *results,
                _nothing(),
            ]
        for result in results:
            yield RuleItem.from_parent(self, name=f"{result.system}: {result.rule}", result=result)


def _nothing() -> Any:
    """What stands for a gate that compared nothing."""
    from bench.scoring.schema.gate import Result

    why = "nothing could be compared, which is never a pass"
    return Result("any rule", "every system", "missing", old=None, new=None, change=None, low=None, high=None, why=why)


class RuleItem(pytest.Item):
    """One rule of one system."""

    def __init__(self, *, result: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.result = result

    def runtest(self) -> None:
        """Fail on a regression, skip where nothing could be decided."""
        from bench.scoring.schema.gate import BAD

        said = f"{self.result.state}: {self.result.shown} {self.result.why}".strip()
        if self.result.state in BAD:
            raise Broken(said)
        if self.result.state in ("inconclusive", "not comparable"):
            if self.config.getoption("--ragtune-inconclusive") == "fail":
                raise Broken(said)
            pytest.skip(said)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """The finding alone, without a traceback."""
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """What pytest prints of the item."""
        return self.path, None, self.name


class Broken(Exception):
    """A rule that does not hold."""
