"""The recommendation: who meets the needs, who is ahead, how sure that is, and what would change it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from bench.core.vocabulary import JSON
from bench.scoring import money
from bench.scoring.grade import METRICS, Column
from bench.stats import comparisons
from bench.verdict.scenario_tables import Evidence, panel

LOG = ("cost", "latency", "memory")  # criteria that are weighed by their logarithm


def recommend(e: Evidence) -> dict[str, JSON]:
    """Feasible systems, the Pareto front, the choice and its probability, what would flip it, and one sentence.

    `outcome`: winner, equivalent (any of these will do; the cheapest is chosen), undecided, or nothing feasible.
    """
    spec = e.run["spec"]
    spent = money.costs(e.named, spec)
    rivals = {n: s for n, s in e.named.items() if not s["control"] and e.headline in e.columns[n]}
    figures = {n: criteria(rivals[n], spent[n]) for n in rivals}
    needs = {n: constraints(n, e, spent[n], figures[n]["memory"]) for n in rivals}
    feasible = [n for n in rivals if all(c["met"] for c in needs[n])]
    front = pareto({n: (quality(e, n), figures[n]) for n in feasible})
    told: dict[str, JSON] = {
        "metric": e.headline, "needs": needs, "feasible": feasible, "pareto": front, "costs": spent, "criteria": figures,
        "break_even": money.break_even({n: spent[n] for n in feasible}, spec["volumes"]["updates_per_month"]),
    }  # fmt: skip
    if not feasible:
        told |= {
            "split": [],
            "outcome": "nothing feasible",
            "choice": None,
            "among": [],
            "probability": None,
            "questions": None,
        }
        if not any(not s["scenario"] for s in e.systems.values()) and e.experiments:
            return told | {
                "flips": [],
                "sentence": "Experiments alone: no system was compared. What they measured stands below.",
                "caveats": [],
            }
        scored = any(not s["control"] for s in e.named.values())
        return told | {"flips": lifted(e, needs, None), "sentence": _nothing(needs, scored), "caveats": []}
    offset = offsets({n: figures[n] for n in feasible}, spec["needs"]["weights"])
    told |= decide({n: e.columns[n][e.headline] for n in feasible}, offset, spent, e.margin)
    others = [n for n in front if n not in told.get("equivalent", ())]
    told["flips"] = [*weighed(e, told["choice"], others, figures, offset), *lifted(e, needs, told["choice"])]
    told["split"] = split(e, told.get("best"), told["among"])
    told["caveats"] = caveats(e, [n for n in (told["choice"], *told["among"]) if n])
    told["sentence"] = sentence(e, told)
    return told


def quality(e: Evidence, name: str) -> float:
    return float(e.columns[name][e.headline].values.mean())


def constraints(name: str, e: Evidence, spent: Mapping[str, Any], memory: float | None) -> list[dict[str, JSON]]:
    """Each need of the spec against this system. `met` is None where it cannot be told, which is not met."""
    s, needs = e.named[name], e.run["spec"]["needs"]
    limits: dict[str, float | None] = {
        **{f"{p}_latency_s": s["speed"][f"{p}_s"] for p in ("p50", "p90", "p95")},
        "memory_bytes": memory,
        "refresh_s": spent["refresh_s"], "usd_per_month": spent["usd_per_month"],
    }  # fmt: skip
    rows: list[dict[str, JSON]] = [
        {"need": k, "limit": needs[k], "value": v, "met": None if v is None else v <= needs[k]}
        for k, v in limits.items()
        if needs[k] is not None
    ]
    if needs["min_quality"] is not None:
        value = quality(e, name)
        rows.append(
            {"need": "min_quality", "limit": needs["min_quality"], "value": value, "met": value >= needs["min_quality"]}
        )
    if needs["provenance"]:
        shows = name in e.shows
        rows.append({"need": "provenance", "limit": True, "value": shows, "met": shows})
    if needs["data_stays"]:
        rows.append({"need": "data_stays", "limit": True, "value": not s["endpoint"], "met": not s["endpoint"]})
    return rows


def criteria(s: Mapping[str, Any], spent: Mapping[str, Any]) -> dict[str, float | None]:
    gpu = s["memory"].get("peak_gpu_allocated_bytes")
    memory = gpu if gpu is not None else s["memory"]["peak_rss_bytes"]
    return {"cost": spent["usd_per_month"], "latency": s["speed"]["p50_s"], "memory": memory}


def pareto(points: Mapping[str, tuple[float, Mapping[str, float | None]]]) -> list[str]:
    """The systems that no other one beats or equals in everything, and beats in something; unknown figures tie."""

    def beats(a: str, b: str) -> bool:
        (qa, ca), (qb, cb) = points[a], points[b]
        gaps = [qa - qb, *((cb[k] or 0) - (ca[k] or 0) for k in LOG if ca[k] is not None and cb[k] is not None)]
        return all(g >= 0 for g in gaps) and any(g > 0 for g in gaps)

    return [n for n in points if not any(beats(other, n) for other in points if other != n)]


def offsets(figures: Mapping[str, Mapping[str, float | None]], weights: Mapping[str, float]) -> dict[str, float]:
    """What the weights take off each system's quality: points a tenfold figure above the smallest.

    A figure that was not measured counts as the worst that was.
    """
    off = dict.fromkeys(figures, 0.0)
    for k in LOG:
        known = [float(v) for f in figures.values() if (v := f[k]) is not None and v > 0]
        if weights[k] and known:
            for n, f in figures.items():
                off[n] -= weights[k] * math.log10(
                    max(f[k] or (max(known) if f[k] is None else min(known)), 1e-12) / min(known)
                )
    return off


def decide(
    found: Mapping[str, Column],
    offset: Mapping[str, float],
    spent: Mapping[str, Mapping[str, Any]],
    margin: float | None,
) -> dict[str, JSON]:
    """The choice among feasible systems, on the questions that all of them answered."""
    whole = panel(found)
    if whole is None:
        return {"outcome": "undecided", "choice": None, "among": list(found), "probability": None, "questions": None}
    useful = comparisons.Panel({n: v + offset[n] for n, v in whole.values.items()}, whole.clusters)
    best = max(useful.values, key=lambda n: float(useful.values[n].mean()))
    against = [_from(p, best) for p in comparisons.compare(useful, margin=margin) if best in (p.a, p.b)]
    same = [p.b for p in against if p.verdict == "equivalent"]
    open_ = [p for p in against if p.verdict == "inconclusive"]
    choice = cheapest([n for n in useful.values if n in (best, *same)], spent)
    drawn = comparisons.joint(useful)
    matrix = np.stack(list(drawn.values()))
    top = matrix >= matrix.max(0) - 1e-12
    shares = dict(zip(drawn, (top / top.sum(0)).mean(1).tolist(), strict=True))
    outcome = "undecided" if open_ else "equivalent" if same else "winner"
    return {
        "outcome": outcome, "choice": choice, "best": best, "equivalent": [n for n in [best, *same] if n != choice], "among": [p.b for p in open_],
        "probability": sum(shares[n] for n in {best, choice, *same}), "probabilities": shares,
        "questions": max((p.n90 for p in open_ if p.n90), default=None), "against": [asdict(p) for p in against],
    }  # fmt: skip


WORTH = 1.3  # times smaller, below which two runs of one system may differ as much
ALIKE = 1.2  # costs of two runs of one system differ by as much


def cheapest(names: Sequence[str], spent: Mapping[str, Mapping[str, Any]]) -> str:
    """The first, in the order of the spec, of those that cost about as little as any."""
    known = {n: float(c) for n in names if (c := spent[n]["usd_per_month"]) is not None}
    return next((n for n in names if n in known and known[n] <= ALIKE * min(known.values())), names[0])


def _from(p: comparisons.Pair, name: str) -> comparisons.Pair:
    """The pair seen from one of its sides."""
    if p.a == name:
        return p
    flipped: dict[str, comparisons.Verdict] = {"better": "worse", "worse": "better"}
    return replace(p, a=p.b, b=p.a, difference=-p.difference, low=-p.high, high=-p.low, won=p.lost, lost=p.won,
                   effect=None if p.effect is None else -p.effect, verdict=flipped.get(p.verdict, p.verdict))  # fmt: skip


def weighed(
    e: Evidence,
    choice: str | None,
    front: Sequence[str],
    figures: Mapping[str, Mapping[str, Any]],
    offset: Mapping[str, float],
) -> list[dict[str, JSON]]:
    """The weights from which another system of the front would be ahead, in points for a tenfold saving."""
    rows: list[dict[str, JSON]] = []
    for other in front:
        if choice is None or other == choice:
            continue
        ahead = quality(e, choice) + offset[choice] - quality(e, other) - offset[other]
        for k in LOG:
            mine, its = figures[choice][k], figures[other][k]
            if (
                ahead > 0
                and mine
                and its
                and its * WORTH < mine
                and ahead / math.log10(mine / its) < quality(e, choice)
            ):
                rows.append({"kind": "weight", "criterion": k, "to": other, "threshold": ahead / math.log10(mine / its),
                             "saves": mine / its, "loses": ahead})  # fmt: skip
    return sorted(rows, key=lambda r: r["threshold"])


def lifted(e: Evidence, needs: Mapping[str, Sequence[Mapping[str, Any]]], choice: str | None) -> list[dict[str, JSON]]:
    """The needs that keep a system with higher quality out."""
    own = quality(e, choice) if choice else -1.0
    out = []
    for n, rows in needs.items():
        failing = [r for r in rows if not r["met"]]
        if failing and quality(e, n) > own:
            out.append({"kind": "need", "to": n, "needs": failing, "gains": quality(e, n) - own if choice else None})
    return out


def split(e: Evidence, best: str | None, others: Sequence[str]) -> list[dict[str, JSON]]:
    """Where a level whole hides two opposite halves: of the answerable questions and of those where abstaining is right,
    the difference of the best from another one. Only where both halves differ, in opposite ways, each by itself."""
    rows: list[dict[str, JSON]] = []
    for other in others if best else ():
        halves = [e.pair(str(best), other, m) for m in ("answerable_em", "abstains_rightly")]
        one, two = (p if p and (p.low > 0 or p.high < 0) else None for p in halves)
        if one and two and one.difference * two.difference < 0:
            rows.append({"to": other, "answerable": asdict(one), "unanswerable": asdict(two)})
    return rows


def caveats(e: Evidence, names: Sequence[str]) -> list[str]:
    told = []
    for n in names:
        doubt = e.named[n].get("doubts", {}).get(e.headline)
        if doubt and not doubt["decisive"]:
            why = "it agrees too little with human labels" if doubt["demoted"] else "too many of its verdicts failed"
            told.append(f"{METRICS[e.headline][0]} is not decisive for {n}: {why}.")
    few = [n for n in names if e.named[n]["trained"] and e.named[n]["seeds"] < 3]
    if few:
        told.append(f"Training variance of {', '.join(few)} was not measured: it takes three seeds.")
    told += [f"{n} failed on some of its seeds." for n in names if e.named[n]["status"] != "done"]
    return told


def sentence(e: Evidence, r: Mapping[str, Any]) -> str:
    """The verdict as a manager reads it."""
    what = METRICS[r["metric"]][0].lower()
    choice = r["choice"]
    if any("not decisive" in c for c in r["caveats"]):
        return f"No verdict: {what} is not decisive here. Set `needs.metric` to another measure, or mend the judge."
    if choice is None:
        return "No verdict: the systems have no question in common."
    found = e.systems[choice]["scores"][r["metric"]]
    score = (
        f"{what} {found['mean']:.2f} (95% interval {found['low']:.2f}\N{EN DASH}{found['high']:.2f}, n = {found['n']})"
    )
    same = (
        f" {_list(r['equivalent'])} {'is' if len(r['equivalent']) == 1 else 'are'} equivalent to it."
        if r["equivalent"]
        else ""
    )
    if r["outcome"] == "undecided":
        n = r["questions"]
        more = (
            f"with n = {n:,} questions it could be decided"
            if n
            else "they answered alike, and no margin says when that is enough"
        )
        return f"No clear winner between {r['best']} and {_list(r['among'], 'or')}; {more}. Highest so far: {score}." if choice == r["best"] else \
            f"No clear winner between {r['best']} and {_list(r['among'], 'or')}; {more}. Until then {choice}, the cheapest of those equivalent to {r['best']}: {score}."  # fmt: skip
    if not r["against"]:
        return f"Use {choice}: {score}. No other system meets the needs."
    if r["outcome"] == "equivalent":
        ahead = "" if len(r["equivalent"]) == len(r["against"]) else " All others are behind."
        return f"Use {choice}: {score}.{same}{ahead}"
    return f"Use {choice}: {score}, ahead of every other system that meets the needs."


def _list(names: Sequence[str], word: str = "and") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def _nothing(needs: Mapping[str, Sequence[Mapping[str, Any]]], finished: bool) -> str:
    if not needs and finished:
        return "No verdict: no question has a reference answer that the measure could be scored on."
    if not needs:
        return "No verdict: no system outside the controls finished."
    failing = {n: [c["need"] for c in rows if not c["met"]] for n, rows in needs.items()}
    nearest = min(failing, key=lambda n: len(failing[n]))
    return f"No system meets the needs. Nearest is {nearest}, which fails {_list(failing[nearest])}."
