"""A run's scores for other tools: a table, MLflow, and the Every Eval Ever schema."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.core.errors import UserError
from bench.core.files import write_json, write_text
from bench.core.vocabulary import JSON
from bench.scoring.grade import METRICS
from bench.verdict.score import read_run, score, scores

EVERY_EVAL_EVER = "0.2.1"  # the schema of evalevalai.com's shared database that is written


def markdown(folder: Path) -> Path:
    frame = scores(folder)
    rows = [[str(c) for c in frame.columns], ["---"] * len(frame.columns)]
    rows += [
        [f"{v:.4g}" if isinstance(v, float) else str(v).replace("|", "\\|") for v in row]
        for row in frame.itertuples(index=False)
    ]
    path = folder / "scores.md"
    write_text(path, "".join(f"| {' | '.join(row)} |\n" for row in rows))
    return path


def csv(folder: Path) -> Path:
    path = folder / "scores.csv"
    scores(folder).to_csv(path, index=False)
    return path


def json(folder: Path) -> Path:
    path = folder / "scores.table.json"
    scores(folder).to_json(path, orient="records", indent=1)
    return path


def parquet(folder: Path) -> Path:
    path = folder / "scores.parquet"
    scores(folder).to_parquet(path, index=False)
    return path


def every_eval_ever(folder: Path) -> Path:
    """One JSON file a system in `every_eval_ever/`, of the schema's version 0.2.1. Returns the folder."""
    run, found = read_run(folder), score(folder)
    place = folder / "every_eval_ever"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name, s in found["systems"].items():
        if s["status"] != "failed" and any(s["scores"].values()):
            write_json(place / f"{name}.json", _evaluation(name, s, run))
    return place


def _evaluation(name: str, s: JSON, run: JSON) -> dict[str, JSON]:
    config, versions = run["systems"][name]["config"], run["environment"]["versions"]
    model, started = config["model"]["name"], str(run["started"])
    generation = config["generation"]
    results = [
        {
            "evaluation_name": f"{run['dataset']['name']}: {METRICS[m][0]}",
            "source_data": {
                "dataset_name": run["dataset"]["name"], "source_type": "other",
                "additional_details": {"sha256": run["dataset"]["digest"], "questions": str(run["dataset"]["test"])},
            },
            "metric_config": {
                "evaluation_description": METRICS[m][0], "lower_is_better": not METRICS[m][1], "score_type": "continuous",
                "min_score": 0.0, "max_score": 1.0,
            },
            "score_details": {
                "score": e["mean"],
                "uncertainty": {
                    "confidence_interval": {"lower": e["low"], "upper": e["high"], "confidence_level": 0.95, "method": e["method"]},
                    "num_samples": e["n"],
                },
            },
            "generation_config": {
                "generation_args": {"temperature": 0.0, "max_tokens": generation["max_new_tokens"]},
                "additional_details": {"system": name, "kind": s["kind"], "precision": s["precision"]},
            },
        }
        for m, e in s["scores"].items()
        if e
    ]  # fmt: skip
    return {
        "schema_version": EVERY_EVAL_EVER, "evaluation_id": f"{run['dataset']['name']}/{model}/{name}/{started}",
        "evaluation_timestamp": started, "retrieved_timestamp": str(time.time()),
        "source_metadata": {
            "source_name": f"ragtune {run['name']}", "source_type": "evaluation_run", "source_organization_name": "unknown",
            "evaluator_relationship": "other", "additional_details": {"spec_sha256": run["spec_digest"]},
        },
        "eval_library": {"name": "ragtune", "version": versions.get("ragtune") or "unknown"},
        "model_info": {
            "name": name, "id": model, "inference_platform": "endpoint" if s["endpoint"] else "local",
            **({} if s["endpoint"] else {"inference_engine": {"name": "transformers", "version": versions.get("transformers") or "unknown"}}),
            "additional_details": {"kind": s["kind"], "seeds": str(s["seeds"]), "digest": str(config["model"].get("digest"))},
        },
        "evaluation_results": results,
    }  # fmt: skip


def mlflow(folder: Path) -> str:
    """A parent run with the files, and a nested run a system with its parameters and scores. Returns the parent's id.

    Where they go is MLflow's own: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME. Raises UserError without MLflow.
    """
    try:
        import mlflow as tracking
    except ImportError:
        raise UserError(
            "MLflow is not installed.", where="--format mlflow", remedy="pip install 'ragtune[mlflow]'"
        ) from None
    run, found = read_run(folder), score(folder)
    with tracking.start_run(run_name=run["name"]) as parent:
        tracking.set_tags({"ragtune.spec": run["spec_digest"], "ragtune.dataset": run["dataset"]["digest"]})
        tracking.set_tag("ragtune.verdict", found["recommendation"]["sentence"])
        for file in ("run.json", "scores.json", "index.html"):
            if (folder / file).exists():
                tracking.log_artifact(str(folder / file))
        for name, s in found["systems"].items():
            if s["status"] == "failed":
                continue
            with tracking.start_run(run_name=name, nested=True):
                tracking.log_params({k: s[k] for k in ("kind", "precision", "seeds", "device")})
                tracking.log_metrics(_metrics(s))
        return str(parent.info.run_id)


def _metrics(s: JSON) -> dict[str, float]:
    quality = {f"{m}.{b}": e[b] for m, e in s["scores"].items() if e for b in ("mean", "low", "high")}
    took = {
        "latency_p50_s": s["speed"]["p50_s"], "build_s": s["build"]["total_s"], "train_s": s["build"]["train_s"],
        "peak_rss_bytes": s["memory"]["peak_rss_bytes"], "peak_gpu_allocated_bytes": s["memory"]["peak_gpu_allocated_bytes"],
    }  # fmt: skip
    return {k: float(v) for k, v in {**quality, **took}.items() if v is not None}


FORMATS: dict[str, Callable[[Path], Any]] = {
    "markdown": markdown, "csv": csv, "json": json, "parquet": parquet, "mlflow": mlflow, "every-eval-ever": every_eval_ever,
}  # fmt: skip
