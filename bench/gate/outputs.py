"""A gate's results as JUnit XML, Markdown, JSON and GitHub annotations. Nothing of a run is ever markup in them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from xml.etree import ElementTree

from bench.gate.decisions import BAD, Result, verdict
from bench.scoring.grade import METRICS

CAP = 64_000  # bytes of Markdown: GitHub cuts job summaries and comments
ANNOTATIONS = 10  # that GitHub shows of one step
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # what XML 1.0 cannot hold


def figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def change(r: Result) -> str:
    """The change with its interval: points of a share, per cent of anything else."""
    if r.change is None:
        return ""
    share = r.rule.split(" ")[0] in METRICS
    shown = [f"{v:+.3f}" if share else f"{100 * v:+.1f}%" for v in (r.change, r.low, r.high) if v is not None]
    return f"{shown[0]} ({shown[1]} to {shown[2]})" if len(shown) == 3 else shown[0]


def as_json(results: Sequence[Result]) -> str:
    return (
        json.dumps({"verdict": verdict(results), "results": [asdict(r) for r in results]}, indent=1, allow_nan=False)
        + "\n"
    )


def junit(results: Sequence[Result], *, name: str) -> str:
    """JUnit XML as Jenkins' schema has it: an inconclusive or not comparable rule is skipped, an errored one an error."""
    counts = {"failures": ("fail", "missing"), "errors": ("errored",), "skipped": ("inconclusive", "not comparable")}
    numbers = {k: str(sum(r.state in states for r in results)) for k, states in counts.items()}
    attributes = {"name": _clean(f"ragtune gate {name}"), "tests": str(len(results)), "time": "0", **numbers}
    suite = ElementTree.Element("testsuite", attributes)
    for r in results:
        case = ElementTree.SubElement(suite, "testcase", classname=_clean(r.system), name=_clean(r.rule), time="0")
        message = _clean(f"{r.state}: {r.why}. {figure(r.old)} to {figure(r.new)}, {change(r)}")
        if r.state in ("fail", "missing"):
            ElementTree.SubElement(case, "failure", message=message, type=r.state)
        elif r.state == "errored":
            ElementTree.SubElement(case, "error", message=message, type=r.state)
        elif r.state in ("inconclusive", "not comparable"):
            ElementTree.SubElement(case, "skipped", message=message)
    whole = ElementTree.Element("testsuites")
    whole.append(suite)
    ElementTree.indent(whole)
    return ElementTree.tostring(whole, encoding="unicode", xml_declaration=True) + "\n"


def _clean(text: str) -> str:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def markdown(results: Sequence[Result], *, name: str) -> str:
    """A table for a job summary or a pull request, what is bad first, under the cap."""
    order = ["fail", "missing", "errored", "inconclusive", "warn", "improved", "not comparable", "pass"]
    rows = sorted(results, key=lambda r: order.index(r.state))
    head = f"## ragtune gate: {verdict(results)}\n\n{_cell(name)}: " + ", ".join(
        f"{n} {state}" for state in order if (n := sum(r.state == state for r in results))
    )
    lines = [head, "", "| state | system | rule | before | now | change | why |", "|---|---|---|---|---|---|---|"]
    size = sum(len(line.encode()) + 1 for line in lines) + 80
    for n, r in enumerate(rows):
        cells = (r.state, r.system, r.rule, figure(r.old), figure(r.new), change(r), r.why)
        line = f"| {' | '.join(_cell(c) for c in cells)} |"
        size += len(line.encode()) + 1
        if size > CAP:
            lines.append(f"\n{len(rows) - n} more rules are in the JSON.")
            break
        lines.append(line)
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text that Markdown does not read as anything else."""
    flat = " ".join(_CONTROL.sub("", text).split())
    return re.sub(r"([\\`*_{}\[\]<>()#+!|@~&-])", r"\\\1", flat).replace("http", "ht\u200btp")


def workflow_commands(results: Sequence[Result]) -> list[str]:
    """Workflow commands for GitHub: at most ten, what is bad first; their text escaped as the runner wants it."""
    kinds = {**dict.fromkeys(BAD, "error"), "warn": "warning", "inconclusive": "notice"}
    told = sorted(
        (r for r in results if r.state in kinds), key=lambda r: ["error", "warning", "notice"].index(kinds[r.state])
    )
    lines = []
    for r in told[:ANNOTATIONS]:
        text = f"{r.system}: {r.rule}: {r.state}, {change(r)} {r.why}"
        escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        lines.append(f"::{kinds[r.state]} title=ragtune gate::{escaped}")
    return lines
