"""The rules of a gate: regressions with a margin, budgets with a bound, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from bench.core.blocks import Block
from bench.gate.snapshot import OLD_NAMES
from bench.gate.times import FIGURES
from bench.metrics.registry import JUDGED, MEASURES

LATENCY = {"p50_latency_s": 50, "p90_latency_s": 90, "p95_latency_s": 95, "p99_latency_s": 99}  # name -> percentile
MOST = 10.0  # what no relative margin of a time or of memory reaches
KNOWN = (*MEASURES, *FIGURES, *LATENCY)


class Rule(Block):
    """A regression rule has a `margin`, a budget `min` or `max`. `system`: one, or all that the baseline has."""

    metric: str
    margin: float | None = Field(
        None, ge=0, description="Largest loss allowed: absolute for shares, relative for times and memory."
    )
    least: float | None = Field(
        None, ge=0, description="Least increase that counts beside `margin`, in seconds or bytes; not of shares."
    )
    min: float | None = None
    max: float | None = None
    system: str | None = None
    stratum: str | None = None
    missing: Literal["fail", "pass"] = "fail"
    warn: bool | None = Field(None, description="Report a failure as a warning; unset: judge metrics warn.")

    @field_validator("metric", mode="before")
    @classmethod
    def _renamed(cls, value: object) -> object:
        return OLD_NAMES.get(value, value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one(self) -> Rule:
        if self.metric not in KNOWN:
            raise ValueError(f"unknown metric {self.metric!r}; known are {', '.join(KNOWN)}")
        if self.stratum and self.metric not in MEASURES:
            raise ValueError(f"`stratum` is of questions, and {self.metric} has none")
        if (self.margin is None) == (self.min is None and self.max is None):
            raise ValueError("give `margin`, or `min` or `max`")
        if self.margin is not None and self.margin >= 1 and self.metric in MEASURES:
            raise ValueError(f"a margin of {self.margin:g} never fails: shares are of 1, so that two points are 0.02")
        if self.metric in MEASURES and any(not 0 <= bound <= 1 for bound in (self.min, self.max) if bound is not None):
            raise ValueError("a share is from 0 to 1, and so is its bound: five of a hundred are 0.05")
        if self.margin is not None and self.margin >= MOST:
            raise ValueError(f"a margin of {self.margin:g} never fails: it is relative, so that 15% are 0.15")
        if self.least is not None and (self.margin is None or self.metric in MEASURES):
            raise ValueError("`least` stands beside the `margin` of a time or of memory")
        return self

    @property
    def warns(self) -> bool:
        """Whether a failure of this rule is a warning."""
        return self.metric in JUDGED if self.warn is None else self.warn

    @property
    def title(self) -> str:
        """The rule as a table names it."""
        if self.margin is not None:
            unit = f"{self.margin:.3f}" if self.metric in MEASURES else f"{100 * self.margin:g}%"
            least = self.least or 0.0
            of = f" or {least:g} s" if self.metric.endswith("_s") else f" or {least / 1e6:g} MB"
            return f"{self.metric} within {unit}{of if least else ''}"
        bounds = [
            f"{word} {value:g}" for word, value in (("at least", self.min), ("at most", self.max)) if value is not None
        ]
        return f"{self.metric} {' and '.join(bounds)}"


class Rules(Block):
    """The rules of one gate."""

    rules: tuple[Rule, ...] = Field(min_length=1)


DEFAULT = Rules(
    rules=(
        Rule(metric="em", margin=0.02),
        Rule(metric="recall_at_k", margin=0.02),
        Rule(metric="document_recall_at_k", margin=0.02),
        Rule(metric="p50_latency_s", margin=0.15, least=0.005),
        Rule(metric="peak_rss_growth_bytes", margin=0.05, least=5e6),
        Rule(metric="peak_gpu_allocated_bytes", margin=0.05),
        Rule(metric="step_s", margin=0.15),
    )
)


def with_headline(rules: Rules, headline: str) -> Rules:
    """The rules, and two points of what a run's systems are ranked by where they have none of it."""
    if headline not in MEASURES or any(rule.metric == headline for rule in rules.rules):
        return rules
    return Rules(rules=(Rule(metric=headline, margin=0.02), *rules.rules))


def load(path: Path | None) -> Rules:
    """The rules of a YAML file, or those that hold where none is given. Raises UserError."""
    if path is None:
        return DEFAULT
    from bench.spec.validation_errors import explain
    from bench.spec.yaml_lines import read

    raw, lines = read(path, "rules file", such="rules: [{ metric: em, margin: 0.02 }]", remedy="or leave --rules out")
    try:
        return Rules.model_validate(raw)
    except ValidationError as e:
        raise explain(e, Rules, (), str(path), lines) from None
