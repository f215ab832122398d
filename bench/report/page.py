"""Scores to HTML: what the templates are given, and nothing from a corpus, a model or a file name as markup."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from bench.core import display
from bench.core.blocks import Retrieval
from bench.execution.cell_result import UNFINISHED
from bench.execution.run_file import RunFile, SystemEntry
from bench.metrics.registry import MEASURES, STYLE, TABLES, in_table
from bench.report import charts, decision, findings, questions
from bench.report.caveats import caveats, models
from bench.report.charts.draw import Figure
from bench.report.details import Details
from bench.scoring.schema import MeasuredSystem, Scores
from bench.scoring.schema.gate import BAD, ORDER, GateFile, Result
from bench.verdict.decision import seen_from
from bench.verdict.disagreements import OUTCOMES
from bench.verdict.sentence import by_type, listed
from bench.verdict.trades import LITTLE

HERE = Path(__file__).parent
SECTIONS = {  # templates in sections/, in the order of the page, and what the contents call them
    "verdict": "Decision",
    "gate": "Gate",
    "compare": "Compare two",
    "updates": "When documents change",
    "data": "Training data",
    "cost": "Cost, latency, memory",
    "questions": "Questions",
    "caveats": "Caveats",
    "failed": "Failed cells",
    "details": "Details",
}
FEW = 12  # questions that are listed without a script
FILTERS = {
    "interval": display.interval,
    "share": display.share,
    "count": display.count,
    "many": display.many,
    "listed": listed,
    "span": display.span,
    "recall": lambda value: "n/a" if value is None else f"{value:.4f}",
    "size": display.size,
    "money": display.money,
    "joules": display.joules,
    "difference": display.difference,
    "need": display.need,
    "percent": display.percent,
    "by_type": by_type,
    "four": display.four,
    "known_crossings": lambda rows: [
        b for b in rows if not b.interval or b.interval[1] is not None or b.interval[0] > 1
    ],
}


@dataclass(frozen=True)
class RunRow:
    """A run on the page over several runs; empty for what is not known of one that cannot be read."""

    name: str
    href: str | None
    sentence: str
    dataset: str = ""
    systems: int | str = ""
    seeds: int | str = ""
    gate: str = ""
    when: str = ""


def render(run: RunFile, scores: Scores, shown: Details, gated: GateFile | None, stamp: str) -> str:
    """The page of a run."""
    done = scores.measured
    plain = reference(done, scores)
    found = scores.recommendation
    lines = decision.ranked(scores)
    labels, texts = decision.profile(scores)
    leaders = found.types.systems if found.types else tuple(name for name, _ in lines[: decision.LEADING])
    pair = (*leaders, *(name for name in done if name not in leaders))[:2]
    drawn = charts.all_of(scores, run.spec.volumes, plain, shown)
    all_caveats = caveats(run, scores)
    failed = {cell: reason for s in scores.systems.values() for cell, reason in s.failed.items()}
    holds = {  # section -> whether the run has what it shows; the others are always there
        "gate": gated,
        "compare": len(pair) == 2,
        "updates": scores.scenarios.freshness,
        "data": "data" in drawn,
        "cost": found.costs or "tradeoff" in drawn,
        "questions": done,
        "caveats": all_caveats,
        "failed": failed,
    }
    return _drawn(
        "page.html.j2",
        sections={name: called for name, called in SECTIONS.items() if holds.get(name, True)},
        run=run,
        scores=scores,
        gated=gated,
        moved=moved(gated) if gated else {},
        bad=BAD,
        systems=scores.systems,
        done=done,
        shown=shown,
        spec=json.dumps(pinned(run), indent=1, ensure_ascii=False),
        titles=scores.metrics | {name: measure.title for name, measure in MEASURES.items()},
        many_seeds=len(run.spec.seeds) > 1,
        caveats=all_caveats,
        models=models(run, done),
        outcomes=OUTCOMES,
        tables=[
            (t.title, t.note, names)
            for t in TABLES
            if (names := applying(done, in_table(t))) and not (t is STYLE and scores.scenarios.style)
        ],
        described={
            name: describe(entry) + changed(scores.measured.get(name))
            for name, entry in run.systems.items()
            if name in scores.systems
        },
        meant=run.dataset.strata,
        size=parameters(done),
        strata=sorted({stratum for s in done.values() if (em := s.score("em")) for stratum in em.strata}),
        marks={measure: marks(scores, measure) for measure in MEASURES},
        little=LITTLE,
        cited=citation(run, scores),
        digests={display.model(name): known for name, known in run.models.items()},
        failed=failed,
        unfinished=set(failed.values()) == {UNFINISHED},
        charts=drawn,
        reference=plain,
        measured=partial(known, done),
        stamp=Markup(stamp),
        about=about(run, scores),
        leaders=leaders,
        lines=lines,
        leading=decision.LEADING,
        controls=[name for name, system in done.items() if system.control],
        price=decision.price(scores, run.spec.volumes),
        all_met=decision.all_met(found),
        changes=decision.changes(found, run.spec.volumes),
        sure=decision.sure(found, many_seeds=len(run.spec.seeds) > 1, weighed=bool(run.spec.needs.weights.counted)),
        meanwhile=decision.meanwhile(scores.recommendation),
        opposite=decision.opposite,
        pair=pair,
        labels=labels,
        texts=texts,
        differences=differences(scores),
        few=shown.examples[:FEW],
        every=questions.questions(shown.examples, questions.prompts(run, done)),
        whole=questions.packed(scores.model_dump_json(indent=1)),
        **findings.told(scores, leaders),
    )


def moved(gated: GateFile) -> dict[str, list[Result]]:
    """The results of a gate by their state, what is bad first."""
    by_state = {state: [r for r in gated.results if r.state == state] for state in ORDER}
    return {state: found for state, found in by_state.items() if found}


def parameters(done: Mapping[str, MeasuredSystem]) -> float | None:
    """Of the base model; None where no system knows."""
    return next((s.memory.parameters for s in done.values() if s.memory.parameters), None)


def about(run: RunFile, scores: Scores) -> list[str]:
    """What the run is of, in a line."""
    spec, data, env, count = run.spec, run.dataset, run.environment, parameters(scores.measured)
    names = models(run, scores.measured)
    size = f", {count / 1e6:.3g} million parameters" if count else ""
    where = ", ".join(gpu.name for gpu in env.gpus) or f"{env.cpu}, {env.cores} cores"
    return [
        *([spec.description] if spec.description else []),
        f"{display.many(data.test, 'question')} on {display.many(data.passages, 'passage')} of {data.name}",
        display.many(data.train, "training question"),
        display.many(len(names), "model") if len(names) > 1 else spec.model.name + size,
        display.many(len(spec.seeds), "seed"),
        where,
        time.strftime("%Y-%m-%d", time.gmtime(run.started)),
    ]


def differences(scores: Scores) -> dict[str, str]:
    """`a - b`, either way round -> their difference in the measure that leads, and what it is worth."""
    found = {}
    for p in scores.compared.get(scores.headline, ()):
        for seen in (seen_from(p, p.a), seen_from(p, p.b)):
            found[f"{seen.a} − {seen.b}"] = (
                f"{seen.a} minus {seen.b}: {display.difference(seen)}, {seen.verdict}, on {seen.n} questions (p = "
                f"{seen.p_holm:.2g}, corrected for the number of pairs)."
            )
    return found


def known(done: Mapping[str, MeasuredSystem], part: str, keys: Sequence[str]) -> list[str]:
    """The keys of a part of every system, such as `speed`, that some system has a figure for."""
    return [k for k in keys if any(getattr(getattr(system, part), k) is not None for system in done.values())]


def overview(rows: Sequence[RunRow], moved: Sequence[Figure]) -> str:
    """The page over several runs: a row each, and how their systems moved."""
    return _drawn("index.html.j2", runs=rows, moved=moved)


def _drawn(template: str, **values: Any) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= FILTERS
    environment.globals["SHORT"] = SHORT
    script = (HERE / "page.js").read_text(encoding="utf-8")
    # the one script that the page may run is the one that it carries
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'; "
        "base-uri 'none'; form-action 'none'"
    )
    style = Markup((HERE / "style.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(**values, policy=policy, script=Markup(script), style=style)


def pinned(run: RunFile) -> dict[str, Any]:
    """The spec with the hub commits that the run resolved, of each system's models and of the dataset, so that a
    stranger gets the same weights and rows."""
    spec: dict[str, Any] = copy.deepcopy(run.recorded)
    _pin(spec, run.models, {key: spec[key].get("name") for key in ("model", "embedder")})
    source = run.dataset.source
    if isinstance(source, dict) and source.get("revision"):
        spec["dataset"]["revision"] = source["revision"]
    return spec


def _pin(block: Any, models: Mapping[str, str], names: Mapping[str, str | None], key: str = "") -> None:
    """Fill in the revision of each model in a block of a spec, and in what stands inside it. `names` are those of the
    spec's own blocks, which a system's block may leave out."""
    if isinstance(block, list):
        for inner in block:
            _pin(inner, models, names)
    if not isinstance(block, dict):
        return
    for inner_key, inner in block.items():
        _pin(inner, models, names, inner_key)
    name = block.get("name") or names.get(key)
    known = models.get("@".join(filter(None, (name, block.get("revision")))), "") if isinstance(name, str) else ""
    if known.startswith("hub:"):
        block["revision"] = known.rpartition("@")[2]
    if "name" in block:
        block.pop("digest", None)


def citation(run: RunFile, scores: Scores) -> str:
    """The run as a BibTeX entry."""
    when = time.gmtime(run.started)
    key = "".join(c for c in run.name if c.isalnum() or c in "-_")
    version = run.environment.versions.get("ragtune") or "of an unknown version"
    commit = f", commit {run.environment.commit}" if run.environment.commit else ""
    rules = f", scored by rules {scores.rules}" if scores.rules else ""
    digests = f"spec sha256 {run.spec_digest[:16]}, dataset sha256 {run.dataset.digest[:16]}"
    return (
        f"@misc{{ragtune-{key}-{run.identity[:8]},\n"
        f"  title = {{{_tex(run.name)}: retrieval and fine-tuning compared on {_tex(run.dataset.name)}}},\n"
        f"  year = {{{when.tm_year}}},\n  month = {{{when.tm_mon}}},\n"
        f"  note = {{ragtune {version}{commit}{rules}, {digests}}}\n}}"
    )


def _tex(text: str) -> str:
    """Text without what BibTeX would take for its own."""
    return "".join(" " if c in "{}\\%#$&~^" else c for c in text)


def describe(entry: SystemEntry) -> str:
    """A system in a line: what it is, and the settings that make it this one."""
    parts = [entry.summary or entry.kind]
    retrieval, tuning = entry.retrieval, entry.tuning
    if entry.distractors:
        parts.append(f"the gold passages and {entry.distractors} distractors")
    elif entry.distractors is not None:
        parts.append("the gold passages alone")
    elif retrieval and entry.family in ("retrieval", "both"):
        library = "" if retrieval.mode == "bm25" else f"{retrieval.index} "
        parts.append(", ".join([f"{library}{retrieval.mode}, k = {retrieval.k}", *_retrieval(entry, retrieval)]))
    if entry.shots is not None:
        parts.append(f"{entry.shots} of them, {entry.config['choose']}")
    if tuning:
        rank = f"{VARIANTS[tuning.variant]}, rank {tuning.rank}, " if entry.method == "lora" else ""
        parts.append(f"{rank}{tuning.epochs} epochs" + (", on the passages too" if tuning.passages else ""))
    if served := SERVED.get(entry.serving):
        parts.append(served)
    else:
        beside = "the adapter beside " if entry.serves_an_adapter else ""
        parts.append(beside + ("4-bit weights (NF4)" if entry.precision == "nf4" else "unquantised weights"))
    return "; ".join(parts)


def _retrieval(entry: SystemEntry, retrieval: Retrieval) -> Iterator[str]:
    """What a retrieval does beside one look-up in whole passages."""
    if retrieval.hops > 1:
        yield f"{retrieval.hops} look-ups"
    if cut := retrieval.cut:
        where = "" if cut.by == "length" else f" at {CUTS[cut.by]}"
        yield f"cut{where} into {cut.size} {cut.unit}" + (" with their headings" if cut.contextual else "")
    if retrieval.rewrite != "none":
        yield f"queries by the answering model ({REWRITES[retrieval.rewrite]})"
    if retrieval.reranker:
        yield f"reranked by {retrieval.reranker.name}"
    embedder = entry.config.get("embedder") or {}
    if embedder.get("tuned") and retrieval.mode != "bm25":
        yield "the embedder tuned on the training questions"


CUTS = {"sentences": "ends of sentences", "headings": "headings", "semantic": "changes of meaning"}
REWRITES = {"hyde": "HyDE", "multi_query": "several wordings"}
VARIANTS = {"lora": "LoRA", "rslora": "rsLoRA", "dora": "DoRA", "pissa": "PiSSA", "loftq": "LoftQ"}
SHORT = {"merged": "merged", "merged_nf4": "merged, 4 bits"}  # under a name
SERVED = {
    "merged": "served with its adapter merged into unquantised weights",
    "merged_nf4": "served with its adapter merged, in 4-bit weights (NF4)",
}


def changed(system: MeasuredSystem | None) -> str:
    """How many answers merging or quantising changed, against the system that serves the same adapter beside its base;
    nothing where there is none."""
    found = system.served_otherwise if system else None
    return f"; {found.changed:,} of {found.n:,} answers differ from those of {found.beside}" if found else ""


def applying(done: Mapping[str, MeasuredSystem], measures: Sequence[str]) -> list[str]:
    """The measures that some system has; exact match of answerable questions only where it is not that of all."""
    found = [m for m in measures if any(system.score(m) for system in done.values())]
    same = all(_questions(system, "em") == _questions(system, "answerable_em") for system in done.values())
    return [m for m in found if m != "answerable_em" or not same]


def _questions(system: MeasuredSystem, measure: str) -> int | None:
    """Questions that a measure is of; None where it does not apply."""
    score = system.score(measure)
    return score.n if score else None


def marks(scores: Scores, measure: str) -> dict[str, str]:
    """system -> `best`, or `level`: not told apart from the best. Controls take no part."""
    sign = 1 if MEASURES[measure].higher_is_better else -1
    rivals = {
        name: sign * score.mean
        for name, system in scores.measured.items()
        if not system.control and (score := system.score(measure))
    }
    if len(rivals) < 2:
        return {}
    best = max(rivals, key=lambda name: rivals[name])
    pairs = [pair for pair in scores.compared.get(measure, ()) if best in (pair.a, pair.b)]
    found = {name for p in pairs for name in (p.a, p.b) if p.verdict in ("inconclusive", "equivalent")}
    level = (found & set(rivals)) - {best}
    return {**dict.fromkeys(level, "level"), best: "best"} if len(level) + 1 < len(rivals) else {}  # or it says nothing


def reference(done: Mapping[str, MeasuredSystem], scores: Scores) -> str | None:
    """The system that the others are compared with: the first plain retrieval, or whatever is chosen."""
    plain = next((name for name, system in done.items() if system.family == "retrieval"), None)
    return plain or scores.recommendation.choice
