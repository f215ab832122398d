"""What a reader must know before quoting a number, written from the data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bench.core import display
from bench.metrics.grounding import BLIND
from bench.scoring.grade import METRICS


def caveats(run: Mapping[str, Any], scores: Mapping[str, Any]) -> list[str]:
    """One sentence each, in the order in which they weigh."""
    done = {n: s for n, s in scores["systems"].items() if s["status"] != "failed"}
    return [
        *_training(run, done), *_leaks(run, scores, done), *(c for n, s in done.items() for c in _of(n, s)),
        *_times(run, done), *_judge(scores, done),
    ]  # fmt: skip


def _training(run: Mapping[str, Any], done: Mapping[str, Any]) -> Iterator[str]:
    seeds = len(run["spec"]["seeds"])
    if seeds < 3 and any(s["build"]["steps"] for s in done.values()):
        yield f"Training variance was not measured: {seeds} seed{'s' if seeds > 1 else ''}; three are the least."


def _leaks(run: Mapping[str, Any], scores: Mapping[str, Any], done: Mapping[str, Any]) -> Iterator[str]:
    if not (leaked := scores["leaks"]["all"]):
        return
    ways = ", ".join(f"{n} {how}" for how, n in scores["leaks"].items() if how != "all")
    yield f"Training has seen, in these or in near words, {leaked} of the {run['dataset']['test']} test questions ({ways}); scores without them:"
    for n, s in done.items():
        found = s["scores"][scores["headline"]] or {}
        if clean := found.get("clean"):
            yield f"{n}: {display.interval(clean)} on the {clean['n']} others, {display.interval(found)} on all."


def _of(name: str, s: Mapping[str, Any]) -> Iterator[str]:
    if (f := s["flips"]) and (f["again"] or f["alone"]):
        yield f"{name}: of {f['n']} questions asked again {f['again']} got another answer in the same batch, and {f['alone']} alone."
    if s["errors"]:
        yield f"{name}: {s['errors']} answers failed; they count as wrong."
    partly = [
        f"{METRICS[m][0]} {100 * e['coverage']:.0f}%"
        for m, e in s["scores"].items()
        if e and m in s["doubts"] and e["coverage"] < 1
    ]
    if partly:
        yield f"{name}: not every question could be scored: {', '.join(partly)}."
    if s["truncated"]:
        yield f"{name}: {s['truncated']} of {s['n'] * s['seeds']} prompts lost passages to the context window."
    if lost := s["build"]["truncated"]:
        yield f"{name}: {lost} training prompts lost passages to the context window."
    if left := s["build"]["skipped"]:
        yield f"{name}: {left} training prompts did not fit it, and were left out."


def _times(run: Mapping[str, Any], done: Mapping[str, Any]) -> Iterator[str]:
    places = {json.dumps(c["environment"], sort_keys=True) for c in run["cells"].values() if c.get("environment")}
    if len(places) > 1:
        yield "Cells ran in different environments (versions, commit, processor or GPU): times are not comparable."
    few = [s["speed"]["n"] for s in done.values() if s["speed"]["p99_s"] is None]
    if few:
        yield f"Percentiles without a figure are not supported by their number of samples (from {min(few)}); a p99 takes 662."
    before, cores = run.get("load_start"), run["environment"]["cores"] or 1
    if before and before[0] > 0.5 * cores:
        yield f"The machine was busy when the run began (load {before[0]} on {cores} cores): times are less certain."
    if not any(str(s["device"]).startswith("cuda") for s in done.values()):
        yield "GPU memory was not measured: no system ran on a GPU."


def _judge(scores: Mapping[str, Any], done: Mapping[str, Any]) -> Iterator[str]:
    judge = scores["judge"]
    if not judge:
        yield (
            "Faithfulness by a language model judge was not measured: no judge is configured (`judge:` in the spec, with base_url and model). "
            f"K-Precision and citations need none, and count words: {'; '.join(BLIND.values())}."
        )
        return
    kappas = [
        f"{m}: kappa {c['kappa']:.2f}" if c["kappa"] is not None else f"{m}: kappa not defined"
        for m, c in judge["calibration"].items()
    ]
    agrees = "; ".join(kappas) or "it was not calibrated against human labels"
    yield f"Judged by {judge['model']}, {judge['failed']} of {judge['verdicts']} verdicts failed; {agrees}."
    for n, s in done.items():
        for m, d in s["doubts"].items():
            if d["failed"] or not d["decisive"]:
                low, high = d["bounds"]
                yield f"{n}: {METRICS[m][0]} without its failed verdicts; with them between {low:.2f} and {high:.2f}{'' if d['decisive'] else ', not decisive'}."
