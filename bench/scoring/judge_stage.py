"""The judge's stage: a run's records to verdicts, and human labels to how far the judge is to be trusted.

Writes judged.jsonl, a line for each answer and metric, and judge.json: what it took, and the calibration.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.errors import UserError
from bench.core.files import read_json, read_jsonl, write_json, write_jsonl
from bench.core.redact import hide, scrubbed
from bench.core.vocabulary import JSON, Record, read_record
from bench.metrics import text
from bench.spec.model import Entailing, Judging
from bench.stats import intervals

if TYPE_CHECKING:
    from bench.metrics.judge import Case, Judge, Verdict

Tell = Callable[[int, int], None]


def judge_run(folder: Path, *, tell: Tell | None = None) -> dict[str, JSON]:
    """Judge every answer of a run that the metrics apply to. What the cache knows is not asked again.

    Raises UserError where the run has no judge, or its key or labels are missing.
    """
    run = read_json(folder / "run.json")
    if not run["spec"].get("judge"):
        raise UserError(
            "no judge is configured.", where=str(folder), remedy="Give `judge:` in the spec: base_url, model, metrics."
        )
    settings = Judging.model_validate(run["spec"]["judge"])
    by, cache = _judge(settings), folder / "judge-cache"
    from bench.metrics import judge

    judged = _answers(folder, run["spec"]["prompt"]["abstain"])
    found = judge.judge([_case(r) for r in judged], settings.metrics, by, cache=cache, tell=tell)
    rows = [
        {"cell": r.cell, "question": r.question, "metric": m, **asdict(v)}
        for r, verdicts in zip(judged, found, strict=True)
        for m, v in verdicts.items()
        if v.value is not None or v.error
    ]
    write_jsonl(folder / "judged.jsonl", scrubbed(rows))
    told = {
        "model": settings.model, "metrics": list(settings.metrics), "verdicts": len(rows), "failed": sum(r["error"] is not None for r in rows),
        **_spent([v for verdicts in found for v in verdicts.values()], settings),
        "calibration": calibrate(settings, by, cache),
    }  # fmt: skip
    write_json(folder / "judge.json", told)
    return told


def renewed(
    folder: Path, known: Mapping[tuple[str, str], Mapping[str, JSON]], wanted: Mapping[str, Collection[str]]
) -> dict[tuple[str, str], dict[str, JSON]]:
    """The verdicts with those of some systems' metrics asked for a second time, apart from the first in the cache.

    Raises UserError where the run's spec has no judge, or its key is missing.
    """
    run = read_json(folder / "run.json")
    if not run["spec"].get("judge"):
        raise UserError("the run's spec has no judge.", where=str(folder))
    from bench.metrics import judge

    by = _judge(Judging.model_validate(run["spec"]["judge"]))
    answers = _answers(folder, run["spec"]["prompt"]["abstain"])
    told = {key: dict(row) for key, row in known.items()}
    for system, metrics in wanted.items():
        mine = [r for r in answers if r.system == system]
        found = judge.judge([_case(r) for r in mine], sorted(metrics), by, cache=folder / "judge-cache", repeat=1)
        for r, verdicts in zip(mine, found, strict=True):
            for m, v in verdicts.items():
                if v.value is not None or v.error:
                    told.setdefault((r.cell, r.question), {})[m] = {
                        "cell": r.cell,
                        "question": r.question,
                        "metric": m,
                        **asdict(v),
                    }
    return told


def _answers(folder: Path, abstain: Sequence[str]) -> list[Record]:
    """The records that say something: neither failed nor abstaining."""
    records = (read_record(row) for _, row in read_jsonl(folder / "records.jsonl"))
    return [r for r in records if not r.answer.error and not text.abstains(r.answer.text, abstain)]


def _judge(settings: Judging) -> Judge:
    if settings.api_key_env and settings.api_key_env not in os.environ:
        raise UserError(
            f"environment variable {settings.api_key_env} is not set.",
            where="judge.api_key_env",
            remedy="Set it to the endpoint's key.",
        )
    try:
        from bench.metrics.judge import Judge
    except ImportError as e:
        raise UserError(
            f"the judge needs ragas ({e}).", where="judge", remedy="Install it: pip install 'ragtune[judge]'."
        ) from e
    key = os.environ[settings.api_key_env] if settings.api_key_env else None
    hide(settings.api_key_env)
    return Judge(
        settings.base_url, settings.model, key, settings.embedding_model, dict(settings.parameters), settings.timeout_s, settings.attempts,
        settings.concurrency, settings.wait_s,
    )  # fmt: skip


def _case(r: Record) -> Case:
    from bench.metrics.judge import Case

    return Case(r.text, r.answer.text, r.answers[0] if r.answers else "", tuple(h.text for h in r.answer.held))


def _spent(verdicts: Sequence[Verdict], settings: Judging) -> dict[str, JSON]:
    """Tokens and money of the verdicts that were asked for now; what came from the cache was paid before."""
    asked = [v for v in verdicts if not v.cached]
    prompt, completion = (sum(getattr(v, k) for v in asked) for k in ("prompt_tokens", "completion_tokens"))
    prices = settings.prompt_tokens_usd_per_million, settings.completion_tokens_usd_per_million
    usd = None if prices[0] is None or prices[1] is None else (prompt * prices[0] + completion * prices[1]) / 1e6
    return {"prompt_tokens": prompt, "completion_tokens": completion, "usd": usd, "cached": len(verdicts) - len(asked)}


def calibrate(settings: Judging, by: Judge, cache: Path) -> dict[str, JSON]:
    """metric -> agreement with human labels, Cohen's kappa, how often a repeated verdict flips, and whether it is demoted.

    A label is 1 or 0; a verdict of at least one half says 1. A metric without labels is not calibrated.
    """
    if settings.labels is None:
        return {}
    from bench.metrics.judge import Case, judge

    if not Path(settings.labels).is_file():
        raise UserError(
            "no such file of labels.",
            where=settings.labels,
            remedy="Give `judge.labels` as seen from the folder that ragtune runs in.",
        )
    labels: dict[str, list[tuple[Case, int]]] = {}
    for line, row in read_jsonl(Path(settings.labels)):
        where = f"{settings.labels}:{line}"
        if row.get("metric") not in settings.metrics or row.get("label") not in (0, 1):
            raise UserError("a label needs `metric`, one of the judge's, and `label`, 0 or 1.", where=where)
        case = Case(
            row.get("user_input", ""),
            row.get("response", ""),
            row.get("reference", ""),
            tuple(row.get("retrieved_contexts", ())),
        )
        labels.setdefault(row["metric"], []).append((case, row["label"]))
    told: dict[str, JSON] = {}
    for metric, rows in labels.items():
        rounds = [judge([c for c, _ in rows], [metric], by, cache=cache, repeat=n) for n in range(settings.repeats)]
        told[metric] = agreement(
            [[v[metric].value for v in verdicts] for verdicts in rounds],
            [label for _, label in rows],
            settings.min_kappa,
        )
    return told


def agreement(rounds: Sequence[Sequence[float | None]], labels: Sequence[int], min_kappa: float) -> dict[str, JSON]:
    """Of the first round's verdicts with the labels, and of the rounds with each other. Failed verdicts are left out of
    both, and counted."""
    said = [[None if v is None else int(v >= 0.5) for v in verdicts] for verdicts in rounds]
    kept = [i for i, v in enumerate(said[0]) if v is not None]
    a, b = np.array([said[0][i] for i in kept]), np.array([labels[i] for i in kept])
    flips = [len({r[i] for r in said if r[i] is not None}) > 1 for i in kept]
    kappa = cohen(a, b) if kept else None
    drawn = np.random.default_rng(0).integers(0, len(kept), (2000, len(kept))) if kept else np.zeros((0, 0), dtype=int)
    spread = [k for d in drawn if (k := cohen(a[d], b[d])) is not None]
    low, high = np.quantile(spread, (0.025, 0.975)).tolist() if spread else (None, None)
    agree, flip = (
        intervals.estimate([float(x) for x in v], [str(i) for i in kept]) for v in ((a == b).tolist(), flips)
    )
    return {
        "n": len(kept), "failed": len(labels) - len(kept), "agreement": asdict(agree) if agree else None,
        "kappa": kappa, "kappa_low": low, "kappa_high": high, "flip_rate": asdict(flip) if flip and len(rounds) > 1 else None,
        "min_kappa": min_kappa, "demoted": kappa is None or kappa < min_kappa,
    }  # fmt: skip


def cohen(a: Any, b: Any) -> float | None:
    """Cohen's kappa of two binary raters (1960); None where both say one thing only, and it is not defined."""
    seen = float((a == b).mean())
    chance = float(a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean()))
    return None if chance == 1.0 else (seen - chance) / (1 - chance)


def entail_run(folder: Path, *, tell: Tell | None = None) -> int:
    """Whether the passages shown entail each answer, by the model that the spec names: entailed.jsonl. How many.

    Raises UserError where the run names none, or it cannot be loaded.
    """
    from bench.metrics.entailment import entailment

    run = read_json(folder / "run.json")
    if not run["spec"].get("entailment"):
        raise UserError(
            "no entailment model is named.",
            where=str(folder),
            remedy="Give `entailment:` in the spec, with the name of a folder or hub id.",
        )
    settings = Entailing.model_validate(run["spec"]["entailment"])
    kept = [r for r in _answers(folder, run["spec"]["prompt"]["abstain"]) if r.answer.hits]
    pairs = [(" ".join(h.text for h in r.answer.held), f"{r.text} {r.answer.text}") for r in kept]
    try:
        found = entailment(
            pairs, name=settings.name, revision=settings.revision, batch_size=settings.batch_size, tell=tell
        )
    except (OSError, ValueError) as e:
        raise UserError(
            f"the entailment model cannot be used: {e}",
            where="entailment.name",
            remedy="Name a cross-encoder that transformers loads.",
        ) from None
    rows = [
        {"cell": r.cell, "question": r.question, "metric": "entailment", "value": v, "error": None}
        for r, v in zip(kept, found, strict=True)
    ]
    write_jsonl(folder / "entailed.jsonl", rows)
    return len(rows)


FILES = ("judged.jsonl", "entailed.jsonl")


def verdicts(folder: Path) -> dict[tuple[str, str], dict[str, JSON]]:
    """(cell, question) -> metric -> its row, of a judged run; empty where nobody was asked."""
    found: dict[tuple[str, str], dict[str, JSON]] = {}
    for path in (folder / name for name in FILES):
        for _, row in read_jsonl(path) if path.exists() else ():
            found.setdefault((row["cell"], row["question"]), {})[row["metric"]] = row
    return found


def told(folder: Path) -> Mapping[str, JSON] | None:
    path = folder / "judge.json"
    return dict(read_json(path)) if path.exists() else None
