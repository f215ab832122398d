"""The claims of bench/claims.yaml against a run: confirmed, refuted, inconclusive, or not tested, by rules set beforehand."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.core.vocabulary import JSON
from bench.scoring.grade import METRICS
from bench.stats import intervals
from bench.stats.comparisons import Pair, compare
from bench.verdict.scenario_tables import Evidence, panel, told

Status = Literal["confirmed", "refuted", "inconclusive", "not tested"]
SMALL = 10_000  # passages, below which an HNSW graph is searched nearly whole
ABOUT = (1.15, 1.45)  # what "about 30% slower" may mean
DRIFT = 1.3  # by which latencies of one system differ between two processes of a busy machine


@dataclass(frozen=True)
class Finding:
    """What a run says of a claim. `takes` is what would decide it, where it is open."""

    status: Status
    measured: str
    takes: str = ""


def ledger() -> list[dict[str, str]]:
    """Every claim: id, claim, source, published, test, needs."""
    import yaml

    return list(yaml.safe_load((Path(__file__).parent / "claims.yaml").read_text(encoding="utf-8")))


def evaluate(e: Evidence) -> list[dict[str, JSON]]:
    """The ledger with what this run says of each claim."""
    rows = []
    for claim in ledger():
        found = RULES[claim["test"]](e)
        if found is None:
            found = Finding("not tested", "", f"It takes {claim['needs']}.")
        rows.append(
            {
                **{k: v for k, v in claim.items() if k != "test"},
                "status": found.status,
                "measured": found.measured,
                "takes": found.takes,
            }
        )
    return rows


def first(e: Evidence, kind: str, **config: Any) -> str | None:
    """The first of the spec's systems of a kind whose configuration says so; dotted keys are written with `__`."""
    for n in e.named:
        entry = e.run["systems"][n]
        if entry["kind"] == kind and all(_at(entry["config"], k) == v for k, v in config.items()):
            return n
    return None


def _at(config: Any, key: str) -> Any:
    for step in key.split("__"):
        config = config.get(step) if isinstance(config, Mapping) else None
    return config


def rag(e: Evidence) -> str | None:
    return first(e, "rag", precision="native")


def lora(e: Evidence) -> str | None:
    return first(e, "lora", tuning__passages=False, tuning__paraphrases=False)


def hybrid(e: Evidence) -> str | None:
    return first(e, "hybrid", method="lora", precision="native", distractors=None, raft=None)


def told_pair(p: Pair, metric: str) -> str:
    return (f"{METRICS[metric][0]}: {p.a} minus {p.b} {p.difference:+.2f} (95% interval {p.low:+.2f} to {p.high:+.2f}, n = {p.n}, "
            f"{p.test} p = {p.p:.2g})")  # fmt: skip


def ahead(pairs: Sequence[Pair | None], metric: str) -> Finding | None:
    """Confirmed where `a` is better in every pair, refuted where it is worse or equivalent in one."""
    known = [p for p in pairs if p is not None]
    if not known or len(known) < len(pairs):
        return None
    measured = "; ".join(told_pair(p, metric) for p in known)
    if all(p.verdict == "better" for p in known):
        return Finding("confirmed", measured)
    if any(p.verdict in ("worse", "equivalent") for p in known):
        return Finding("refuted", measured)
    return Finding("inconclusive", measured, _takes(known))


def level(p: Pair | None, metric: str) -> Finding | None:
    """Confirmed where `a` is not worse by more than the margin, refuted where it is shown to be worse."""
    if p is None:
        return None
    if p.margin is None:
        return Finding("inconclusive", told_pair(p, metric), "It takes a `margin` in the spec.")
    if p.non_inferior:
        return Finding("confirmed", f"{told_pair(p, metric)}; margin {p.margin:.2f}")
    return Finding(
        "refuted" if p.verdict == "worse" else "inconclusive",
        f"{told_pair(p, metric)}; margin {p.margin:.2f}",
        _takes([p]),
    )


def _takes(pairs: Sequence[Pair]) -> str:
    n = max((p.n90 for p in pairs if p.n90), default=None)
    return (
        f"A difference of this size takes n = {n:,} questions for 90% power."
        if n
        else "No difference was seen; set a margin to show that there is none."
    )


def _pair(e: Evidence, a: str | None, b: str | None, metric: str, stratum: str | None = None) -> Pair | None:
    return e.pair(a, b, metric, stratum) if a and b else None


def rag_external(e: Evidence) -> Finding | None:
    return ahead([_pair(e, rag(e), lora(e), "updated_em")], "updated_em")


def ft_paraphrase(e: Evidence) -> Finding | None:
    passages = first(e, "lora", tuning__passages=True, tuning__paraphrases=True)
    return ahead([_pair(e, passages, lora(e), "em", "corpus_only")], "em")


def ft_style(e: Evidence) -> Finding | None:
    return ahead([_pair(e, lora(e), rag(e), "form")], "form")


def hybrid_best(e: Evidence) -> Finding | None:
    return ahead([_pair(e, hybrid(e), other, e.headline) for other in (rag(e), lora(e))], e.headline)


def raft(e: Evidence) -> Finding | None:
    return ahead([_pair(e, first(e, "raft"), hybrid(e), e.headline)], e.headline)


def full_breaks_rag(e: Evidence) -> Finding | None:
    for n in e.named:
        config = e.run["systems"][n]["config"]
        if e.run["systems"][n]["kind"] == "hybrid" and config["method"] == "full" and config["distractors"] is not None:
            return ahead([_pair(e, first(e, "oracle", distractors=config["distractors"]), n, e.headline)], e.headline)
    return None


def lora_full(e: Evidence) -> Finding | None:
    return level(_pair(e, lora(e), first(e, "full"), e.headline), e.headline)


def qlora_quality(e: Evidence) -> Finding | None:
    return level(_pair(e, first(e, "qlora"), lora(e), e.headline), e.headline)


def slowdowns(e: Evidence) -> list[Mapping[str, Any]]:
    """The points of the matched experiments: tokens per step, and the ratio of step times with its interval."""
    return [
        {**p, "model": facts["model"], "device": facts["device"]}
        for found in e.experiments.values()
        for facts in found
        if "points" in facts
        for p in facts["points"]
    ]


def qlora_slower(e: Evidence) -> Finding | None:
    """Confirmed where every interval lies inside "about 30%", refuted where one lies outside: the answer is a curve."""
    points = slowdowns(e)
    if not points:
        return None
    measured = "; ".join(
        f"{p['model']} on {p['device']}, {p['tokens']:,} tokens a step: ratio {p['ratio']:.2f} ({p['low']:.2f} to {p['high']:.2f})"
        for p in points
    )
    if all(ABOUT[0] <= p["low"] and p["high"] <= ABOUT[1] for p in points):
        return Finding("confirmed", measured)
    if any(p["high"] < ABOUT[0] or p["low"] > ABOUT[1] for p in points):
        inside = any(ABOUT[0] <= p["low"] and p["high"] <= ABOUT[1] for p in points)
        return Finding(
            "refuted", measured, "It holds at some sizes and not at others: the answer is a curve." if inside else ""
        )
    steps = max(p["pairs"] for p in points)
    return Finding(
        "inconclusive", measured, f"It takes more than {steps} pairs of steps at each size, or a quieter machine."
    )


def qlora_memory(e: Evidence) -> Finding | None:
    rows = [f for found in e.experiments.values() for f in found if f.get("memory")]
    if not rows:
        return None
    shares = [f["memory"]["qlora_bytes"] / f["memory"]["lora_bytes"] for f in rows]
    measured = "; ".join(
        f"{f['model']} on {f['device']}: peak {f['memory']['lora_bytes'] / 1e9:.2f} to {f['memory']['qlora_bytes'] / 1e9:.2f} GB"
        for f in rows
    )
    if all(s < 0.95 for s in shares):
        return Finding("confirmed", measured)
    return Finding(
        "refuted" if any(s > 1.05 for s in shares) else "inconclusive",
        measured,
        "" if any(s > 1.05 for s in shares) else "The peaks are within 5% of each other.",
    )


def qlora_70b(e: Evidence) -> Finding | None:
    rows = [
        f
        for found in e.experiments.values()
        for f in found
        if f.get("model") == "llama3-70b" and f.get("memory") and f["device"] != "cpu"
    ]
    if not rows:
        return None
    peak = rows[0]["memory"]["qlora_bytes"]
    return Finding("confirmed" if peak < 80e9 else "refuted", f"peak {peak / 1e9:.1f} GB on {rows[0]['device']}")


def four_bit_slower(e: Evidence) -> Finding | None:
    """Median over questions of the ratio of latencies, with the interval of its ranks."""
    four = first(e, "rag", precision="nf4")
    plain = rag(e)
    if not (four and plain):
        return None
    ratios = e.ratios(four, plain)
    interval = intervals.median_interval(ratios)
    if interval is None:
        return None
    low, high = interval
    measured = f"latency of {four} over {plain}, question by question: median ratio {statistics.median(ratios):.2f} (95% interval {low:.2f} to {high:.2f}, n = {len(ratios)})"
    if low > DRIFT:
        return Finding("confirmed", measured)
    if high < 1 / DRIFT:
        return Finding("refuted", measured)
    return Finding(
        "inconclusive",
        measured,
        f"Two processes at two times differ by up to {100 * (DRIFT - 1):.0f}% here; it takes a larger effect, or steps in turns.",
    )


def small_data(e: Evidence) -> Finding | None:
    """At the smallest size of the learning curve: is tuning equivalent to retrieval?"""
    names = sorted((s["value"], n) for n, s in e.of("data"))
    best = rag(e)
    p = e.pair(names[0][1], best, e.headline) if names and best else None
    if p is None:
        return None
    measured = f"{names[0][0]} training questions: {told_pair(p, e.headline)}"
    if p.verdict == "equivalent":
        return Finding("confirmed", measured)
    return (
        Finding("refuted", measured)
        if p.verdict in ("better", "worse")
        else Finding("inconclusive", measured, _takes([p]))
    )


def rag_source(e: Evidence) -> Finding | None:
    """Confirmed where the passages shown hold and name the right source for most answers."""
    name = rag(e)
    found = told(e.column(name, "citation_recall")) if name else None
    if found is None:
        return None
    measured = f"citation recall of {name} {found['mean']:.2f} (95% interval {found['low']:.2f} to {found['high']:.2f}, n = {found['n']}); tuned systems show no source"
    return Finding(
        "confirmed" if found["low"] > 0.5 else "refuted" if found["high"] < 0.5 else "inconclusive", measured
    )


def rag_multi(e: Evidence) -> Finding | None:
    a, b = rag(e), first(e, "closed_book")
    if not (a and b):
        return None
    columns = {n: e.column(n, e.headline) for n in (a, b)}
    kept = {
        n: c.only([i for i, s in enumerate(c.strata) if s in ("two_hop", "comparison", "list")])
        for n, c in columns.items()
        if c
    }
    if len(kept) < 2 or not next(iter(kept.values())).questions:
        return None
    both = panel(kept)
    return ahead([compare(both, margin=e.margin)[0] if both else None], e.headline)


def hnsw_recall(e: Evidence) -> Finding | None:
    rows = []
    for n in e.named:
        if e.run["systems"][n]["config"].get("retrieval", {}).get("index") in ("faiss_hnsw", "hnswlib") and (
            found := told(e.column(n, "index_recall"))
        ):
            rows.append((n, found))
    if not rows:
        return None
    measured = "; ".join(
        f"{n} {f['mean']:.4f} (95% interval {f['low']:.4f} to {f['high']:.4f}, n = {f['n']})" for n, f in rows
    )
    worst = min(rows, key=lambda row: row[1]["mean"])[1]
    passages = e.run["dataset"]["passages"]
    if worst["mean"] < 1:
        return Finding("confirmed", measured)
    if passages < SMALL:
        few = "A graph of so few passages is searched nearly whole; it takes a larger corpus."
        return Finding("inconclusive", f"{measured}; on {passages:,} passages", few)
    return Finding("refuted", f"{measured}; on {passages:,} passages")


RULES: dict[str, Callable[[Evidence], Finding | None]] = {
    "rag_external": rag_external, "ft_paraphrase": ft_paraphrase, "ft_style": ft_style, "hybrid_best": hybrid_best,
    "raft": raft, "full_breaks_rag": full_breaks_rag, "lora_full": lora_full, "qlora_quality": qlora_quality,
    "qlora_slower": qlora_slower, "qlora_memory": qlora_memory, "qlora_70b": qlora_70b, "four_bit_slower": four_bit_slower,
    "small_data": small_data, "rag_source": rag_source, "rag_multi": rag_multi, "hnsw_recall": hnsw_recall,
}  # fmt: skip
