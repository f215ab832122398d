"""judge.json, and its part of scores.json: what the judging took, and how far the judge is to be trusted."""

from __future__ import annotations

from bench.execution.cell_result import Part
from bench.stats.intervals import Estimate


class Calibration(Part):
    """How far a judge's metric agrees with human labels, and with itself."""

    n: int
    failed: int
    agreement: Estimate | None
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None
    flip_rate: Estimate | None
    min_kappa: float
    demoted: bool


class JudgeSummary(Part):
    """judge.json: what the judging took, and how far the judge is to be trusted."""

    model: str
    metrics: tuple[str, ...]
    verdicts: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    cached: int
    calibration: dict[str, Calibration]
    judged: str = ""  # sha256 of judged.jsonl, as it was written
