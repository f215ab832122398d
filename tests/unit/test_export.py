"""What other tools are given of a run: Every Eval Ever, MLflow."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import scores_json

TEXT, NUMBER = {"type": "string"}, {"type": "number"}
STRINGS = {"type": "object", "additionalProperties": TEXT}
DETAILS = {
    "type": "object",
    "required": ["score"],
    "properties": {
        "score": NUMBER,
        "uncertainty": {
            "type": "object",
            "properties": {
                "confidence_interval": {
                    "type": "object",
                    "required": ["lower", "upper"],
                    "properties": {"lower": NUMBER, "upper": NUMBER, "confidence_level": NUMBER, "method": TEXT},
                },
                "num_samples": {"type": "integer"},
            },
            "additionalProperties": False,
        },
    },
}
RESULT = {
    "type": "object",
    "required": ["evaluation_name", "source_data", "metric_config", "score_details"],
    "properties": {
        "evaluation_name": TEXT,
        "score_details": DETAILS,
        "source_data": {
            "type": "object",
            "required": ["dataset_name", "source_type"],
            "properties": {"source_type": {"const": "other"}, "additional_details": STRINGS},
        },
        "metric_config": {
            "type": "object",
            "required": ["lower_is_better", "min_score", "max_score"],
            "properties": {"lower_is_better": {"type": "boolean"}, "score_type": {"const": "continuous"}},
        },
        "generation_config": {
            "type": "object",
            "properties": {
                "additional_details": STRINGS,
                "generation_args": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"temperature": NUMBER, "max_tokens": {"type": "integer"}},
                },
            },
        },
    },
}
REQUIRED = [
    "schema_version",
    "evaluation_id",
    "retrieved_timestamp",
    "source_metadata",
    "model_info",
    "eval_library",
    "evaluation_results",
]
SCHEMA = {
    "type": "object",
    "required": REQUIRED,
    "additionalProperties": False,
    "properties": {
        **dict.fromkeys(("schema_version", "evaluation_id", "retrieved_timestamp", "evaluation_timestamp"), TEXT),
        "source_metadata": {
            "type": "object",
            "required": ["source_type", "source_organization_name", "evaluator_relationship"],
            "properties": {
                "source_type": {"enum": ["documentation", "evaluation_run"]},
                "evaluator_relationship": {"enum": ["first_party", "third_party", "collaborative", "other"]},
                "additional_details": STRINGS,
            },
        },
        "eval_library": {"type": "object", "required": ["name", "version"]},
        "model_info": {
            "type": "object",
            "required": ["name", "id", "additional_details"],
            "properties": {
                "additional_details": STRINGS
                | {
                    "required": ["deployment_type", "model_availability"],
                    "properties": {
                        "deployment_type": {"enum": ["self_deployed", "externally_managed", "unknown"]},
                        "model_availability": {"enum": ["open_weights", "closed_weights", "unknown"]},
                    },
                }
            },
        },
        "evaluation_results": {"type": "array", "minItems": 1, "items": RESULT},
    },
}


def test_every_eval_ever(hostile: Path) -> None:
    """Against the fields that its schema 0.3.0 requires, stated anew above."""
    import jsonschema

    from bench.report.export import FORMATS

    files = sorted(FORMATS["every-eval-ever"](hostile).iterdir())
    assert [f.stem for f in files] == ["echo", "other"]
    for file in files:
        found = json.loads(file.read_text())
        jsonschema.validate(found, SCHEMA)
        em = next(r for r in found["evaluation_results"] if r["evaluation_name"].endswith("Exact match"))
        assert em["score_details"]["score"] == scores_json(hostile)["systems"][file.stem]["scores"]["em"]["mean"]


@pytest.mark.slow
@pytest.mark.network
def test_every_eval_ever_by_its_own_schema(hostile: Path, tmp_path: Path) -> None:
    """The package asks for a newer Python than ours: its schema is taken from the wheel."""
    import jsonschema

    from bench.report.export import FORMATS

    asked = [
        "download",
        "--quiet",
        "--no-deps",
        "--ignore-requires-python",
        "--dest",
        str(tmp_path),
        "every-eval-ever==0.3.0",
    ]
    got = subprocess.run([sys.executable, "-m", "pip", *asked], capture_output=True, text=True, check=False)
    if got.returncode:
        pytest.skip(f"every-eval-ever cannot be downloaded: {got.stderr.strip().splitlines()[-1:]}")
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        schema = json.loads(wheel.read("every_eval_ever/schemas/eval.schema.json"))
    for file in FORMATS["every-eval-ever"](hostile).iterdir():
        jsonschema.validate(json.loads(file.read_text()), schema)


def test_mlflow(hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the mlflow extra is not installed")
    from bench.report.export import FORMATS

    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    parent = FORMATS["mlflow"](hostile)
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    nested = {r.info.run_name: r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent}
    assert set(nested) == {"echo", "other"} and nested["echo"].data.params["kind"] == "tests.kinds.echo"
    assert nested["echo"].data.metrics["em.mean"] == scores_json(hostile)["systems"]["echo"]["scores"]["em"]["mean"]
