"""The stage of the judge: a run's records to verdicts, and human labels to trust.

Writes judged.jsonl, a line for each answer and measure, and judge.json: what the judging took, and its calibration.
What an entailment model said is read here too, from entailed.jsonl.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from bench.core.digest import file_digest
from bench.core.errors import UserError, first_error, fitted
from bench.core.files import read_json, read_jsonl, write_json, write_jsonl
from bench.core.redact import scrubbed, secret
from bench.core.vocabulary import Record, read_record
from bench.execution.run_file import RunFile, read_run
from bench.metrics.answer import silent
from bench.scoring.schema import Calibration, JudgeSummary
from bench.spec.model import Judging
from bench.stats import intervals

if TYPE_CHECKING:
    from bench.metrics.judge import Case, Judge, Judgement

Tell = Callable[[int, int], None]
FILES = ("judged.jsonl", "entailed.jsonl")


@dataclass(frozen=True)
class Said:
    """What a judge or an entailment model said of one answer: a line of a verdict file.

    `value` is None where it failed, and `error` says why.
    """

    cell: str
    question: str
    metric: str
    value: Annotated[FiniteFloat, Field(ge=-1, le=1)] | None  # a cosine may be below zero
    error: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached: bool = False


_SAID = TypeAdapter(Said)  # keys of other versions are passed over


def judge_run(folder: Path, *, tell: Tell | None = None) -> JudgeSummary:
    """Judge every answer of a run that the measures apply to. What the cache knows is not asked again.

    Raises UserError where the run has no judge, or its key or labels are missing.
    """
    run = read_run(folder)
    settings = run.spec.judge
    if settings is None:
        raise UserError(
            "no judge is configured.", where=str(folder), remedy="Give `judge:` in the spec: base_url, model, metrics."
        )
    connected, cache = _judge(settings), folder / "judge-cache"
    from bench.metrics import judge

    answers = answered(folder, run)
    found = judge.judge([_case(r) for r in answers], settings.metrics, connected, cache=cache, tell=tell)
    rows = [row for record, verdicts in zip(answers, found, strict=True) for row in _rows(record, verdicts)]
    write_jsonl(folder / "judged.jsonl", scrubbed(rows))
    calibration, taken = calibrate(settings, connected, cache)
    verdicts = [v for by_metric in found for v in by_metric.values()]
    judged = JudgeSummary(
        model=settings.model,
        metrics=settings.metrics,
        verdicts=len(rows),
        failed=sum(row.error is not None for row in rows),
        **_spent(verdicts, taken, settings),
        calibration=calibration,
        judged=file_digest(folder / "judged.jsonl"),
    )
    write_json(folder / "judge.json", judged.model_dump(mode="json"))
    return judged


def _rows(record: Record, verdicts: Mapping[str, Judgement]) -> Iterator[Said]:
    """The lines of one record; a measure that does not apply has none."""
    for metric, verdict in verdicts.items():
        if verdict.value is not None or verdict.error:
            yield Said(record.cell, record.question, metric, **asdict(verdict))


Verdicts = dict[tuple[str, str], dict[str, Said]]  # (cell, question) -> measure -> what was said


def asked_again(
    folder: Path, known: Mapping[tuple[str, str], Mapping[str, Said]], wanted: Mapping[str, Collection[str]]
) -> Verdicts:
    """The verdicts with those of some systems' measures asked for a second time, apart from the first in the cache.

    Raises UserError where the run's spec has no judge, or its key is missing.
    """
    run = read_run(folder)
    if run.spec.judge is None:
        raise UserError("the run's spec has no judge.", where=str(folder))
    from bench.metrics import judge

    connected = _judge(run.spec.judge)
    answers = answered(folder, run)
    found: Verdicts = {key: dict(row) for key, row in known.items()}
    for system, metrics in wanted.items():
        mine = [r for r in answers if r.system == system]
        cache = folder / "judge-cache"
        again = judge.judge([_case(r) for r in mine], sorted(metrics), connected, cache=cache, repeat=1)
        for record, verdicts in zip(mine, again, strict=True):
            for said in _rows(record, verdicts):
                found.setdefault((record.cell, record.question), {})[said.metric] = said
    return found


def answered(folder: Path, run: RunFile) -> list[Record]:
    """The records that say something: neither failed nor abstaining."""
    abstain = run.spec.prompt.abstain
    records = (read_record(row) for _, row in read_jsonl(folder / "records.jsonl"))
    said = (r for r in records if not r.answer.error and r.answer.text.strip())
    return [r for r in said if not silent(r.answer, abstain)]


def _judge(settings: Judging) -> Judge:
    key = secret(settings.api_key_env, "judge.api_key_env")
    try:
        from bench.metrics.judge import Judge
    except ImportError as e:
        raise UserError(
            f"the judge needs ragas ({e}).", where="judge", remedy="Install it: pip install 'ragtune[judge]'."
        ) from e
    return Judge(
        settings.base_url,
        settings.model,
        key,
        settings.embedding_model,
        dict(settings.parameters),
        settings.timeout_s,
        settings.attempts,
        settings.concurrency,
        settings.wait_s,
    )


def _case(record: Record) -> Case:
    from bench.metrics.judge import Case

    reference = record.answers[0] if record.answers else ""
    return Case(record.text, record.answer.text, reference, tuple(h.text for h in record.answer.held))


def _spent(verdicts: Sequence[Judgement], labelled: Sequence[Judgement], settings: Judging) -> dict[str, Any]:
    """Tokens and money of all verdicts and of those on labelled cases, those too that were known before: they were paid
    for when they were asked."""
    whole = [*verdicts, *labelled]
    prompt = sum(v.prompt_tokens for v in whole)
    completion = sum(v.completion_tokens for v in whole)
    prices = settings.prompt_tokens_usd_per_million, settings.completion_tokens_usd_per_million
    usd = None if prices[0] is None or prices[1] is None else (prompt * prices[0] + completion * prices[1]) / 1e6
    known = sum(v.cached for v in verdicts)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "usd": usd, "cached": known}


def calibrate(settings: Judging, connected: Judge, cache: Path) -> tuple[dict[str, Calibration], list[Judgement]]:
    """(measure -> agreement with human labels, Cohen's kappa, how often a repeated verdict flips, whether it is
    demoted; and every verdict that this took).

    A label is 1 or 0; a verdict of at least one half says 1. A measure without labels is not calibrated.
    """
    if settings.labels is None:
        return {}, []
    from bench.metrics.judge import judge

    found: dict[str, Calibration] = {}
    taken: list[Judgement] = []
    for metric, rows in _labels(settings, Path(settings.labels)).items():
        cases, labels = [case for case, _ in rows], [label for _, label in rows]
        repeats = range(settings.repeats)
        rounds = [judge(cases, [metric], connected, cache=cache, repeat=n) for n in repeats]
        taken += [v[metric] for verdicts in rounds for v in verdicts]
        said = [[v[metric].value for v in verdicts] for verdicts in rounds]
        found[metric] = agreement(said, labels, settings.min_kappa)
    return found, taken


def _labels(settings: Judging, path: Path) -> dict[str, list[tuple[Case, int]]]:
    """measure -> labelled cases of a file. Raises UserError naming the line."""
    from bench.metrics.judge import Case, applies, needed

    if not path.is_file():
        raise UserError(
            "no such file of labels.",
            where=str(path),
            remedy="Give `judge.labels` as seen from the folder that ragtune runs in.",
        )
    labels: dict[str, list[tuple[Case, int]]] = {}
    for line, row in read_jsonl(path):
        if row.get("metric") not in settings.metrics or row.get("label") not in (0, 1):
            raise UserError(
                "a label needs `metric`, one of the judge's, and `label`, 0 or 1.", where=f"{settings.labels}:{line}"
            )
        case = Case(
            user_input=row.get("user_input", ""),
            response=row.get("response", ""),
            reference=row.get("reference", ""),
            retrieved_contexts=tuple(row.get("retrieved_contexts", ())),
        )
        if isinstance(row.get("retrieved_contexts"), str) or not applies(row["metric"], case):
            fields = ", ".join(f"`{name}`" for name in needed(row["metric"]))
            raise UserError(
                f"a label of {row['metric']} needs {fields}.",
                where=f"{settings.labels}:{line}",
                remedy="`retrieved_contexts` is a list of texts, the others are texts; none is empty.",
            )
        labels.setdefault(row["metric"], []).append((case, row["label"]))
    return labels


def agreement(rounds: Sequence[Sequence[float | None]], labels: Sequence[int], min_kappa: float) -> Calibration:
    """Of the first round's verdicts with the labels, and of the rounds with each other. Failed verdicts are left out of
    both, and counted."""
    said = [[None if v is None else int(v >= 0.5) for v in verdicts] for verdicts in rounds]
    kept = [i for i, v in enumerate(said[0]) if v is not None]
    judged, labelled = np.array([said[0][i] for i in kept]), np.array([labels[i] for i in kept])
    flips = [len({r[i] for r in said if r[i] is not None}) > 1 for i in kept]
    kappa = cohen(judged, labelled) if kept else None
    drawn = np.random.default_rng(0).integers(0, len(kept), (2000, len(kept))) if kept else np.zeros((0, 0), dtype=int)
    spread = [k for rows in drawn if (k := cohen(judged[rows], labelled[rows])) is not None]
    low, high = np.quantile(spread, (0.025, 0.975)).tolist() if spread else (None, None)
    clusters = [str(i) for i in kept]
    agree = intervals.estimate([float(same) for same in (judged == labelled).tolist()], clusters)
    flip = intervals.estimate([float(flipped) for flipped in flips], clusters)
    return Calibration(
        n=len(kept),
        failed=len(labels) - len(kept),
        agreement=agree,
        kappa=kappa,
        kappa_low=low,
        kappa_high=high,
        flip_rate=flip if len(rounds) > 1 else None,
        min_kappa=min_kappa,
        demoted=kappa is None or kappa < min_kappa,
    )


def cohen(first: Any, second: Any) -> float | None:
    """Cohen's kappa of two binary raters (1960); None where both say one thing only, and it is not defined."""
    seen = float((first == second).mean())
    chance = float(first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean()))
    return None if chance == 1.0 else (seen - chance) / (1 - chance)


def verdicts(folder: Path) -> Verdicts:
    """What judge and entailment model said of a run; empty where nobody was asked. Raises UserError for a line that is
    none, and for verdicts that are not those that the judge gave."""
    told, path = summary(folder), folder / "judged.jsonl"
    if told and told.judged and path.exists() and file_digest(path) != told.judged:
        raise UserError(
            "these are not the verdicts that the judge gave: the file was changed.",
            where=str(path),
            remedy="Run `ragtune judge` again; what the cache holds is not asked a second time.",
        )
    found: Verdicts = {}
    for path in (folder / name for name in FILES):
        for number, row in read_jsonl(path) if path.exists() else ():
            try:
                said = _SAID.validate_python(row)
            except ValidationError as e:
                raise UserError(
                    f"no verdict: {first_error(e)}.",
                    where=f"{path}:{number}",
                    remedy="Run `ragtune judge` again; what the cache holds is not asked a second time.",
                ) from None
            found.setdefault((said.cell, said.question), {})[said.metric] = said
    return found


def summary(folder: Path) -> JudgeSummary | None:
    """judge.json; None where nobody was asked."""
    path = folder / "judge.json"
    if not path.exists():
        return None
    return fitted(
        JudgeSummary, path, read_json(path), wrong="damaged summary of a judge", remedy="Run `ragtune judge` again."
    )
