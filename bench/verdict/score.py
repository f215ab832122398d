"""Records to scores: every system with intervals, every pair, the scenarios, the claims, and what follows from them.

Reads the files of a run and nothing else.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.digest import digest, file_digest
from bench.core.errors import UserError
from bench.core.files import read_json, read_jsonl, write_json
from bench.core.vocabulary import JSON, Record, read_record
from bench.scoring import judge_stage, resources
from bench.scoring.grade import METRICS, Column, Values, columns, headline, per_question
from bench.spec.model import Needs, Prices, Volumes
from bench.spec.scenarios import Scenarios
from bench.stats import comparisons
from bench.verdict import claims, disagreements, recommendation, scenario_tables

if TYPE_CHECKING:
    import pandas

VERSION = 6


def score(folder: Path) -> dict[str, JSON]:
    """Score a run and write scores.json; what is already scored from these very files is read back.

    Raises UserError where the folder holds no run.
    """
    about = read_run(folder)
    records_path = folder / "records.jsonl"
    if not records_path.exists():
        raise UserError("this run has no records yet.", where=str(folder), remedy="Finish it with `ragtune run`.")
    if "cells" not in about:
        raise UserError(
            "this run was stopped before it ended.", where=str(folder), remedy="Finish it with `ragtune run`."
        )
    asked = [about["spec"].get(k) for k in ("prices", "volumes", "needs", "margin", "judge")]
    files = [
        file_digest(f)
        for f in (records_path, *(folder / n for n in judge_stage.FILES), folder / "judge.json")
        if f.exists()
    ]
    source = digest([VERSION, about["identity"], about["cells"], asked, files])
    if (folder / "scores.json").exists() and (known := read_json(folder / "scores.json")).get("source") == source:
        return dict(known)
    found = graded(folder)
    scores = {"schema_version": 1, "version": VERSION, "source": source, "run": about["name"], **found.everything}
    write_json(folder / "scores.json", scores)
    return scores


def graded(folder: Path) -> Scored:
    """A run's records graded, with what its judges said. Raises UserError where the folder holds no run."""
    return Scored(read_run(folder), records_of(folder), judge_stage.verdicts(folder), judge_stage.told(folder))


@dataclass(frozen=True)
class Scored:
    """A run's records graded: what every later stage reads."""

    run: Mapping[str, Any]
    records: Mapping[str, list[Record]]  # by cell
    verdicts: Mapping[tuple[str, str], Mapping[str, Any]]  # (cell, question) -> metric -> row
    judge: Mapping[str, Any] | None

    @cached_property
    def columns(self) -> dict[str, dict[str, Column]]:
        """system -> metric -> column, of the systems that finished."""
        found = {}
        for name, entry in self.run["systems"].items():
            cells = {c: cell for c, cell in self.done(name).items() if "facts" not in cell}
            if cells:
                rows = [
                    (self.records[c], self.values(c, entry["config"], cell["index_recall"]))
                    for c, cell in cells.items()
                ]
                found[name] = columns(rows)
        return found

    def values(self, cell: str, config: Mapping[str, Any], index_recall: Mapping[str, float] | None) -> list[Values]:
        """The values of each record of a cell, the judge's among them."""
        rows = per_question(self.records[cell], config, index_recall)
        judged = [self.verdicts.get((cell, r.question), {}) for r in self.records[cell]]
        return [{**row, **{m: v["value"] for m, v in j.items()}} for row, j in zip(rows, judged, strict=True)]

    def failed_verdicts(self, name: str) -> dict[str, int]:
        """metric -> verdicts that failed, of one system."""
        mine = self.done(name)
        return Counter(m for (c, _), j in self.verdicts.items() if c in mine for m, v in j.items() if v["error"])

    @cached_property
    def latency(self) -> dict[str, dict[str, float]]:
        """system -> question -> seconds of those answered alone, by the first seed."""
        return {
            n: {r.question: r.latency_s for r in self.records[next(iter(self.done(n)))] if r.latency_s is not None}
            for n in self.columns
        }

    @cached_property
    def shows(self) -> frozenset[str]:
        """The systems whose answers come with the passages that they were read from."""
        return frozenset(
            n for n in self.columns if any(r.answer.hits is not None for c in self.done(n) for r in self.records[c])
        )

    def done(self, name: str) -> dict[str, Any]:
        return {c: cell for c, cell in self.run["cells"].items() if cell["system"] == name and cell["status"] == "done"}

    @cached_property
    def everything(self) -> dict[str, JSON]:
        named = {n: e for n, e in self.run["systems"].items() if not e.get("scenario")}
        experiments = {n: [c["facts"] for c in self.done(n).values() if "facts" in c] for n in self.run["systems"]}
        whole = {n: _system(n, self) for n in self.run["systems"] if not experiments[n]}
        systems = {n: s for n, s in whole.items() if n in named}
        metric = self.run["spec"]["needs"]["metric"] or headline(self.columns)
        pairs = compared({n: self.columns[n] for n in systems if n in self.columns}, self.run["spec"]["margin"])
        evidence = scenario_tables.Evidence(
            self.run, whole, self.columns, {n: f for n, f in experiments.items() if f}, metric, self.latency, self.shows
        )
        scenarios = scenario_tables.scenarios(evidence)
        first = {n: self.records[next(iter(self.done(n)))] for n in systems if n in self.columns}
        shown = (first, self.columns, metric, self.run["spec"]["prompt"]["abstain"])
        return {
            "metrics": {m: t for m, (t, _) in METRICS.items()}, "headline": metric, "systems": systems, "compared": pairs,
            "leaks": leaked(self.run), "judge": self.judge, "scenarios": scenarios, "experiments": evidence.experiments, "claims": claims.evaluate(evidence),
            "recommendation": recommendation.recommend(evidence),
            "questions": disagreements.disagreements(*shown), "outcomes": disagreements.outcomes(*shown),
        }  # fmt: skip


def compared(found: Mapping[str, Mapping[str, Column]], margin: float | None) -> dict[str, list[JSON]]:
    """metric -> every pair of systems, on the questions that all of them have; one family a metric."""
    rows = {}
    for metric in METRICS:
        having = {n: c[metric] for n, c in found.items() if metric in c}
        if len(having) > 1 and (panel := scenario_tables.panel(having)) is not None:
            rows[metric] = [asdict(p) for p in comparisons.compare(panel, margin=margin)]
    return rows


def records_of(folder: Path) -> dict[str, list[Record]]:
    """The records of a run, by cell."""
    by_cell: dict[str, list[Record]] = defaultdict(list)
    for _, row in read_jsonl(folder / "records.jsonl"):
        by_cell[row["cell"]].append(read_record(row))
    return by_cell


def read_run(folder: Path) -> dict[str, Any]:
    if not (folder / "run.json").exists():
        raise UserError(
            "no run here.",
            where=str(folder),
            remedy="Give a folder that `ragtune run` wrote, such as reports/quickstart.",
        )
    about = dict(read_json(folder / "run.json"))
    blocks = {
        "volumes": Volumes().model_dump(),
        "needs": Needs().model_dump(),
        "margin": None,
        "scenarios": Scenarios().model_dump(),
    }
    prices = Prices().model_dump() | about["spec"].get("prices", {})
    return about | {"spec": blocks | about["spec"] | {"prices": prices}}  # an older ragtune's run has not all of them


def leaked(run: Mapping[str, Any]) -> dict[str, int]:
    """How many test questions training has seen, in all and in each way."""
    found = run.get("leaks") or {}
    return {"all": len(found), **Counter(how for ways in found.values() for how in ways)}


def estimates(found: Mapping[str, Column], questions: int, leaks: Collection[str]) -> dict[str, JSON]:
    """metric -> estimate over all questions, and over each stratum; None where the metric does not apply.

    `coverage` is the share of the questions asked that the metric could score; `clean` is over those that training
    has not seen, None where it has seen none.
    """
    told: dict[str, JSON] = dict.fromkeys(METRICS)
    for m, column in found.items():
        strata = {s: scenario_tables.told(column.of(s)) for s in sorted(set(column.strata))}
        clean = column.only([i for i, q in enumerate(column.questions) if q not in leaks]) if leaks else None
        told[m] = {
            **(scenario_tables.told(column) or {}), "coverage": len(column.questions) / questions, "strata": strata,
            "clean": scenario_tables.told(clean),
        }  # fmt: skip
    return told


def doubts(name: str, scored: Scored) -> dict[str, dict[str, JSON]]:
    """metric -> what a judge's figure rests on: failed verdicts, the bounds they leave, and whether it decides anything.

    At worst every failed verdict is a 0, at best a 1. A metric is not decisive where too many failed, or where its
    agreement with human labels is too low.
    """
    settings = scored.run["spec"].get("judge")
    if not settings or not scored.judge:
        return {}
    told: dict[str, dict[str, JSON]] = {}
    failed = scored.failed_verdicts(name)
    for m in settings["metrics"]:
        column, lost = scored.columns[name].get(m), failed.get(m, 0) / max(1, len(scored.done(name)))
        kept = len(column.questions) if column else 0
        if not kept and not lost:
            continue
        total = float(column.values.mean()) * kept if column else 0.0
        calibration = scored.judge["calibration"].get(m)
        demoted = bool(calibration and calibration["demoted"])
        many = lost / (kept + lost) > settings["max_failed"]
        told[m] = {
            "failed": lost, "bounds": [total / (kept + lost), (total + lost) / (kept + lost)],
            "demoted": demoted, "decisive": not (demoted or many),
        }  # fmt: skip
    return told


def _system(name: str, scored: Scored) -> dict[str, JSON]:
    """One system over its seeds."""
    run = scored.run
    entry, whole = run["systems"][name], scored.done(name)
    failed = {c: cell["reason"] for c, cell in run["cells"].items() if cell["system"] == name and c not in whole}
    control = entry["kind"] in ("closed_book", "oracle") or entry.get("privileged", False)
    head = {
        "kind": entry["kind"], "control": control, "precision": entry["config"]["precision"], "seeds": len(whole), "failed": failed,
        "trained": "tuning" in entry["config"], "scenario": entry.get("scenario"),
    }  # fmt: skip
    if not whole:
        return {**head, "status": "failed", "n": 0}
    records = [r for c in whole for r in scored.records[c]]
    n = len(scored.records[next(iter(whole))])
    builds = [resources.built(cell) for cell in whole.values()]
    quick = resources.speed(records)
    first = next(iter(whole.values()))
    build = {k: resources.middle(b[k] for b in builds) for k in builds[0]}
    memory = {
        k: resources.worst(cell["memory"][k] for cell in whole.values())
        for k in first["memory"]
        if k.endswith("_bytes") and "phase" not in k
    }
    found = scored.columns[name]
    return {
        **head, "status": "partly failed" if failed else "done", "n": n, "errors": sum(bool(r.answer.error) for r in records),
        "truncated": sum(r.answer.truncated for r in records), "scores": estimates(found, n, run.get("leaks") or {}), "doubts": doubts(name, scored),
        "seed_em": found["em"].values.mean(1).tolist() if "em" in found else [], "speed": quick, "build": build,
        "memory": {**memory, "weights_bytes": first["notes"].get("weights_bytes"), "parameters": first["notes"].get("parameters")},
        "tokens": {"prompt": resources.mean(r.answer.prompt_tokens for r in records), "completion": resources.mean(r.answer.completion_tokens for r in records)},
        "cost": resources.cost(build, quick, records, run["spec"]["prices"], first["notes"].get("device") == "cuda"),
        "limits": resources.limits(first, build, quick, run), "flips": first.get("flips"), "refresh_s": resources.middle(cell.get("refresh_s") for cell in whole.values()), "device": first["notes"].get("device"),
        "endpoint": bool(entry["config"]["model"].get("base_url")), "cell_s": resources.middle(cell["ended"] - cell["started"] for cell in whole.values()),
    }  # fmt: skip


def scores(folder: Path | str) -> pandas.DataFrame:
    """The scores of a run as a frame: one row for each system, metric and stratum (`all` for the whole)."""
    import pandas

    rows = []
    for name, system in score(Path(folder))["systems"].items():
        for metric, found in (system.get("scores") or {}).items():
            if found is None:
                continue
            for stratum, part in {"all": found, **found["strata"]}.items():
                rows.append(
                    {
                        "system": name,
                        "metric": metric,
                        "stratum": stratum,
                        **{k: part[k] for k in ("mean", "low", "high", "n", "clusters", "method")},
                    }
                )
    return pandas.DataFrame(rows)
