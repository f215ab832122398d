"""Records to scores: per question, then per system with intervals. Reads the files of a run and nothing else."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import stats
from bench.digest import digest, file_digest
from bench.errors import UserError
from bench.files import read_json, read_jsonl, write_json
from bench.metrics import grounding, text
from bench.metrics import retrieval as relevance
from bench.types import JSON, Record
from bench.worker import read_record

if TYPE_CHECKING:
    import pandas

VERSION = 3
Values = dict[str, float | None]  # metric -> value of one question; None: does not apply

# metric -> (title, whether higher is better)
METRICS: dict[str, tuple[str, bool]] = {
    "em": ("Exact match", True),
    "f1": ("F1", True),
    "contains": ("Containment", True),
    "rouge_l": ("ROUGE-L", True),
    "label_accuracy": ("Label accuracy", True),
    "form": ("House style: form", True),
    "content": ("House style: content", True),
    "updated_em": ("Exact match after the update", True),
    "stale": ("Stale after the update", False),
    "abstains_rightly": ("Abstains when it should", True),
    "abstains_wrongly": ("Abstains when it should not", False),
    "k_precision": ("K-Precision", True),
    "citation_precision": ("Citation precision", True),
    "citation_recall": ("Citation recall", True),
    "recall_at_k": ("Recall@k", True),
    "mrr": ("MRR", True),
    "ndcg": ("nDCG@k", True),
    "index_recall": ("Index recall", True),
}


def quality(r: Record, abstain: Sequence[str]) -> Values:
    """How right the answer is. A failed question is wrong; a question without reference is not scored."""
    if r.answers is None:
        return {}
    said = "" if r.answer.error else r.answer.text
    silent = text.abstains(said, abstain) and not r.answer.error
    if not r.answers:
        right = float(silent)
        return {"em": right, "f1": right, "abstains_rightly": right}
    if r.answer.error:
        em = f1 = rouge = inside = 0.0
    else:
        (em, f1), rouge, inside = (
            text.squad(said, r.answers),
            text.rouge_l(said, r.answers),
            text.contains(said, r.answers),
        )
    values: Values = {"em": em, "f1": f1, "contains": inside, "rouge_l": rouge, "abstains_wrongly": float(silent)}
    if r.choices:
        values["label_accuracy"] = float(not r.answer.error and text.label(said, r.choices) in r.answers)
    if r.form:
        values["form"] = float(not r.answer.error and text.matches(said, r.form))
        values["content"] = text.holds(said, r.facts)
    return values


def fresh(r: Record) -> Values:
    """What it says once the corpus was updated: the new answer, or still the old one."""
    if r.later is None or not r.updated or not r.answers:
        return {}
    said = "" if r.later.error else r.later.text
    right = text.squad(said, r.updated)[0]
    return {"updated_em": right, "stale": text.squad(said, r.answers)[0] if not right else 0.0}


def grounded(r: Record, abstain: Sequence[str]) -> Values:
    """Whether the passages shown carry the answer. An abstention rests on nothing, and is not scored."""
    a = r.answer
    if a.hits is None or a.error or text.abstains(a.text, abstain):
        return {}
    shown = a.hits[: a.shown]
    values: Values = {"k_precision": grounding.k_precision(a.text, [h.text for h in shown])}
    if r.gold:
        values["citation_precision"], values["citation_recall"] = grounding.citation(a.text, shown, r.gold)
    return values


def retrieved(records: Sequence[Record], k: int) -> dict[str, Values]:
    """Relevance of the passages found, for the questions that have gold ones."""
    rows = {
        r.question: ([h.passage_id for h in r.answer.hits], r.gold)
        for r in records
        if r.answer.hits is not None and r.gold
    }
    found = relevance.measures(rows, k) if rows else {}
    return {q: {name: values[q] for name, values in found.items()} for q in rows}


def per_question(
    records: Sequence[Record], config: Mapping[str, Any], index_recall: Mapping[str, float] | None
) -> list[Values]:
    """The values of each record of one cell, in order."""
    abstain = config["prompt"]["abstain"]
    finds = "retrieval" in config and config.get("distractors") is None  # an oracle is given its passages
    relevant = retrieved(records, config["retrieval"]["k"]) if finds else {}
    rows = []
    for r in records:
        values = {**quality(r, abstain), **fresh(r), **grounded(r, abstain), **relevant.get(r.question, {})}
        if index_recall is not None:
            values["index_recall"] = index_recall[r.question]
        rows.append(values)
    return rows


@dataclass(frozen=True)
class Column:
    """One metric of one system: a value a question, with the question's cluster and stratum."""

    questions: list[str]
    values: list[float]
    clusters: list[str]
    strata: list[str]


def averaged(cells: Sequence[tuple[Sequence[Record], Sequence[Values]]]) -> dict[str, Column]:
    """metric -> column: the mean over seeds of each question, before anything is resampled."""
    seen: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    where: dict[str, Record] = {}
    for records, rows in cells:
        for r, values in zip(records, rows, strict=True):
            where[r.question] = r
            for metric, value in values.items():
                if value is not None:
                    seen[metric][r.question].append(value)
    return {
        metric: Column(
            list(by),
            [statistics.fmean(v) for v in by.values()],
            [where[q].group for q in by],
            [where[q].stratum for q in by],
        )
        for metric, by in seen.items()
    }


def estimates(columns: Mapping[str, Column]) -> dict[str, JSON]:
    """metric -> estimate over all questions, and over each stratum; None where the metric does not apply."""
    return {m: {**_estimate(columns[m], None), "strata": {s: _estimate(columns[m], s) for s in sorted(set(columns[m].strata))}} if m in columns else None
            for m in METRICS}  # fmt: skip


def _estimate(column: Column, stratum: str | None) -> dict[str, JSON]:
    kept = [i for i, s in enumerate(column.strata) if stratum in (None, s)]
    found = stats.estimate([column.values[i] for i in kept], [column.clusters[i] for i in kept])
    return asdict(found) if found else {}


def speed(records: Sequence[Record]) -> dict[str, JSON]:
    """Latency of the questions answered alone, a value a question over all seeds; throughput of those in batches."""
    alone = _by_question(records, lambda r: r.latency_s)
    first = _by_question(records, lambda r: r.first_token_s)
    each = _by_question(records, lambda r: r.per_token_s)
    batched = {(r.cell, r.batch): (r.batch_size, r.batch_s) for r in records if r.latency_s is None}
    seconds = sum(s for _, s in batched.values())
    return {
        "n": len(alone), **{f"p{p}_s": stats.percentile(alone, p) if alone else None for p in stats.SUPPORT},
        "p50_interval_s": stats.median_interval(alone), "first_token_s": statistics.median(first) if first else None,
        "per_token_s": statistics.median(each) if each else None,
        "questions_per_s": sum(n for n, _ in batched.values()) / seconds if seconds else None,
        "batched_n": len({r.question for r in records if r.latency_s is None}),
        "batch_size": max((n for n, _ in batched.values()), default=None),
    }  # fmt: skip


def _by_question(records: Sequence[Record], value: Callable[[Record], float | None]) -> list[float]:
    """One mean a question: the same question under another seed is no further sample."""
    seen: dict[str, list[float]] = defaultdict(list)
    for r in records:
        if (found := value(r)) is not None:
            seen[r.question].append(found)
    return [statistics.fmean(v) for v in seen.values()]


TRAINED = (
    "steps",
    "tokens",
    "tokens_per_s",
    "step_s",
    "trainable_parameters",
    "trials",
    "optimiser",
    "batches_sha256",
    "dev_loss",
    "truncated",
    "skipped",
)
STAGES = {"chunks": "chunk_s", "embeddings": "embed_s", "index": "index_s", "adapter": "train_s"}


def built(cell: Mapping[str, Any]) -> dict[str, JSON]:
    """What the cell's artefacts cost when they were built, whoever built them; None for stages that it has not.

    `train_s` is of the training loop alone, over all trials; what surrounds it (loading the model, encoding, saving)
    is `around_s`. A system that keeps nothing in the store is charged its own build.
    """
    seconds: dict[str, float | None] = dict.fromkeys(STAGES.values())
    for a in cell["artefacts"]:
        if a["kind"] in STAGES:
            spent = a["facts"]["train_loop_s"] if a["kind"] == "adapter" else a["build_s"]
            seconds[STAGES[a["kind"]]] = (seconds[STAGES[a["kind"]]] or 0.0) + spent
    adapters = [a for a in cell["artefacts"] if a["kind"] == "adapter"]
    tuning = cell["notes"].get("tuning") or {}
    stored = sum(a["build_s"] for a in cell["artefacts"])
    return {
        **seconds, "total_s": stored if cell["artefacts"] else cell["load_s"] if "." in cell["kind"] else 0.0,
        "around_s": sum(a["build_s"] - a["facts"]["train_loop_s"] for a in adapters) if adapters else None,
        "artefact_bytes": sum(a["bytes"] for a in cell["artefacts"]),
        "reused": sum(bool(a["hit"]) for a in cell["artefacts"]), "artefacts": len(cell["artefacts"]),
        **{k: tuning.get(k) for k in TRAINED},
        "train_peak_rss_bytes": _worst(a["memory"]["peak_rss_bytes"] for a in adapters),
        "train_peak_gpu_bytes": _worst(a["memory"]["peak_gpu_allocated_bytes"] for a in adapters),
    }  # fmt: skip


def cost(
    build: Mapping[str, Any],
    quick: Mapping[str, Any],
    records: Sequence[Record],
    prices: Mapping[str, Any],
    on_gpu: bool,
) -> dict[str, JSON]:
    """Money to build, and for a thousand questions in batches; None where the spec has no price for it."""
    tokens = prices["prompt_tokens_usd_per_million"], prices["completion_tokens_usd_per_million"]
    hourly = prices["gpu_hour_usd" if on_gpu else "cpu_hour_usd"]
    counted = [r.answer for r in records if r.answer.prompt_tokens is not None]
    served = None
    if None not in tokens and counted:
        served = (
            1000
            * sum(
                a.prompt_tokens * tokens[0] + (a.completion_tokens or 0) * tokens[1] for a in counted if a.prompt_tokens
            )
            / 1e6
            / len(counted)
        )
    elif hourly is not None and quick["questions_per_s"]:
        served = 1000 / quick["questions_per_s"] / 3600 * hourly
    return {
        "build_usd": build["total_s"] / 3600 * hourly if hourly is not None else None,
        "thousand_questions_usd": served,
    }


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
    source = digest([VERSION, about["identity"], about["cells"], about["spec"]["prices"], file_digest(records_path)])
    if (folder / "scores.json").exists() and (known := read_json(folder / "scores.json")).get("source") == source:
        return dict(known)
    by_cell = records_of(folder)
    systems = {name: _system(name, about, by_cell) for name in about["systems"]}
    scores = {
        "schema_version": 1,
        "version": VERSION,
        "source": source,
        "run": about["name"],
        "metrics": {m: t for m, (t, _) in METRICS.items()},
        "systems": systems,
    }
    write_json(folder / "scores.json", scores)
    return scores


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
    return dict(read_json(folder / "run.json"))


def _system(name: str, about: Mapping[str, Any], by_cell: Mapping[str, list[Record]]) -> dict[str, JSON]:
    """One system over its seeds."""
    mine = {c: cell for c, cell in about["cells"].items() if cell["system"] == name}
    entry = about["systems"][name]
    failed = {c: cell["reason"] for c, cell in mine.items() if cell["status"] != "done"}
    whole = {c: cell for c, cell in mine.items() if c not in failed}
    control = entry["kind"] in ("closed_book", "oracle") or entry["config"].get("distractors") is not None
    head = {
        "kind": entry["kind"],
        "control": control,
        "precision": entry["config"]["precision"],
        "seeds": len(whole),
        "failed": failed,
    }
    if not whole:
        return {**head, "status": "failed", "n": 0}
    scored = [
        (by_cell[c], per_question(by_cell[c], entry["config"], cell["index_recall"])) for c, cell in whole.items()
    ]
    records = [r for rows, _ in scored for r in rows]
    builds = [built(cell) for cell in whole.values()]
    quick = speed(records)
    first = next(iter(whole.values()))
    build = {k: _middle(b[k] for b in builds) for k in builds[0]}
    memory = {
        k: _worst(cell["memory"][k] for cell in whole.values())
        for k in first["memory"]
        if k.endswith("_bytes") and "phase" not in k
    }
    return {
        **head, "status": "partly failed" if failed else "done", "n": len(scored[0][0]), "errors": sum(bool(r.answer.error) for r in records),
        "truncated": sum(r.answer.truncated for r in records), "scores": estimates(averaged(scored)),
        "seed_em": [_seed_mean(rows) for _, rows in scored], "speed": quick, "build": build,
        "memory": {**memory, "weights_bytes": first["notes"].get("weights_bytes"), "parameters": first["notes"].get("parameters")},
        "tokens": {"prompt": _mean(r.answer.prompt_tokens for r in records), "completion": _mean(r.answer.completion_tokens for r in records)},
        "cost": cost(build, quick, records, about["spec"]["prices"], first["notes"].get("device") == "cuda"),
        "refresh_s": _middle(cell.get("refresh_s") for cell in whole.values()), "device": first["notes"].get("device"), "cell_s": _middle(cell["ended"] - cell["started"] for cell in whole.values()),
    }  # fmt: skip


def _seed_mean(rows: Sequence[Values]) -> float | None:
    return _mean(v.get("em") for v in rows)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.fmean(known) if known else None


def _middle(values: Iterable[Any]) -> Any:
    """The median over seeds of a number; the first of anything else."""
    return _reduced(values, statistics.median)


def _worst(values: Iterable[Any]) -> Any:
    return _reduced(values, max)


def _reduced(values: Iterable[Any], how: Callable[[Iterable[Any]], Any]) -> Any:
    known = [v for v in values if v is not None]
    return None if not known else how(known) if all(isinstance(v, int | float) for v in known) else known[0]


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
