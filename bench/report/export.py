"""A run's scores for other tools: a table, MLflow, and the Every Eval Ever schema."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core import display, media
from bench.core.errors import UserError
from bench.core.files import part_of, write_json, write_text
from bench.core.vocabulary import JSON
from bench.execution.run_file import RunFile, read_run
from bench.metrics.registry import MEASURES
from bench.report import frames
from bench.scoring.schema import MeasuredSystem, Score
from bench.verdict.score import frame as frame_of
from bench.verdict.score import score, scores

if TYPE_CHECKING:
    import pandas

EVERY_EVAL_EVER = "0.3.0"  # the schema of evalevalai.com's shared database that is written


def markdown(folder: Path) -> Path:
    """scores.md: the frame as a Markdown table."""
    frame = scores(folder)
    rows = [[str(c) for c in frame.columns], ["---"] * len(frame.columns)]
    rows += [
        ["" if v is None or v != v else f"{v:.4g}" if isinstance(v, float) else media.markdown(str(v)) for v in row]
        for row in frame.itertuples(index=False)
    ]
    path = folder / "scores.md"
    write_text(path, "".join(f"| {' | '.join(row)} |\n" for row in rows))
    return path


def _frames(folder: Path) -> dict[str, pandas.DataFrame]:
    """name -> frame: every score, every other figure, every pair."""
    found = score(folder)
    return {"scores": frame_of(found), "figures": frames.figures(found), "pairs": frames.pairs(found)}


def csv(folder: Path) -> Path:
    """scores.csv, and figures.csv and pairs.csv beside it."""
    for name, frame in _frames(folder).items():
        safe = frame.map(lambda v: media.csv(v) if isinstance(v, str) else v)
        write_text(folder / f"{name}.csv", safe.to_csv(index=False))
    return folder / "scores.csv"


def json(folder: Path) -> Path:
    """scores.table.json, and those of figures and pairs beside it: one object a row."""
    for name, frame in _frames(folder).items():
        write_text(folder / f"{name}.table.json", frame.to_json(orient="records", indent=1))
    return folder / "scores.table.json"


def parquet(folder: Path) -> Path:
    """scores.parquet, and figures.parquet and pairs.parquet beside it."""
    for name, frame in _frames(folder).items():
        path = folder / f"{name}.parquet"
        frame.to_parquet(part_of(path), index=False)
        os.replace(part_of(path), path)  # a link is replaced, and what it names stays
    return folder / "scores.parquet"


def every_eval_ever(folder: Path) -> Path:
    """One JSON file a system in `every_eval_ever/`, of the schema's version 0.3.0. Returns the folder."""
    run, found = read_run(folder), score(folder)
    target = folder / "every_eval_ever"
    if target.is_symlink():
        target.unlink()
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name, system in found.measured.items():
        if any(system.scores.values()):
            write_json(target / f"{name}.json", _evaluation(name, system, run))
    return target


def _evaluation(name: str, system: MeasuredSystem, run: RunFile) -> dict[str, JSON]:
    """One system as an evaluation of that schema."""
    model, versions = run.systems[name].model, run.environment.versions
    called = display.model(model.name)
    results = [_result(name, measure, found, system, run) for measure, found in system.scores.items() if found]
    engine = {"name": "transformers", "version": versions.get("transformers") or "unknown"}
    details = {
        "kind": system.kind,
        "seeds": str(system.seeds),
        "digest": str(model.digest),
        "deployment_type": "unknown" if system.endpoint else "self_deployed",
        "model_availability": "open_weights" if model.revision or display.is_bundled(model.name) else "unknown",
    }
    return {
        "schema_version": EVERY_EVAL_EVER,
        "evaluation_id": f"{run.dataset.name}/{called}/{name}/{run.started}",
        "evaluation_timestamp": str(run.started),
        "retrieved_timestamp": str(time.time()),
        "source_metadata": {
            "source_name": f"ragtune {run.name}",
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
            "additional_details": {"spec_sha256": run.spec_digest},
        },
        "eval_library": {"name": "ragtune", "version": versions.get("ragtune") or "unknown"},
        "model_info": {
            "name": name,
            "id": called,
            "inference_platform": "endpoint" if system.endpoint else "local",
            **({} if system.endpoint else {"inference_engine": engine}),
            "additional_details": details,
        },
        "evaluation_results": results,
    }


def _result(name: str, measure: str, found: Score, system: MeasuredSystem, run: RunFile) -> dict[str, JSON]:
    """One measure of a system as a result of that schema."""
    declared = MEASURES[measure]
    return {
        "evaluation_name": f"{run.dataset.name}: {declared.title}",
        "source_data": {
            "dataset_name": run.dataset.name,
            "source_type": "other",
            "additional_details": {"sha256": run.dataset.digest, "questions": str(run.dataset.test)},
        },
        "metric_config": {
            "evaluation_description": declared.title,
            "lower_is_better": not declared.higher_is_better,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
        },
        "score_details": {
            "score": found.mean,
            "uncertainty": {
                "confidence_interval": {
                    "lower": found.low,
                    "upper": found.high,
                    "confidence_level": 0.95,
                    "method": found.method,
                },
                "num_samples": found.n,
            },
        },
        "generation_config": {
            "generation_args": {"temperature": 0.0, "max_tokens": run.systems[name].generation.max_new_tokens},
            "additional_details": {"system": name, "kind": system.kind, "precision": system.precision},
        },
    }


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
    with tracking.start_run(run_name=run.name) as parent:
        tracking.set_tags({"ragtune.spec": run.spec_digest, "ragtune.dataset": run.dataset.digest})
        tracking.set_tag("ragtune.verdict", found.recommendation.sentence)
        for file in ("run.json", "scores.json", "index.html"):
            if (folder / file).exists():
                tracking.log_artifact(str(folder / file))
        for name, system in found.measured.items():
            with tracking.start_run(run_name=name, nested=True):
                tracking.log_params({k: getattr(system, k) for k in ("kind", "precision", "seeds", "device")})
                tracking.log_metrics(_metrics(system))
        return str(parent.info.run_id)


def _metrics(system: MeasuredSystem) -> dict[str, float]:
    """The figures of a system, as MLflow takes them."""
    quality = {
        f"{measure}.{end}": getattr(found, end)
        for measure, found in system.scores.items()
        if found
        for end in ("mean", "low", "high")
    }
    took = {
        "latency_p50_s": system.speed.p50_s,
        "build_s": system.build.total_s,
        "train_s": system.build.train_s,
        "peak_rss_growth_bytes": system.memory.peak_rss_growth_bytes,
        "peak_gpu_allocated_bytes": system.memory.peak_gpu_allocated_bytes,
    }
    return {k: float(v) for k, v in {**quality, **took}.items() if v is not None}


TABLES: dict[str, Callable[[Path], Path]] = {
    "scores.md": markdown,
    "scores.csv": csv,
    "scores.table.json": json,
    "scores.parquet": parquet,
}


def renew(folder: Path) -> None:
    """Write those tables anew that lie beside a run, so that they say what its page says."""
    for name, write in TABLES.items():
        if (folder / name).exists():
            write(folder)


FORMATS: dict[str, Callable[[Path], Any]] = {
    "markdown": markdown,
    "csv": csv,
    "json": json,
    "parquet": parquet,
    "mlflow": mlflow,
    "every-eval-ever": every_eval_ever,
}
