"""Scores to HTML: what the templates are given, and nothing from a corpus, a model or a file name as markup."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from bench.core import display
from bench.report import charts
from bench.report.caveats import caveats
from bench.report.details import Seen
from bench.scoring.grade import JUDGED, METRICS

HERE = Path(__file__).parent
SECTIONS = (  # templates in sections/, in the order of the page
    "verdict",
    "needs",
    "tradeoffs",
    "quality",
    "claims",
    "differences",
    "scenarios",
    "cost",
    "machine",
    "questions",
    "caveats",
    "reproduce",
)
FILTERS = ("interval", "share", "count", "span", "size", "money", "difference", "need", "percent")
OUTCOMES = (
    "right", "misread", "partly retrieved", "not retrieved", "wrong", "abstained", "should have abstained", "failed",
)  # fmt: skip
# title, note, measures
TABLES = {
    "Answers": ("", ("em", "answerable_em", "f1", "contains", "rouge_l", "label_accuracy", "abstains_rightly", "abstains_wrongly")),
    "House style": (
        "Form: the whole answer is written as the house writes. Content: share of the asked facts that stand in it, whatever its form.",
        ("form", "content"),
    ),
    "Retrieval and grounding": (
        "Index recall is against exact search; recall@k, MRR and nDCG are of the gold passages. K-Precision: share of the answer's words that stand in the passages shown. "
        "Citations: passages that an answer marks as [n], or else that contain it.",
        ("recall_at_k", "mrr", "ndcg", "index_recall", "k_precision", "entailment", "citation_precision", "citation_recall", *JUDGED),
    ),
}  # fmt: skip


def render(run: Mapping[str, Any], scores: Mapping[str, Any], shown: Seen, stamp: str) -> str:
    """The page of a run."""
    done = {n: s for n, s in scores["systems"].items() if s["status"] != "failed"}
    plain = reference(done, scores)
    return _drawn(
        "page.html.j2", sections=SECTIONS, run=run, scores=scores, systems=scores["systems"], done=done, shown=shown, reference=plain,
        spec=json.dumps(pinned(run), indent=1, ensure_ascii=False), titles={m: t for m, (t, _) in METRICS.items()},
        many_seeds=len(run["spec"]["seeds"]) > 1, caveats=caveats(run, scores), outcomes=OUTCOMES,
        tables=[(t, note, found) for t, (note, names) in TABLES.items() if (found := applying(done, names))],
        described={n: describe(e) for n, e in run["systems"].items() if n in scores["systems"]}, meant=run["dataset"].get("strata") or {},
        size=next((s["memory"]["parameters"] for s in done.values() if s["memory"]["parameters"]), None),
        strata=sorted({t for s in done.values() for t in ((s["scores"]["em"] or {}).get("strata") or {})}),
        marks={m: marks(scores, m) for m in METRICS}, cited=citation(run),
        failed={c: r for s in scores["systems"].values() for c, r in s["failed"].items()},
        charts=charts.all_of(done, scores, run["spec"]["volumes"], plain, shown.latencies, {n: t for n, t in shown.traces.items() if n in done}),
        measured=lambda part, keys: [k for k in keys if any(s[part][k] is not None for s in done.values())], stamp=Markup(stamp),
    )  # fmt: skip


def overview(rows: Sequence[Mapping[str, Any]]) -> str:
    """The page over several runs."""
    return _drawn("index.html.j2", runs=rows)


def _drawn(template: str, **values: Any) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters |= {n: getattr(display, n) for n in FILTERS}
    script = (HERE / "page.js").read_text(encoding="utf-8")
    # the one script that the page may run is the one that it carries
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    style = Markup((HERE / "style.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(**values, policy=policy, script=Markup(script), style=style)


def pinned(run: Mapping[str, Any]) -> dict[str, Any]:
    """The spec with the hub commits that the run resolved, so that a stranger gets the same weights."""
    spec: dict[str, Any] = json.loads(json.dumps(run["spec"]))
    for block in (spec["model"], spec["embedder"], spec["retrieval"].get("reranker") or {}):
        known = run["models"].get("@".join(filter(None, (block.get("name"), block.get("revision")))), "")
        if known.startswith("hub:"):
            block["revision"] = known.rpartition("@")[2]
        block.pop("digest", None)
    return spec


def citation(run: Mapping[str, Any]) -> str:
    """The run as a BibTeX entry."""
    when = time.gmtime(run.get("started", 0))
    key = "".join(c for c in run["name"] if c.isalnum() or c in "-_")
    version = run["environment"]["versions"].get("ragtune")
    return (
        f"@misc{{ragtune-{key}-{run['identity'][:8]},\n"
        f"  title = {{{_tex(run['name'])}: retrieval and fine-tuning compared on {_tex(run['dataset']['name'])}}},\n"
        f"  year = {{{when.tm_year}}},\n  month = {{{when.tm_mon}}},\n"
        f"  note = {{ragtune {version}, spec sha256 {run['spec_digest'][:16]}, dataset sha256 {run['dataset']['digest'][:16]}}}\n}}"
    )


def _tex(text: str) -> str:
    """Text without what BibTeX would take for its own."""
    return "".join(" " if c in "{}\\%#$&~^" else c for c in text)


KINDS = {
    "closed_book": "the base model alone", "oracle": "given the gold passages", "rag": "retrieval", "lora": "tuned, LoRA",
    "qlora": "tuned, LoRA on 4-bit weights", "full": "tuned, every parameter", "raft": "retrieval, tuned with distractors in its prompts",
    "hybrid": "retrieval with a tuned adapter",
}  # fmt: skip


def describe(entry: Mapping[str, Any]) -> str:
    """A system in a line: what it is, and the settings that make it this one."""
    config, kind = entry["config"], entry["kind"]
    told = [KINDS.get(kind, kind)]
    if config.get("distractors") is not None:
        told.append(
            f"the gold passages and {config['distractors']} distractors"
            if config["distractors"]
            else "the gold passages alone"
        )
    elif (retrieval := config.get("retrieval")) and kind in ("rag", "raft", "hybrid"):
        told.append(
            f"{retrieval['index'] if retrieval['mode'] != 'bm25' else ''} {retrieval['mode']}, k = {retrieval['k']}".strip()
        )
    if tuning := config.get("tuning"):
        rank = f"rank {tuning['rank']}, " if config.get("method") == "lora" else ""
        told.append(f"{rank}{tuning['epochs']} epochs" + (", on the passages too" if tuning["passages"] else ""))
    told.append("4-bit weights (NF4)" if entry["config"]["precision"] == "nf4" else "weights as they are")
    return "; ".join(told)


def applying(done: Mapping[str, Any], metrics: Sequence[str]) -> list[str]:
    """The measures that some system has; exact match of answerable questions only where it is not that of all."""
    found = [m for m in metrics if any(s["scores"][m] for s in done.values())]
    same = all(
        (s["scores"]["em"] or {}).get("n") == (s["scores"].get("answerable_em") or {}).get("n") for s in done.values()
    )
    return [m for m in found if m != "answerable_em" or not same]


def marks(scores: Mapping[str, Any], metric: str) -> dict[str, str]:
    """system -> `best`, or `level`: not told apart from the best. Controls take no part."""
    sign = 1 if METRICS[metric][1] else -1
    rivals = {
        n: sign * s["scores"][metric]["mean"]
        for n, s in scores["systems"].items()
        if s["status"] != "failed" and not s["control"] and s["scores"][metric]
    }
    if len(rivals) < 2:
        return {}
    best = max(rivals, key=lambda n: rivals[n])
    pairs = [p for p in scores["compared"].get(metric, ()) if best in (p["a"], p["b"])]
    found = {n for p in pairs for n in (p["a"], p["b"]) if p["verdict"] in ("inconclusive", "equivalent")}
    level = (found & set(rivals)) - {best}
    return {**dict.fromkeys(level, "level"), best: "best"} if len(level) + 1 < len(rivals) else {}  # or it says nothing


def reference(done: Mapping[str, Any], scores: Mapping[str, Any]) -> str | None:
    """The system that the others are compared with: the first plain retrieval, or whatever is chosen."""
    plain = next((n for n, s in done.items() if s["kind"] == "rag"), None)
    return plain or scores["recommendation"]["choice"]
