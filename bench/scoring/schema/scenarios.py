"""The scenario tables of scores.json, and what its experiments found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import ConfigDict, Field

from bench.core.vocabulary import JSON
from bench.execution.cell_result import Part
from bench.stats.comparisons import Pair
from bench.stats.intervals import Estimate


class FreshnessRow(Part):
    """Changed and unchanged facts before and after the corpus was updated, and what the update takes."""

    system: str
    before_em: Estimate | None
    updated_em: Estimate | None
    stale: Estimate | None
    kept_em: Estimate | None
    refresh_s: float | None
    refresh_usd: float | None
    retrain_s: float | None
    retrained_changed: Estimate | None = None
    retrained_unchanged: Estimate | None = None


class CurvePoint(Part):
    """Quality at one number of training questions, and its difference from retrieval."""

    size: int
    score: Estimate | None
    against: Pair | None = None


class LearningCurve(Part):
    """A tuned system on fewer training questions, and the first size at which it is not below retrieval."""

    system: str
    metric: str
    rows: tuple[CurvePoint, ...]
    retrieval: str | None
    retrieval_score: Estimate | None
    crossing: int | None


class StyleRow(Part):
    """House style of one system."""

    system: str
    form: Estimate | None
    content: Estimate | None


class ForgettingRow(Part):
    """What a tuned model reads as well as the untuned one, on the same passages."""

    system: str
    stratum: str
    before: Estimate | None
    after: Estimate | None
    difference: Pair | None


class RobustnessRow(Part):
    """A reader under one setting of the passages that it is shown."""

    reader: str
    what: str
    value: str | int
    measure: str
    score: Estimate | None


class ProvenanceRow(Part):
    """Whether the source of an answer can be shown, and is a gold passage."""

    system: str
    shows: bool
    precision: Estimate | None
    recall: Estimate | None


class RecallRow(Part):
    """Recall of an index under one search parameter, and what that does to the answers."""

    system: str
    what: str
    value: int
    index_recall: Estimate | None
    score: Estimate | None
    p50_s: float | None


class Found(Part):
    """Part of what an experiment found. One of the user's own may say more: further keys are kept."""

    model_config = ConfigDict(extra="allow")


class Filtered(Part):
    """A search among a tenth of the vectors."""

    recall: float
    p50_s: float


class Churn(Found):
    """What the experiment on an index by itself found; None where its library does not do it, or older runs did not
    ask."""

    index: str = "hnswlib"

    rounds: int
    share: float
    vectors: int
    queries: int
    k: int
    effort: str | None = None  # at which the recall is reached
    recall: float | None = None
    p50_s: float | None = None
    filtered: Filtered | None = None
    recall_in_place: float | None
    recall_rebuilt: float
    update_s: float | None
    rebuild_s: float
    disk_bytes: int | None = None
    disk_after_bytes: int | None = None
    server_bytes: int | None = None
    left_out: tuple[str, ...] = ()


class ChurnRow(Churn):
    """The same, with the name of its experiment."""

    system: str


class ScenarioTables(Part):
    """A table for each scenario; None where it was not run."""

    freshness: tuple[FreshnessRow, ...] | None = None
    data: LearningCurve | None = None
    style: tuple[StyleRow, ...] | None = None
    forgetting: tuple[ForgettingRow, ...] | None = None
    robustness: tuple[RobustnessRow, ...] | None = None
    provenance: tuple[ProvenanceRow, ...] | None = None
    recall: tuple[RecallRow, ...] | None = None
    churn: tuple[ChurnRow, ...] | None = None

    @property
    def any(self) -> bool:
        """Whether there is any table to show."""
        return any(getattr(self, name) for name in type(self).model_fields)


REPEATS = 1.1  # by which the peak memory of two processes may differ, where it was taken once


class SlowdownPoint(Found):
    """The ratio of QLoRA's to LoRA's step time at one number of tokens, with the 95% interval of its ranks."""

    tokens: int
    rows: int
    ratio: float
    low: float | None
    high: float | None
    pairs: int
    lora_s: float
    qlora_s: float


class SlowdownMemory(Found):
    """Peak memory of each arm, from processes of its own: the median, and each."""

    lora_bytes: int | None  # None where LoRA does not fit, and was not tried
    qlora_bytes: int
    lora_runs: tuple[int, ...] = ()
    qlora_runs: tuple[int, ...] = ()
    loading: Mapping[str, int | None] = {}  # arm -> what loading took on the GPU, told apart
    process: Mapping[str, int | None] = {}  # arm -> what NVML saw, with loading and with what torch does not see

    @property
    def runs(self) -> int:
        """How often the memory of each arm was taken."""
        return max(1, min(len(self.lora_runs), len(self.qlora_runs)))

    @property
    def ratio(self) -> tuple[float, float] | None:
        """The least and the greatest ratio of QLoRA's peak to LoRA's that the processes leave open; None without
        LoRA's."""
        if self.lora_bytes is None:
            return None
        if len(self.lora_runs) > 1 and len(self.qlora_runs) > 1:
            return min(self.qlora_runs) / max(self.lora_runs), max(self.qlora_runs) / min(self.lora_runs)
        found = self.qlora_bytes / self.lora_bytes
        return found / REPEATS, found * REPEATS


class Slowdown(Found):
    """What an experiment on the QLoRA slowdown found, on one model. One of the user's own may say the memory alone."""

    model: str
    device: str
    memory: SlowdownMemory
    points: tuple[SlowdownPoint, ...] = ()
    random_weights: bool = False
    recipe: Mapping[str, JSON] = {}
    parameters: int | None = None
    memory_of: str = ""

    @property
    def whole_recipe(self) -> bool:
        """Whether QLoRA is that of its authors (norms, embeddings and head in float32), and not the base's precision
        alone."""
        return bool(self.recipe.get("upcast"))


# what an experiment found; a mapping for one of the user's own
Facts = Annotated[Slowdown | Churn | dict[str, JSON], Field(union_mode="left_to_right")]
