"""scores.json as a typed value, versioned: what scoring and the verdict write, and report, gate and export read.

Holds its parts (`system`, `scenarios`, `recommendation`, `judge`) and the whole (`Scores`). It is data alone, so that
every stage above may import it. Its JSON Schema is `Scores.model_json_schema()`, which `ragtune schema --of scores`
prints.
"""

from __future__ import annotations

from typing import Literal

from bench.execution.cell_result import Part
from bench.scoring.schema.judge import Calibration, JudgeSummary
from bench.scoring.schema.recommendation import (
    BreakEven,
    Contradiction,
    Costs,
    Criteria,
    Criterion,
    Mix,
    Need,
    NeedFlip,
    NeedState,
    Outcome,
    QuestionTypes,
    Recommendation,
    Split,
    Trade,
    Traded,
    TypeRow,
    View,
    WeightFlip,
)
from bench.scoring.schema.scenarios import (
    Churn,
    ChurnRow,
    CurvePoint,
    Facts,
    ForgettingRow,
    FreshnessRow,
    LearningCurve,
    ProvenanceRow,
    RecallRow,
    RobustnessRow,
    ScenarioTables,
    Slowdown,
    SlowdownMemory,
    SlowdownPoint,
    StyleRow,
)
from bench.scoring.schema.system import (
    Build,
    Cost,
    Doubt,
    Energy,
    FailedSystem,
    Limits,
    Loaded,
    MeasuredSystem,
    Memory,
    Otherwise,
    Round,
    Score,
    Speed,
    System,
    SystemHead,
    Tokens,
)
from bench.stats.comparisons import Pair

__all__ = [
    "RULES",
    "VERSION",
    "BreakEven",
    "Build",
    "Calibration",
    "Churn",
    "ChurnRow",
    "Claim",
    "ClaimStatus",
    "Contradiction",
    "Cost",
    "Costs",
    "Criteria",
    "Criterion",
    "CurvePoint",
    "Disagreement",
    "Doubt",
    "Energy",
    "Facts",
    "FailedSystem",
    "ForgettingRow",
    "FreshnessRow",
    "JudgeSummary",
    "LearningCurve",
    "Limits",
    "Loaded",
    "MeasuredSystem",
    "Memory",
    "Mix",
    "Need",
    "NeedFlip",
    "NeedState",
    "Otherwise",
    "Outcome",
    "ProvenanceRow",
    "QuestionTypes",
    "RecallRow",
    "Recommendation",
    "RobustnessRow",
    "Round",
    "ScenarioTables",
    "Score",
    "Scores",
    "Slowdown",
    "SlowdownMemory",
    "SlowdownPoint",
    "Speed",
    "Split",
    "StyleRow",
    "System",
    "SystemHead",
    "Tokens",
    "Trade",
    "Traded",
    "TypeRow",
    "View",
    "WeightFlip",
]
VERSION = 6  # raised when scores of an older ragtune can no longer be read
RULES = 12  # raised when the same records give other scores, which are then computed again
ClaimStatus = Literal["confirmed", "refuted", "inconclusive", "not tested"]


class Claim(Part):
    """A claim of the ledger, and what this run says of it. `takes` is what would decide it, where it is open."""

    id: str
    claim: str
    source: str
    published: str
    needs: str
    status: ClaimStatus
    measured: str
    takes: str


class Disagreement(Part):
    """A question on which systems differ."""

    question: str
    stratum: str
    outcomes: dict[str, str]  # system -> outcome


class Scores(Part):
    """The whole of scores.json."""

    schema_version: Literal[1] = 1
    version: int = VERSION
    rules: int | None = None  # of scoring, by which it was computed; None in older files
    source: str  # digest of the files that it was computed from
    seal: str = ""  # sha256 of the rest of it: a changed figure is found
    run: str
    metrics: dict[str, str]  # measure -> title
    headline: str
    systems: dict[str, System]
    compared: dict[str, tuple[Pair, ...]]  # measure -> every pair of systems
    leaks: dict[str, int]  # way -> test questions that training has seen so; `all`: in any way
    judge: JudgeSummary | None
    scenarios: ScenarioTables
    experiments: dict[str, tuple[Facts, ...]]
    claims: tuple[Claim, ...]
    recommendation: Recommendation
    questions: tuple[Disagreement, ...]
    outcomes: dict[str, dict[str, int]]  # system -> outcome -> questions

    @property
    def measured(self) -> dict[str, MeasuredSystem]:
        """The systems that finished."""
        return {n: s for n, s in self.systems.items() if isinstance(s, MeasuredSystem)}

    @property
    def slowdowns(self) -> list[Slowdown]:
        """What the experiments on the QLoRA slowdown found."""
        return [facts for found in self.experiments.values() for facts in found if isinstance(facts, Slowdown)]
