"""A gate's results as JUnit XML, Markdown, JSON and GitHub annotations. Nothing of a run is ever markup in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from xml.etree import ElementTree

from bench.core.display import four
from bench.core.media import markdown as cell
from bench.core.media import printable, workflow
from bench.gate.decisions import verdict
from bench.scoring.schema.gate import BAD, ORDER, GateFile, Result

CAP = 64_000  # bytes of Markdown: GitHub cuts job summaries and comments
ANNOTATIONS = 10  # that GitHub shows of one step


def as_json(found: GateFile) -> str:
    """The verdict and every result, as JSON."""
    return json.dumps(found.model_dump(), indent=1, allow_nan=False) + "\n"


def junit(results: Sequence[Result], *, name: str, strict: bool = False) -> str:
    """JUnit XML as Jenkins' schema has it.

    An inconclusive or not comparable rule is a skipped test, or a failure where the gate is `strict`; an errored one is
    an error.
    """
    undecided = ("inconclusive", "not comparable")
    failures = ("fail", "missing", *(undecided if strict else ()))
    counts = {"failures": failures, "errors": ("errored",), "skipped": () if strict else undecided}
    numbers = {k: str(sum(r.state in states for r in results)) for k, states in counts.items()}
    attributes = {"name": printable(f"ragtune gate {name}"), "tests": str(len(results)), "time": "0", **numbers}
    suite = ElementTree.Element("testsuite", attributes)
    for result in results:
        _case(suite, result, failures)
    whole = ElementTree.Element("testsuites")
    whole.append(suite)
    ElementTree.indent(whole)
    return ElementTree.tostring(whole, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ElementTree.Element, result: Result, failures: Sequence[str]) -> None:
    """One result as a test case."""
    names = {"classname": printable(result.system), "name": printable(result.rule), "time": "0"}
    case = ElementTree.SubElement(suite, "testcase", names)
    figures = f"{four(result.old)} to {four(result.new)}, {result.shown}"
    message = printable(f"{result.state}: {result.why}. {figures}")
    if result.state in failures:
        ElementTree.SubElement(case, "failure", message=message, type=result.state)
    elif result.state == "errored":
        ElementTree.SubElement(case, "error", message=message, type=result.state)
    elif result.state in ("inconclusive", "not comparable"):
        ElementTree.SubElement(case, "skipped", message=message)


def markdown(results: Sequence[Result], *, name: str) -> str:
    """For a job summary or a pull request, under the cap: what is bad first, and what passes folded."""
    rows = sorted(results, key=lambda r: ORDER.index(r.state))
    head = f"## ragtune gate: {verdict(results)}\n\n{cell(name)}: " + ", ".join(
        f"{number} {state}" for state in ORDER if (number := sum(r.state == state for r in results))
    )
    told, room = _table([row for row in rows if row.state != "pass"], CAP - len(head.encode()) - 100)
    passed, _ = _table([row for row in rows if row.state == "pass"], room)
    if passed:
        passed = ["", "<details><summary>Rules that pass</summary>", "", *passed, "", "</details>"]
    return "\n".join([head, "", *told, *passed]) + "\n"


def _table(rows: Sequence[Result], room: int) -> tuple[list[str], int]:
    """(lines, bytes that are left of the room); what does not fit is counted in the last line."""
    lines = ["| state | system | rule | before | now | change | why |", "|---|---|---|---|---|---|---|"] if rows else []
    room -= 200 if rows else 0  # for these, and for the last line
    for number, row in enumerate(rows):
        cells = (row.state, row.system, row.rule, four(row.old), four(row.new), row.shown, row.why)
        line = f"| {' | '.join(cell(c) for c in cells)} |"
        room -= len(line.encode()) + 1
        if room < 0:
            lines.append(f"\n{len(rows) - number} more rules are in the JSON.")
            break
        lines.append(line)
    return lines, room


def workflow_commands(results: Sequence[Result]) -> list[str]:
    """Workflow commands for GitHub: at most ten, what is bad first; their text escaped as the runner wants it."""
    kinds = {**dict.fromkeys(BAD, "error"), "warn": "warning", "inconclusive": "notice"}
    shown = sorted(
        (r for r in results if r.state in kinds), key=lambda r: ["error", "warning", "notice"].index(kinds[r.state])
    )
    lines = []
    for result in shown[:ANNOTATIONS]:
        text = f"{result.system}: {result.rule}: {result.state}, {result.shown} {result.why}"
        lines.append(f"::{kinds[result.state]} title=ragtune gate::{workflow(text)}")
    return lines
