"""The gate's verbs: `gate`, `gate calibrate` and `baseline accept`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import RunPath, load

if TYPE_CHECKING:
    from bench.gate.decisions import Result, Rules
    from bench.gate.snapshot import Snapshot


def gate(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN", help="A run's folder; or `calibrate` and a SPEC or three runs.")
    ],
    baseline: Annotated[Path | None, typer.Option(help="A baseline's file, or another run.")] = None,
    rules: Annotated[
        Path | None, typer.Option(help="YAML of rules.  [default: 2 points of quality, 10% of time, 5% of memory]")
    ] = None,
    inconclusive: Annotated[
        str, typer.Option(help="What an inconclusive gate exits with: its own 3, pass or fail.")
    ] = "3",
    junit: Annotated[Path | None, typer.Option(help="JUnit XML to write.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Markdown to write, under 64 kB.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON to write.")] = None,
    repeats: Annotated[int, typer.Option(help="Of the SPEC, to calibrate with.")] = 3,
) -> None:
    """Compare RUN with a baseline, rule by rule. Exits 0: pass, 1: regression, 2: usage, 3: inconclusive.

    `ragtune gate calibrate SPEC` repeats one run and measures the noise, below which no margin can be held.
    """
    import os

    from bench.cli import tables
    from bench.core.errors import UserError
    from bench.gate import decisions as gates
    from bench.gate import outputs
    from bench.gate import snapshot as baselines

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
    given = gates.load(rules)
    new, old = baselines.read(Path(runs[0])), baselines.read(baseline)
    gates.check_margins(given, old.floors)
    results = _confirmed(gates.gate(new, old, given), Path(runs[0]), old, given)
    for path, text in (
        (junit, outputs.junit(results, name=new.name)),
        (markdown, outputs.markdown(results, name=new.name)),
        (json_file, outputs.as_json(results)),
    ):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    tables.gate(results)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in outputs.workflow_commands(results):
            typer.echo(line)
    outcome = gates.verdict(results)
    typer.echo(f"gate: {outcome}")
    raise typer.Exit({"pass": 0, "fail": 1, "inconclusive": {"3": 3, "pass": 0, "fail": 1}[inconclusive]}[outcome])


def _confirmed(results: list[Result], run: Path, old: Snapshot, rules: Rules) -> list[Result]:
    """What a judge's metric fails, asked once more of the judge: a verdict that does not come again fails nothing."""
    from bench.core.errors import UserError
    from bench.gate import decisions as gates
    from bench.gate import snapshot as baselines

    doubted = gates.judged(results)
    if not doubted or not run.is_dir():
        return results
    try:
        again = baselines.of_run(run, again=doubted)
    except UserError as e:
        typer.echo(f"The judge could not be asked again: {e}", err=True)
        return results
    return gates.confirmed(results, gates.gate(again, old, rules))


def _calibrate(given: list[str], rules: Path | None, repeats: int) -> None:
    import tempfile

    from bench.cli import progress, tables
    from bench.execution.run import run as run_spec
    from bench.gate import decisions as gates
    from bench.gate import snapshot as baselines

    if len(given) == 1 and not (Path(given[0]) / "run.json").exists():
        spec = load(Path(given[0]), [])
        with tempfile.TemporaryDirectory() as place:
            folders = []
            for n in range(repeats):  # each with a store of its own: what is found there is not measured again
                with progress.progress(False) as tell:
                    folders.append(
                        run_spec(spec, out=Path(place) / str(n), store=Path(place) / f"store-{n}", progress=tell).folder
                    )
            snapshots = [baselines.of_run(f) for f in folders]
    else:
        snapshots = [baselines.of_run(Path(g)) for g in given]
    noise = gates.floors(snapshots)
    tables.floors(noise, gates.detectable(snapshots[0], snapshots[1]))
    gates.check_margins(gates.load(rules), noise)


def baseline(
    verb: Annotated[str, typer.Argument(metavar="accept")],
    run: RunPath,
    reason: Annotated[str, typer.Option(help="Why these figures are the ones to hold.")] = "",
    out: Annotated[Path, typer.Option(help="Where baselines are kept.")] = Path("reports/baselines"),
    repeats: Annotated[
        list[Path], typer.Option("--repeat", help="Further runs of the same spec: the noise is stored too.")
    ] = [],  # noqa: B006
) -> None:
    """`ragtune baseline accept RUN --reason "..."`: keep a run's figures as what later runs are held to."""
    from bench.core.errors import UserError
    from bench.gate import decisions as gates
    from bench.gate import snapshot as baselines

    if verb != "accept":
        raise UserError(
            f"unknown verb {verb!r}.", where="ragtune baseline", remedy='ragtune baseline accept RUN --reason "..."'
        )
    noise = gates.floors([baselines.of_run(f) for f in (run, *repeats)]) if repeats else {}
    typer.echo(f"Wrote {baselines.accept(run, reason=reason, out=out, floors=noise)}.")
