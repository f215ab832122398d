"""The scenario tables: what a run says beyond the one comparison of all systems."""

from __future__ import annotations

from bench.metrics.registry import title
from bench.scoring import money
from bench.scoring.grade import estimate
from bench.scoring.schema import (
    Churn,
    ChurnRow,
    CurvePoint,
    ForgettingRow,
    FreshnessRow,
    LearningCurve,
    ProvenanceRow,
    RecallRow,
    RobustnessRow,
    ScenarioTables,
    StyleRow,
)
from bench.verdict.evidence import Evidence


def scenario_tables(evidence: Evidence) -> ScenarioTables:
    """A table for each scenario that the run holds; a scenario that was not run is None."""
    return ScenarioTables(
        freshness=freshness(evidence) or None,
        data=learning_curve(evidence),
        style=style(evidence) or None,
        forgetting=forgetting(evidence) or None,
        robustness=robustness(evidence) or None,
        provenance=provenance(evidence),
        recall=recall(evidence) or None,
        churn=churn(evidence) or None,
    )


def freshness(evidence: Evidence) -> tuple[FreshnessRow, ...]:
    """Changed and unchanged facts before and after the corpus was updated, what the update takes, and, of what was
    trained anew, how it does then."""
    retrained = {scenario.of: name for name, scenario in evidence.of_scenario("freshness")}
    asked = [name for name in evidence.named if evidence.column(name, "updated_em")]
    return tuple(_freshness_row(evidence, name, retrained.get(name)) for name in asked)


def _freshness_row(evidence: Evidence, name: str, later: str | None) -> FreshnessRow:
    """`later` is the system that was trained anew after the update, where one was."""
    system, spec = evidence.named[name], evidence.run.spec
    costs = money.costs({name: system}, spec.prices, spec.volumes, evidence.retrained)[name]
    return FreshnessRow(
        system=name,
        before_em=evidence.estimate(name, "before_em"),
        updated_em=evidence.estimate(name, "updated_em"),
        stale=evidence.estimate(name, "stale"),
        kept_em=evidence.estimate(name, "kept_em"),
        refresh_s=system.refresh_s,
        refresh_usd=costs.refresh_usd,
        retrain_s=evidence.systems[later or name].build.total_s if system.trained else None,
        retrained_changed=evidence.estimate(later, "em", "changed") if later else None,
        retrained_unchanged=evidence.estimate(later, "em", "unchanged") if later else None,
    )


def learning_curve(evidence: Evidence) -> LearningCurve | None:
    """The learning curve, and the first size at which tuning is not behind retrieval, on the same questions."""
    points = {name: int(scenario.value) for name, scenario in evidence.of_scenario("data")}
    if not points:
        return None
    metric, tuned = evidence.headline, next(scenario.of for _, scenario in evidence.of_scenario("data"))
    if tuned in evidence.columns:
        points[tuned] = evidence.run.dataset.train
    columns = {name: column for name in points if (column := evidence.ranking(name, metric))}
    if not columns:
        return None
    asked = set.intersection(*(set(column.questions) for column in columns.values()))
    rivals = {
        name: column.among(asked)
        for name, system in evidence.named.items()
        if system.family == "retrieval" and (column := evidence.ranking(name, metric)) and asked & {*column.questions}
    }
    best = max(rivals, key=lambda name: rivals[name].mean, default=None)
    rows = []
    for name in sorted(columns, key=points.__getitem__):
        column = columns[name].among(asked)
        against = evidence.compared({name: column, best: rivals[best]}) if best else None
        rows.append(CurvePoint(size=points[name], score=estimate(column), against=against))
    return LearningCurve(
        system=tuned,
        metric=metric,
        rows=tuple(rows),
        retrieval=best,
        retrieval_score=estimate(rivals[best]) if best else None,
        crossing=next((row.size for row in rows if row.against and row.against.difference >= 0), None),
    )


def style(evidence: Evidence) -> tuple[StyleRow, ...]:
    """House style: form and content of each system that was asked for it."""
    return tuple(
        StyleRow(system=name, form=evidence.estimate(name, "form"), content=evidence.estimate(name, "content"))
        for name in evidence.named
        if evidence.column(name, "form")
    )


def forgetting(evidence: Evidence) -> tuple[ForgettingRow, ...]:
    """What the tuned model reads as well as the untuned one, on the same passages."""
    block = evidence.run.spec.scenarios.forgetting
    if block is None:
        return ()
    rows = []
    for name, scenario in evidence.of_scenario("forgetting"):
        for stratum in (None, "general"):
            after = evidence.column(name, evidence.headline, stratum)
            before = evidence.column(block.reader, evidence.headline, stratum)
            if after and after.questions and before:
                rows.append(
                    ForgettingRow(
                        system=scenario.of,
                        stratum=stratum or "all",
                        before=estimate(before.among(set(after.questions))),
                        after=estimate(after),
                        difference=evidence.pair(name, block.reader, evidence.headline, stratum),
                    )
                )
    return tuple(rows)


def robustness(evidence: Evidence) -> tuple[RobustnessRow, ...]:
    """Noise, position and absence of the gold passage; and passage against memory, from the updated facts."""
    rows = []
    for name, scenario in evidence.of_scenario("robustness"):
        absent = scenario.value == "absent"
        measure = "abstains_wrongly" if absent else evidence.headline
        rows.append(
            RobustnessRow(
                reader=scenario.of,
                what=scenario.what,
                value=scenario.value,
                measure="abstains" if absent else title(measure),
                score=evidence.estimate(name, measure),
            )
        )
    for name, system in evidence.named.items():
        if system.trained and name in evidence.shows and evidence.column(name, "updated_em"):
            rows += [
                _counterfactual(evidence, name, "follows the passage", "updated_em"),
                _counterfactual(evidence, name, "follows its memory", "stale"),
            ]
    return tuple(rows)


def _counterfactual(evidence: Evidence, name: str, follows: str, measure: str) -> RobustnessRow:
    score = evidence.estimate(name, measure)
    return RobustnessRow(reader=name, what="counterfactual", value=follows, measure=title(measure), score=score)


def provenance(evidence: Evidence) -> tuple[ProvenanceRow, ...]:
    """Whether the source of each answer can be shown, and is the right one."""
    return tuple(
        ProvenanceRow(
            system=name,
            shows=name in evidence.shows,
            precision=evidence.estimate(name, "citation_precision"),
            recall=evidence.estimate(name, "citation_recall"),
        )
        for name in evidence.named
    )


def recall(evidence: Evidence) -> tuple[RecallRow, ...]:
    """Index recall against the quality and the latency of answers."""
    return tuple(
        RecallRow(
            system=scenario.of,
            what=scenario.what,
            value=scenario.value,
            index_recall=evidence.estimate(name, "index_recall"),
            score=evidence.estimate(name, evidence.headline),
            p50_s=evidence.systems[name].speed.p50_s,
        )
        for name, scenario in evidence.of_scenario("recall")
    )


def churn(evidence: Evidence) -> tuple[ChurnRow, ...]:
    """An index that is updated in place against one built anew."""
    return tuple(
        ChurnRow(system=name, **facts.model_dump())
        for name, found in evidence.experiments.items()
        for facts in found
        if isinstance(facts, Churn)
    )
