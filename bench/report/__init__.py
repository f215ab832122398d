"""Scores to one HTML file: self-contained, no script, nothing from a corpus or a model ever markup."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.digest import file_digest
from bench.errors import UserError
from bench.files import read_json, read_jsonl, write_text
from bench.grade import METRICS
from bench.metrics.grounding import BLIND
from bench.score import VERSION, read_run

HERE = Path(__file__).parent
FILTERS = ("interval", "share", "count", "span", "size", "money", "difference", "need")
STAMP = "<!-- ragtune scores "
SHOWN = ("em", "f1", "contains", "rouge_l", "label_accuracy", "abstains_rightly", "abstains_wrongly")
SPECIAL = ("form", "content")
JUDGED = (
    "faithfulness",
    "response_groundedness",
    "answer_accuracy",
    "factual_correctness",
    "context_precision",
    "context_recall",
    "noise_sensitivity",
    "response_relevancy",
)
GROUNDS = (
    "recall_at_k",
    "mrr",
    "ndcg",
    "index_recall",
    "k_precision",
    "entailment",
    "citation_precision",
    "citation_recall",
    *JUDGED,
)


def report(folder: Path, *, again: bool = False) -> Path:
    """Draw `index.html` of a scored run; a page that is of these very scores stays unless `again`.

    Raises UserError where the run is not scored.
    """
    if not (folder / "scores.json").exists():
        raise UserError("this run is not scored yet.", where=str(folder), remedy="Run `ragtune score` on it.")
    if read_json(folder / "scores.json").get("version") != VERSION:
        raise UserError("an older ragtune scored this run.", where=str(folder), remedy="Run `ragtune score` on it.")
    page = folder / "index.html"
    stamp = f"{STAMP}{file_digest(folder / 'scores.json')} -->"
    if not again and page.exists() and stamp in page.read_text(encoding="utf-8")[:400]:
        return page
    write_text(
        page,
        render(
            read_run(folder),
            read_json(folder / "scores.json"),
            examples(folder, read_json(folder / "scores.json")["questions"]),
            stamp,
        ),
    )
    return page


def index(folder: Path) -> Path:
    """Draw `index.html` over the scored runs in a folder, the newest first. Raises UserError where there is none."""
    from urllib.parse import quote

    found = sorted(
        {p.parent for p in folder.glob("*/run.json")} | {p.parent for p in folder.glob("published/*/run.json")}
    )
    rows = []
    for place in found:
        run, scores = read_run(place), read_json(place / "scores.json") if (place / "scores.json").exists() else None
        drawn = place / "index.html"
        rows.append({
            "name": run["name"], "href": quote(drawn.relative_to(folder).as_posix()) if drawn.exists() else None, "started": run.get("started", 0),
            "sentence": (scores or {}).get("recommendation", {}).get("sentence") or f"{run['status']}, not scored by this version",
            "dataset": run["dataset"]["name"], "systems": len(run["systems"]), "seeds": len(run["spec"]["seeds"]),
            "when": time.strftime("%Y-%m-%d %H:%M", time.gmtime(run.get("started", 0))),
        })  # fmt: skip
    if not rows:
        raise UserError(
            "no run here.",
            where=str(folder),
            remedy="Give a run's folder, or the folder that holds runs, such as reports.",
        )
    rows.sort(key=lambda r: -float(r["started"]))
    page = folder / "index.html"
    from markupsafe import Markup

    write_text(
        page,
        _environment().get_template("index.html.j2").render(runs=rows, style=Markup((HERE / "style.css").read_text())),
    )
    return page


def table(folder: Path, form: str) -> Path:
    """Write the scores of a run as `scores.<form>`: markdown, csv, json or parquet. Raises UserError for another form."""
    from bench.score import scores

    frame = scores(folder)
    path = (
        folder
        / {"markdown": "scores.md", "csv": "scores.csv", "json": "scores.table.json", "parquet": "scores.parquet"}[form]
    )
    if form == "markdown":
        rows = [[str(c) for c in frame.columns], ["---"] * len(frame.columns)]
        rows += [
            [f"{v:.4g}" if isinstance(v, float) else str(v).replace("|", "\\|") for v in row]
            for row in frame.itertuples(index=False)
        ]
        write_text(path, "".join(f"| {' | '.join(row)} |\n" for row in rows))
    elif form == "csv":
        frame.to_csv(path, index=False)
    elif form == "json":
        frame.to_json(path, orient="records", indent=1)
    else:
        frame.to_parquet(path, index=False)
    return path


def _environment() -> Any:
    import jinja2

    from bench import figures

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {n: getattr(figures, n) for n in FILTERS}
    return environment


def render(run: Mapping[str, Any], scores: Mapping[str, Any], shown: Sequence[Mapping[str, Any]], stamp: str) -> str:
    from markupsafe import Markup

    from bench.report import charts

    done = {n: s for n, s in scores["systems"].items() if s["status"] != "failed"}
    strata = sorted({t for s in done.values() for t in ((s["scores"]["em"] or {}).get("strata") or {})})
    spec = json.dumps(pinned(run), indent=1, ensure_ascii=False)
    page: str = _environment().get_template("page.html.j2").render(
        run=run, spec=spec, scores=scores, systems=scores["systems"], done=done, reference=reference(done, scores), many_seeds=len(run["spec"]["seeds"]) > 1, titles={m: t for m, (t, _) in METRICS.items()}, strata=strata,
        quality=applying(done, SHOWN), special=applying(done, SPECIAL), grounds=applying(done, GROUNDS), caveats=caveats(run, scores),
        examples=shown, failed={c: r for s in scores["systems"].values() for c, r in s["failed"].items()},
        charts=charts.all_of(done, scores, reference(done, scores)), style=Markup((HERE / "style.css").read_text()), stamp=Markup(stamp),
    )  # fmt: skip
    return page


def pinned(run: Mapping[str, Any]) -> dict[str, Any]:
    """The spec with the hub commits that the run resolved, so that a stranger gets the same weights."""
    spec: dict[str, Any] = json.loads(json.dumps(run["spec"]))
    for block in (spec["model"], spec["embedder"], spec["retrieval"].get("reranker") or {}):
        known = run["models"].get(_key(block), "")
        if known.startswith("hub:"):
            block["revision"] = known.rpartition("@")[2]
        block.pop("digest", None)
    return spec


def _key(block: Mapping[str, Any]) -> str:
    """A model as run.json lists it."""
    return "@".join(filter(None, (block.get("name"), block.get("revision"))))


def applying(done: Mapping[str, Any], metrics: Sequence[str]) -> list[str]:
    """The measures that some system has."""
    return [m for m in metrics if any(s["scores"][m] for s in done.values())]


def reference(done: Mapping[str, Any], scores: Mapping[str, Any]) -> str | None:
    """The system that the others are compared with: the first plain retrieval, or whatever is chosen."""
    plain = next((n for n, s in done.items() if s["kind"] == "rag"), None)
    return plain or scores["recommendation"]["choice"]


def caveats(run: Mapping[str, Any], scores: Mapping[str, Any]) -> list[str]:
    """What a reader must know before quoting a number, written from the data."""
    from bench import figures

    told = []
    done = {n: s for n, s in scores["systems"].items() if s["status"] != "failed"}
    seeds = len(run["spec"]["seeds"])
    if seeds < 3 and any(s["build"]["steps"] for s in done.values()):
        told.append(f"Training variance was not measured: {seeds} seed{'s' if seeds > 1 else ''}; three are the least.")
    if leaked := scores["leaks"]["all"]:
        ways = ", ".join(f"{n} {how}" for how, n in scores["leaks"].items() if how != "all")
        told.append(
            f"Training has seen {leaked} of the {run['dataset']['test']} test questions ({ways}); scores without them:"
        )
        told += [
            f"{n}: {figures.interval(clean)} on the {clean['n']} others, {figures.interval(s['scores'][scores['headline']])} on all."
            for n, s in done.items()
            if (clean := (s["scores"][scores["headline"]] or {}).get("clean"))
        ]
    for name, s in done.items():
        if (f := s["flips"]) and (f["again"] or f["alone"]):
            told.append(
                f"{name}: of {f['n']} questions asked again {f['again']} got another answer in the same batch, and {f['alone']} alone."
            )
        if s["errors"]:
            told.append(f"{name}: {s['errors']} answers failed; they count as wrong.")
        if s["truncated"]:
            told.append(
                f"{name}: {s['truncated']} of {s['n'] * s['seeds']} prompts lost passages to the context window."
            )
        for what, why in (
            ("truncated", "lost passages to the context window"),
            ("skipped", "did not fit it, and were left out"),
        ):
            if s["build"][what]:
                told.append(f"{name}: {s['build'][what]} training prompts {why}.")
    places = {json.dumps(c["environment"], sort_keys=True) for c in run["cells"].values() if c.get("environment")}
    if len(places) > 1:
        told.append(
            "Cells ran in different environments (versions, commit, processor or GPU): times are not comparable."
        )
    few = [n for n, s in done.items() if s["speed"]["p99_s"] is None]
    if few:
        n = min(done[name]["speed"]["n"] for name in few)
        told.append(
            f"Percentiles without a figure are not supported by their number of samples (from {n}); a p99 takes 662."
        )
    load = [run.get("load_start"), run.get("load_end")]
    cores = run["environment"]["cores"] or 1
    if load[0] and load[0][0] > 0.5 * cores:
        told.append(
            f"The machine was busy when the run began (load {load[0][0]} on {cores} cores): times are less certain."
        )
    if any(s["device"] == "cpu" for s in done.values()):
        told.append("GPU memory was not measured: no system ran on a GPU.")
    if judge := scores["judge"]:
        kappas = [
            f"{m}: kappa {c['kappa']:.2f}" if c["kappa"] is not None else f"{m}: kappa not defined"
            for m, c in judge["calibration"].items()
        ]
        told.append(
            f"Judged by {judge['model']}, {judge['failed']} of {judge['verdicts']} verdicts failed; "
            + ("; ".join(kappas) if kappas else "it was not calibrated against human labels")
            + "."
        )
        told += [
            f"{n}: {METRICS[m][0]} without its failed verdicts; with them between {d['bounds'][0]:.2f} and {d['bounds'][1]:.2f}{'' if d['decisive'] else ', not decisive'}."
            for n, s in done.items()
            for m, d in s["doubts"].items()
            if d["failed"] or not d["decisive"]
        ]
        return told
    told.append(
        "Faithfulness by a language model judge was not measured: no judge is configured (`judge:` in the spec, with base_url and model). K-Precision and citations need none, "
        f"and count words: {'; '.join(BLIND.values())}."
    )
    return told


def examples(folder: Path, chosen: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The questions on which systems differ most, with the answer of each system's first seed and the gold passages."""
    found: dict[str, dict[str, Any]] = {c["question"]: {**c, "said": {}} for c in chosen}
    texts: dict[str, str] = {}
    for _, r in read_jsonl(folder / "records.jsonl"):
        e = found.get(r["question"])
        if e is None:
            continue
        texts |= {h["passage_id"]: h["text"] for h in r["answer"]["hits"] or () if h["passage_id"] in r["gold"]}
        e |= {"text": r["text"], "answers": r["answers"], "gold": r["gold"]}
        if r["system"] in e["outcomes"]:
            e["said"].setdefault(r["system"], r["answer"])
    return [{**e, "passages": [(g, texts[g]) for g in e["gold"] if g in texts]} for e in found.values()]
