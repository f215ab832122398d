"""A gate's results as JUnit XML, Markdown, JSON and GitHub annotations. Nothing of a run is ever markup in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from xml.etree import ElementTree

from bench.core.media import markdown as cell
from bench.core.media import printable, workflow
from bench.gate.decisions import BAD, Result, verdict
from bench.metrics.registry import MEASURES

CAP = 64_000  # bytes of Markdown: GitHub cuts job summaries and comments
ANNOTATIONS = 10  # that GitHub shows of one step


def figure(value: float | None) -> str:
    """A number with four digits; nothing for None."""
    return "" if value is None else f"{value:.4g}"


def change(result: Result) -> str:
    """The change with its interval: points of a share, per cent of anything else."""
    if result.change is None:
        return ""
    share = result.rule.split(" ")[0] in MEASURES
    ends = (result.change, result.low, result.high)
    shown = [f"{v:+.3f}" if share else f"{100 * v:+.1f}%" for v in ends if v is not None]
    return f"{shown[0]} ({shown[1]} to {shown[2]})" if len(shown) == 3 else shown[0]


def as_json(results: Sequence[Result]) -> str:
    """The verdict and every result, as JSON."""
    found = {"verdict": verdict(results), "results": [asdict(r) for r in results]}
    return json.dumps(found, indent=1, allow_nan=False) + "\n"


def junit(results: Sequence[Result], *, name: str) -> str:
    """JUnit XML as Jenkins' schema has it.

    An inconclusive or not comparable rule is a skipped test, an errored one an error.
    """
    counts = {"failures": ("fail", "missing"), "errors": ("errored",), "skipped": ("inconclusive", "not comparable")}
    numbers = {k: str(sum(r.state in states for r in results)) for k, states in counts.items()}
    attributes = {"name": printable(f"ragtune gate {name}"), "tests": str(len(results)), "time": "0", **numbers}
    suite = ElementTree.Element("testsuite", attributes)
    for result in results:
        _case(suite, result)
    whole = ElementTree.Element("testsuites")
    whole.append(suite)
    ElementTree.indent(whole)
    return ElementTree.tostring(whole, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ElementTree.Element, result: Result) -> None:
    """One result as a test case."""
    names = {"classname": printable(result.system), "name": printable(result.rule), "time": "0"}
    case = ElementTree.SubElement(suite, "testcase", names)
    figures = f"{figure(result.old)} to {figure(result.new)}, {change(result)}"
    message = printable(f"{result.state}: {result.why}. {figures}")
    if result.state in ("fail", "missing"):
        ElementTree.SubElement(case, "failure", message=message, type=result.state)
    elif result.state == "errored":
        ElementTree.SubElement(case, "error", message=message, type=result.state)
    elif result.state in ("inconclusive", "not comparable"):
        ElementTree.SubElement(case, "skipped", message=message)


def markdown(results: Sequence[Result], *, name: str) -> str:
    """A table for a job summary or a pull request, what is bad first, under the cap."""
    order = ["fail", "missing", "errored", "inconclusive", "warn", "improved", "not comparable", "pass"]
    rows = sorted(results, key=lambda r: order.index(r.state))
    head = f"## ragtune gate: {verdict(results)}\n\n{cell(name)}: " + ", ".join(
        f"{number} {state}" for state in order if (number := sum(r.state == state for r in results))
    )
    lines = [head, "", "| state | system | rule | before | now | change | why |", "|---|---|---|---|---|---|---|"]
    size = sum(len(line.encode()) + 1 for line in lines) + 80
    for number, row in enumerate(rows):
        cells = (row.state, row.system, row.rule, figure(row.old), figure(row.new), change(row), row.why)
        line = f"| {' | '.join(cell(c) for c in cells)} |"
        size += len(line.encode()) + 1
        if size > CAP:
            lines.append(f"\n{len(rows) - number} more rules are in the JSON.")
            break
        lines.append(line)
    return "\n".join(lines) + "\n"


def workflow_commands(results: Sequence[Result]) -> list[str]:
    """Workflow commands for GitHub: at most ten, what is bad first; their text escaped as the runner wants it."""
    kinds = {**dict.fromkeys(BAD, "error"), "warn": "warning", "inconclusive": "notice"}
    shown = sorted(
        (r for r in results if r.state in kinds), key=lambda r: ["error", "warning", "notice"].index(kinds[r.state])
    )
    lines = []
    for result in shown[:ANNOTATIONS]:
        text = f"{result.system}: {result.rule}: {result.state}, {change(result)} {result.why}"
        lines.append(f"::{kinds[result.state]} title=ragtune gate::{workflow(text)}")
    return lines
