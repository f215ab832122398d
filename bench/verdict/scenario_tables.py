"""The scenario tables, and the evidence that tables, claims and the recommendation are read from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench.core.vocabulary import JSON
from bench.data.after_update import CHANGED, UNCHANGED
from bench.scoring import money
from bench.scoring.grade import METRICS, Column
from bench.stats import comparisons, intervals


@dataclass(frozen=True)
class Evidence:
    """A scored run. `systems` and `columns` hold the scenarios' systems too; `experiments` are facts by name."""

    run: Mapping[str, Any]
    systems: Mapping[str, Mapping[str, Any]]
    columns: Mapping[str, Mapping[str, Column]]
    experiments: Mapping[str, list[Mapping[str, Any]]]
    headline: str
    latency: Mapping[str, Mapping[str, float]]  # system -> question -> seconds, of those answered alone
    shows: frozenset[str] = frozenset()  # the systems whose answers come with passages

    @property
    def margin(self) -> float | None:
        margin: float | None = self.run["spec"].get("margin")
        return margin

    @property
    def named(self) -> dict[str, Mapping[str, Any]]:
        """The spec's own systems that finished."""
        return {n: s for n, s in self.systems.items() if n in self.columns and not s["scenario"]}

    def of(self, scenario: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """(system, setting) of a scenario's systems that finished."""
        for n, s in self.systems.items():
            if s["scenario"] and s["scenario"]["name"] == scenario and n in self.columns:
                yield n, s["scenario"]

    def ratios(self, a: str, b: str) -> list[float]:
        """Latency of `a` over that of `b`, for each question that both answered alone."""
        mine, other = (self.latency.get(n, {}) for n in (a, b))
        return [mine[q] / other[q] for q in mine if q in other]

    def column(self, system: str, metric: str, stratum: str | None = None) -> Column | None:
        found = self.columns.get(system, {}).get(metric)
        return found.of(stratum) if found and stratum else found

    def pair(self, a: str, b: str, metric: str, stratum: str | None = None) -> comparisons.Pair | None:
        """`a` minus `b` on the questions that both have; None where they have none in common."""
        found = {n: c for n in (a, b) if (c := self.column(n, metric, stratum)) and c.questions}
        both = panel(found) if len(found) == 2 else None
        return comparisons.compare(both, margin=self.margin)[0] if both else None


def panel(having: Mapping[str, Column]) -> comparisons.Panel | None:
    """The columns on the questions that all of them have; None without any."""
    first, *others = having.values()
    seen = [set(c.questions) for c in others]
    common = [q for q in first.questions if all(q in s for s in seen)]
    if not common:
        return None
    kept = {n: c.on(common) for n, c in having.items()}
    return comparisons.Panel({n: c.values for n, c in kept.items()}, next(iter(kept.values())).clusters)


def told(column: Column | None) -> dict[str, JSON] | None:
    """A column's estimate, for a table."""
    if column is None or not column.questions:
        return None
    found = intervals.estimate(column.values, column.clusters)
    return asdict(found) if found else None


def scenarios(e: Evidence) -> dict[str, JSON]:
    """name -> table, of what the run holds; a scenario that was not run is None."""
    return {
        "freshness": freshness(e), "data": data(e), "style": style(e), "forgetting": forgetting(e),
        "robustness": robustness(e), "provenance": provenance(e), "recall": recall(e), "churn": churn(e),
    }  # fmt: skip


def freshness(e: Evidence) -> JSON:
    """Changed and unchanged facts before and after the corpus was updated, what the update takes, and, of what was
    trained anew, how it does then."""
    spent = money.costs(e.named, e.run["spec"])
    anew = {s["of"]: n for n, s in e.of("freshness")}
    rows = []
    for n, s in e.named.items():
        if not e.column(n, "updated_em"):
            continue
        later = anew.get(n)
        rows.append({
            "system": n, **{m: told(e.column(n, m)) for m in ("before_em", "updated_em", "stale", "kept_em")},
            "refresh_s": s["refresh_s"], "refresh_usd": spent[n]["refresh_usd"],
            "retrain_s": e.systems[later or n]["build"]["total_s"] if s["trained"] else None,
            **{f"retrained_{m}": told(e.column(later, "em", m)) if later else None for m in (CHANGED, UNCHANGED)},
        })  # fmt: skip
    return rows or None


def data(e: Evidence) -> JSON:
    """The learning curve, and the first size at which tuning is not behind retrieval, on the same questions."""
    points = list(e.of("data"))
    if not points:
        return None
    of = points[0][1]["of"]
    metric, asked = e.headline, e.columns[points[0][0]][e.headline].questions
    rows = [{"size": s["value"], "score": told(e.column(n, metric))} for n, s in points]
    names = [n for n, _ in points]
    if of in e.columns:
        rows.append({"size": e.run["dataset"]["train"], "score": told(e.columns[of][metric].on(asked))})
        names.append(of)
    rivals = {
        n: e.columns[n][metric].on(asked) for n, s in e.named.items() if s["kind"] == "rag" and metric in e.columns[n]
    }
    best = max(rivals, key=lambda n: float(rivals[n].values.mean()), default=None)
    crossing = None
    if best:
        for row, n in zip(rows, names, strict=True):
            both = panel({n: e.columns[n][metric].on(asked), best: rivals[best]})
            found = comparisons.compare(both, margin=e.margin)[0] if both else None
            row["against"] = asdict(found) if found else None
            if crossing is None and found and found.difference >= 0:
                crossing = row["size"]
    return {"system": of, "metric": metric, "rows": sorted(rows, key=lambda r: r["size"]), "retrieval": best,
            "retrieval_score": told(rivals[best]) if best else None, "crossing": crossing}  # fmt: skip


def style(e: Evidence) -> JSON:
    rows = [
        {"system": n, "form": told(e.column(n, "form")), "content": told(e.column(n, "content"))}
        for n in e.named
        if e.column(n, "form")
    ]
    return rows or None


def forgetting(e: Evidence) -> JSON:
    """What the tuned model reads as well as the untuned one, on the same passages."""
    rows: list[JSON] = []
    block = e.run["spec"]["scenarios"]["forgetting"]
    reader = block["reader"] if block else None
    for n, s in e.of("forgetting"):
        for stratum in (None, "general"):
            after, before = e.column(n, e.headline, stratum), e.column(reader or "", e.headline, stratum)
            if after and after.questions and before and reader:
                found = e.pair(n, reader, e.headline, stratum)
                rows.append({
                    "system": s["of"], "stratum": stratum or "all", "before": told(before.on(after.questions)),
                    "after": told(after), "difference": asdict(found) if found else None,
                })  # fmt: skip
    return rows or None


def robustness(e: Evidence) -> JSON:
    """Noise, place and absence of the gold passage; and passage against memory, from the updated facts."""
    rows: list[JSON] = []
    for n, s in e.of("robustness"):
        absent = s["value"] == "absent"
        metric = "abstains_wrongly" if absent else e.headline
        rows.append({
            "reader": s["of"], "what": s["what"], "value": s["value"],
            "measure": "abstains" if absent else METRICS[metric][0], "score": told(e.column(n, metric)),
        })  # fmt: skip
    for n, s in e.named.items():
        if s["trained"] and n in e.shows and e.column(n, "updated_em"):
            for follows, metric in (("the passage", "updated_em"), ("its memory", "stale")):
                rows.append({
                    "reader": n, "what": "counterfactual", "value": f"follows {follows}", "measure": METRICS[metric][0],
                    "score": told(e.column(n, metric)),
                })  # fmt: skip
    return rows or None


def provenance(e: Evidence) -> JSON:
    """Whether the source of each answer can be shown, and is the right one."""
    return [
        {"system": n, "shows": n in e.shows, "precision": told(e.column(n, "citation_precision")), "recall": told(e.column(n, "citation_recall"))}
        for n in e.named
    ]  # fmt: skip


def recall(e: Evidence) -> JSON:
    """Index recall against the quality and the latency of answers."""
    rows = [
        {
            "system": s["of"], "what": s["what"], "value": s["value"], "index_recall": told(e.column(n, "index_recall")),
            "score": told(e.column(n, e.headline)), "p50_s": e.systems[n]["speed"]["p50_s"],
        }
        for n, s in e.of("recall")
    ]  # fmt: skip
    return rows or None


def churn(e: Evidence) -> JSON:
    rows = [{"system": n, **facts} for n, found in e.experiments.items() for facts in found if "rounds" in facts]
    return rows or None
