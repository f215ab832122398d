"""The gate's verbs: `gate`, `gate calibrate` and `baseline accept`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import RunPath, load
from bench.cli.say import say

if TYPE_CHECKING:
    from bench.gate.snapshot import Snapshot
    from bench.scoring.schema.gate import Result

EXITS = {"pass": 0, "fail": 1, "inconclusive": 3}


def gate(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN", help="A run's folder; or `calibrate`, followed by a SPEC or at least three runs."
        ),
    ],
    baseline: Annotated[Path | None, typer.Option(help="A baseline's file, or another run.")] = None,
    rules: Annotated[
        Path | None,
        typer.Option(
            help="YAML of rules.  [default: 2 points of quality, 15% of latency and of a training step, 5% of memory]"
        ),
    ] = None,
    inconclusive: Annotated[
        str, typer.Option(help="Exit code of an inconclusive gate: 3, `pass` (0) or `fail` (1).")
    ] = "3",
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write Markdown, under 64 kB, to this file.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write JSON to this file.")] = None,
    repeats: Annotated[int, typer.Option(help="How often `calibrate` runs the SPEC.")] = 3,
) -> None:
    """Compare RUN with a baseline, rule by rule. Exit codes: 0 pass, 1 regression, 2 usage error, 3 inconclusive.

    `ragtune gate calibrate SPEC` repeats one run and measures the noise between identical runs; margins must not be
    smaller.
    """
    from bench.cli import tables
    from bench.core.errors import UserError
    from bench.gate import decisions, outputs
    from bench.gate.held import held
    from bench.scoring.schema.gate import GateFile

    if inconclusive not in ("3", "pass", "fail"):
        raise UserError(f"--inconclusive {inconclusive!r}: give pass or fail, or leave it out.", where="ragtune gate")
    if runs[0] == "calibrate":
        _calibrate(runs[1:], rules, repeats)
        return
    if baseline is None or len(runs) > 1:
        raise UserError(
            "a gate takes one run and `--baseline`.",
            where="ragtune gate",
            remedy="ragtune gate reports/mine --baseline reports/baselines/mine.json",
        )
    for written in (junit, markdown, json_file):
        if written and written.is_file():
            written.unlink()  # what an earlier gate said is not what this one says, whatever becomes of it
    found = held(Path(runs[0]), baseline, rules)
    new, old, results = found.new, found.old, found.results
    if found.unasked:
        say(f"The judge could not be asked again: {found.unasked}", err=True)
    outcome = decisions.verdict(results)
    _write(junit, outputs.junit(results, name=new.name, strict=inconclusive == "fail"))
    _write(markdown, outputs.markdown(results, name=new.name))
    text = outputs.as_json(GateFile(scores=new.seal, baseline=old.name, verdict=outcome, results=tuple(results)))
    _write(json_file, text)
    _show(Path(runs[0]), text)
    tables.gate(results)
    _annotate(results)
    skipped = sum(result.state == "not comparable" for result in results)
    say(f"gate: {outcome}" + (f", with {skipped} of {len(results)} rules not comparable" if skipped else ""))
    if not decisions.is_any_compared(results):
        say("Nothing could be compared, which is never a pass.", err=True)
        if outcome == "inconclusive" and inconclusive == "pass":
            raise typer.Exit(EXITS["inconclusive"])
    exits = EXITS if inconclusive == "3" else {**EXITS, "inconclusive": EXITS[inconclusive]}
    raise typer.Exit(exits[outcome])


def _write(path: Path | None, text: str) -> None:
    from bench.core.files import write_text

    if path:
        write_text(path, text)


def _show(run: Path, text: str) -> None:
    """Keep what the gate said beside the run, and on its page where there is one."""
    from bench.core.files import write_text
    from bench.report import GATE, report

    try:
        write_text(run / GATE, text)
    except OSError as e:  # a run that only can be read is gated all the same
        say(f"{run / GATE} could not be written: {e.strerror}.", err=True)
        return
    if (run / "index.html").exists():
        report(run)


def _annotate(results: Sequence[Result]) -> None:
    """Workflow commands, where GitHub Actions reads them."""
    import os

    from bench.gate.outputs import workflow_commands

    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in workflow_commands(results):
            typer.echo(line)


def _calibrate(given: list[str], rules: Path | None, repeats: int) -> None:
    """The noise of repeats: of finished runs, or of a spec that is run several times."""
    from bench.cli import tables
    from bench.gate import snapshot
    from bench.gate.noise import check_margins, detectable, floors
    from bench.gate.rules import load as load_rules

    if len(given) == 1 and not (Path(given[0]) / "run.json").exists():
        snapshots = _repeated(Path(given[0]), repeats)
    else:
        snapshots = [snapshot.of_run(Path(folder)) for folder in given]
    noise = floors(snapshots)
    tables.floors(noise, detectable(snapshots[0], snapshots[1]))
    check_margins(load_rules(rules), noise, snapshots[0].systems)


def _repeated(path: Path, repeats: int) -> list[Snapshot]:
    """Snapshots of several runs of a spec, each with a store of its own: what a store holds is not measured again."""
    import tempfile

    from bench.cli.progress import progress
    from bench.execution.run import run
    from bench.gate import snapshot
    from bench.gate.noise import check_repeats

    check_repeats(repeats)
    spec = load(path, [])
    snapshots = []
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats):
            with progress(False) as tell:
                outcome = run(
                    spec, out=Path(folder) / str(repeat), store=Path(folder) / f"store-{repeat}", progress=tell
                )
            snapshots.append(snapshot.of_run(outcome.folder))
    return snapshots


def baseline(
    verb: Annotated[str, typer.Argument(metavar="accept", help="What to do with RUN: `accept` it.")],
    run: RunPath,
    reason: Annotated[str, typer.Option(help="Why this baseline is accepted.")] = "",
    out: Annotated[Path, typer.Option(help="Folder where baselines are kept.")] = Path("reports/baselines"),
    repeats: Annotated[
        list[Path],
        typer.Option("--repeat", help="Further runs of the same spec; their noise is stored in the baseline."),
    ] = [],  # noqa: B006
) -> None:
    """Save the results of RUN as a baseline for later runs: `ragtune baseline accept RUN --reason "..."`."""
    from bench.core.errors import UserError
    from bench.gate.noise import floors, run_noise
    from bench.gate.quality import too_few
    from bench.gate.snapshot import accept, accepted_on, of_run, read

    if verb != "accept":
        raise UserError(
            f"unknown verb {verb!r}.", where="ragtune baseline", remedy='ragtune baseline accept RUN --reason "..."'
        )
    runs = [of_run(folder) for folder in (run, *repeats)] if repeats else []
    least, noise = (floors(runs), run_noise(runs)) if runs else ({}, {})
    before = accepted_on(run, out)
    written = accept(run, reason=reason, out=out, floors=least, noise=noise)
    say(f"Wrote {written}" + (f", in place of the baseline of {before}." if before else "."))
    if few := too_few(read(written)):
        say(f"The questions come from {few} documents, too few for a gate to show any loss of quality.")
    if not runs:
        say("Times and memory are not calibrated: give further runs of the spec as --repeat to gate on them.")
