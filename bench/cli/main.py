"""The command line: one command per stage. `ragtune --help` imports nothing heavy."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import gate_verbs, init_verb, pairs_verb
from bench.cli.options import Json, Out, RunA, RunB, RunPath, Set, SpecPath, Store, load
from bench.cli.say import say

if TYPE_CHECKING:
    from bench.spec.model import Spec

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Retrieve, fine-tune, or both? One spec in, one measured comparison out.",
)


@app.command()
def run(
    path: SpecPath,
    overrides: Set = [],  # noqa: B006
    out: Out = Path("reports"),
    store: Store = None,
    as_json: Json = False,
    details: Annotated[bool, typer.Option("--details", help="Print every system, scenario and claim.")] = False,
    executor: Annotated[str, typer.Option(help="Where cells run: local, or ray.")] = "local",
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The Ray cluster; `auto`: the one running here.")
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Ask every question anew, as where the model behind an endpoint has changed."),
    ] = False,
) -> None:
    """Build, run and measure every system of SPEC, score it, and draw the report. Continues where it was stopped."""
    from bench.cli import progress, tables
    from bench.cli.first_screen import first_screen
    from bench.execution.executors import chosen
    from bench.execution.run import run as run_spec
    from bench.execution.run_file import read_run
    from bench.report import report
    from bench.verdict.score import score

    spec = load(path, overrides)
    opening = chosen(executor, address)
    try:
        with progress.progress(as_json) as tell:
            outcome = run_spec(spec, out=out, store=store, progress=tell, executor=opening, again=again)
    except KeyboardInterrupt:
        say("interrupted; run the same command to go on.", err=True)
        raise typer.Exit(130) from None
    _judge(spec, outcome.folder)
    with progress.bar("scoring", quietly=True) as scoring:
        scores = score(outcome.folder, tell=scoring)
    page = report(outcome.folder)
    if as_json:
        found = {
            "run": str(outcome.folder),
            "status": outcome.status,
            "computed": outcome.computed,
            "failed": outcome.failed,
            "report": str(page),
        }
        print(json.dumps(found))
    else:
        if details:
            tables.scores(scores)
            tables.verdict(scores)
        first_screen(read_run(outcome.folder), scores, page)
        for cell, reason in outcome.failed.items():
            say(f"failed: {cell}: {reason}", err=True)
    raise typer.Exit(1 if outcome.failed else 0)


def _judge(spec: Spec, folder: Path) -> None:
    """Have the answers judged by the models that the spec names, where it names any."""
    from bench.scoring import entailment_stage, judge_stage

    if spec.entailment is not None:
        entailment_stage.entail_run(folder)
    if spec.judge is not None:
        judge_stage.judge_run(folder)


@app.command()
def score(
    run: RunPath,
    again: Annotated[
        bool, typer.Option(help="Compute what is stored too, and exit with 1 where it comes out otherwise.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Score the records of RUN, without running a model. Scores of these very files and rules are read back."""
    from bench.cli import tables
    from bench.cli.progress import bar
    from bench.verdict.score import compared_with, held
    from bench.verdict.score import score as score_run

    before, apart = (held(run) if again else None), False
    with bar("scoring", quietly=True) as tell:
        scores = score_run(run, tell=tell, anew=again)
    if again:
        told, apart = compared_with(before, held(run))
        say(told, err=as_json)
    if as_json:
        print(json.dumps(scores.model_dump(mode="json"), indent=1))
    else:
        tables.scores(scores)
        tables.verdict(scores)
    if apart:
        raise typer.Exit(1)


@app.command()
def judge(run: RunPath) -> None:
    """Have RUN's answers judged by the models that its spec names (`judge`, `entailment`).

    Then score the run, and draw its report again.
    """
    from bench.cli import tables
    from bench.cli.progress import bar
    from bench.execution.run_file import read_run
    from bench.report import report as draw
    from bench.scoring import entailment_stage, judge_stage
    from bench.verdict.score import score as score_run

    spec = read_run(run).spec
    if spec.entailment:
        with bar("entailment") as tell:
            say(f"{entailment_stage.entail_run(run, tell=tell)} answers held against the passages shown.")
    if spec.judge or not spec.entailment:
        with bar("judging") as tell:
            found = judge_stage.judge_run(run, tell=tell)
        counts = f"{found.failed} failed, {found.cached} known before"
        say(f"{found.verdicts} verdicts by {found.model}, {counts}.")
    tables.scores(score_run(run))
    say(f"Report: {draw(run, again=True)}")


@app.command()
def report(
    run: RunPath,
    form: Annotated[
        str,
        typer.Option("--format", help="html; or the scores as markdown, csv, json, parquet, mlflow, every-eval-ever."),
    ] = "html",
) -> None:
    """Draw RUN's index.html again from its scores. For a folder of runs, write an overview page."""
    from bench.core.errors import UserError
    from bench.gate.snapshot import accepted
    from bench.report import report as draw
    from bench.report.charts.history import Accepted
    from bench.report.export import FORMATS
    from bench.report.site import index

    if form not in ("html", *FORMATS):
        raise UserError(
            f"unknown format {form!r}.", where="--format", remedy=f"Give one of html, {', '.join(FORMATS)}."
        )
    if not run.exists():
        raise UserError("no such folder.", where=str(run), remedy="Give a run's folder, or a folder of runs.")
    if run.is_dir() and not (run / "run.json").exists():
        baselines = [Accepted(old.name, old.dataset, old.central) for old in accepted(run / "baselines")]
        say(f"Index: {index(run, baselines)}")
    elif form != "html":
        say(f"{form}: {FORMATS[form](run)}")
    else:
        say(f"Report: {draw(run, again=True)}")


@app.command()
def compare(
    a: RunA,
    b: RunB = None,
    paper: Annotated[bool, typer.Option("--paper", help="Compare run A with the figures of its spec's paper.")] = False,
    as_json: Json = False,
) -> None:
    """Compare run A with run B: the specs first, then every measure, paired by question; or with a paper's figures."""
    from dataclasses import asdict

    from bench.cli import tables
    from bench.core.errors import UserError
    from bench.verdict.compare_runs import compare as compare_runs

    if paper == (b is not None):
        raise UserError("give a second run, or --paper, and not both.", where="ragtune compare")
    if b is None:
        from bench.verdict.published import beside

        published, rows = beside(a)
        if as_json:
            print(json.dumps({"paper": published.model_dump(), "rows": [asdict(row) for row in rows]}, indent=1))
        else:
            tables.published(published, rows)
        return
    found = compare_runs(a, b)
    if as_json:
        print(json.dumps(asdict(found), indent=1))
    else:
        tables.comparison(found)


@app.command()
def claims(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A run's folder, to show what it says of each claim.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the claims about retrieval and fine-tuning and how each is tested; with RUN, show its results."""
    from bench.cli import tables
    from bench.verdict.claims import ledger
    from bench.verdict.score import score as score_run

    if run:
        found = score_run(run).claims
        rows = [claim.model_dump(mode="json") for claim in found]
    else:
        rows = [{key: value for key, value in claim.items() if key != "test"} for claim in ledger()]
    if as_json:
        print(json.dumps(rows, indent=1))
    elif run:
        tables.claims(found)
    else:
        tables.ledger(rows)


app.command()(gate_verbs.gate)
app.command()(gate_verbs.baseline)
app.command()(pairs_verb.pairs)
app.command()(init_verb.init)


@app.command()
def validate(path: SpecPath, overrides: Set = []) -> None:  # noqa: B006
    """Check SPEC and its dataset, without running anything."""
    import tempfile

    from bench.core.display import many
    from bench.core.store import Store as Artefacts
    from bench.data.summary import described
    from bench.execution.pinning import prepare
    from bench.execution.plan import room, too_large
    from bench.execution.windows import lengths, windows

    with tempfile.TemporaryDirectory() as nowhere:
        prepared = prepare(load(path, overrides), Artefacts(Path(nowhere)), offline=True)
        sizes, notes = lengths(prepared), [*prepared.notes, *windows(prepared), *too_large(prepared, room(prepared))]
    task = prepared.task
    say(
        f"{path}: valid. {many(len(prepared.cells), 'cell')}, {many(len(task.corpus), 'passage')}, "
        f"{len(task.train):,} training and {len(task.test):,} test questions."
    )
    for line in (*described(task), *sizes, *(f"Note: {note}" for note in notes)):
        say(line)


@app.command()
def plan(
    path: SpecPath,
    overrides: Set = [],  # noqa: B006
    out: Out = Path("reports"),
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Show what a run of SPEC would do: its cells, which of them are done, and the time and memory to expect."""
    from bench.cli import tables
    from bench.execution.plan import plan as plan_run

    rows, notes = plan_run(load(path, overrides), out=out, store=store)
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    tables.plan(rows)
    for note in notes:
        say(f"Note: {note}")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check whether this machine can run ragtune, and suggest what to do where it cannot."""
    from bench.cli import tables
    from bench.execution.doctor import examine

    findings = examine()
    if as_json:
        print(json.dumps(findings, indent=1))
    else:
        tables.findings(findings)
    raise typer.Exit(1 if any(finding["state"] == "broken" for finding in findings) else 0)


@app.command()
def systems() -> None:
    """List the kinds of system that a spec can name."""
    from bench.spec import kinds

    for name in kinds.builtin():
        say(f"{name:12} {kinds.load(name).about}")


@app.command()
def schema(
    of: Annotated[str, typer.Option(help="The file that is described: spec, scores or run.")] = "spec",
) -> None:
    """Print the JSON Schema of a spec, for editors; or of scores.json or run.json, for tools that read them."""
    from bench.core.errors import UserError
    from bench.execution.run_file import RunFile
    from bench.scoring.schema import Scores
    from bench.spec.json_schema import schema as spec_schema

    schemas = {"spec": spec_schema, "scores": Scores.model_json_schema, "run": RunFile.model_json_schema}
    if of not in schemas:
        raise UserError(f"no schema of {of!r}.", where="--of", remedy=f"Give one of {', '.join(schemas)}.")
    print(json.dumps(schemas[of](), indent=1))


@app.command()
def world(
    out: Annotated[Path, typer.Argument(help="The dataset folder to write.")],
    seed: Annotated[str, typer.Option(help="The same seed gives the same bytes.")] = "plant-1",
    pages: Annotated[
        int, typer.Option(help="Pages of the factory, 30 to 1,000,000; 10% more describe another, unrelated world.")
    ] = 360,
    train: Annotated[int, typer.Option(help="Training questions.")] = 600,
    dev: Annotated[int, typer.Option(help="Questions to select models on.")] = 60,
    test: Annotated[int, typer.Option(help="Test questions.")] = 400,
    facts: Annotated[int, typer.Option(help="Facts that each page states.")] = 4,
    wordings: Annotated[int, typer.Option(help="Number of wordings of each fact on its page.")] = 1,
    paraphrases: Annotated[int, typer.Option(help="Number of differently worded training questions per fact.")] = 3,
    restated: Annotated[int, typer.Option(help="Number of paraphrased copies of each page, to train on passages.")] = 4,
    siblings: Annotated[int, typer.Option(help="Number of machines that share a name, as hard distractors.")] = 2,
    skew: Annotated[
        float, typer.Option(help="How unevenly engineers and parts are referred to, from 0 (evenly) towards 1.")
    ] = 0.0,
    updated: Annotated[float, typer.Option(help="Share of pages that version 2 changes.")] = 0.15,
    unanswerable: Annotated[
        float, typer.Option(help="Share of test questions that the corpus does not answer.")
    ] = 0.15,
) -> None:
    """Generate a synthetic dataset about a fictional factory, in the native format of ragtune."""
    from bench.core.errors import UserError
    from bench.world.dataset import write
    from bench.world.questions import Quiz
    from bench.world.world import World

    try:
        plant = World(seed, pages, facts, wordings, siblings, skew, updated)
        written = write(out, Quiz(plant, train, dev, test, paraphrases, unanswerable, restated))
    except ValueError as e:
        raise UserError(f"{e}.", where="ragtune world") from None
    except OSError as e:
        raise UserError(f"cannot be written: {e.strerror}.", where=str(out), remedy="Give another folder.") from None
    say(f"Wrote {out}: {written['passages']:,} passages, {train} training and {test} test questions.")


@app.callback(invoke_without_command=True)
def _version(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if version:
        from importlib.metadata import version as installed

        say(f"ragtune {installed('ragtune')}")
        raise typer.Exit


def main() -> None:
    """Exit codes: 0 done, 1 a cell failed, 2 the user's mistake, 130 interrupted."""
    from bench.core.errors import UserError

    sys.path.append(str(Path.cwd()))  # a kind may be a module of the folder that ragtune is run in
    try:
        app(standalone_mode=True)
    except UserError as e:
        say(f"error: {e}", err=True)
        sys.exit(2)
    except UnicodeEncodeError:
        say("error: a name on the command line, or in the environment, is no text.", err=True)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(141)
    except SystemExit:
        if type(sys.stdout).__name__ == "PacifyFlushWrapper":  # nobody reads on: typer exits as for a failure
            sys.exit(141)
        raise
    except OSError as e:  # a full disk, a name that is too long, a folder that may not be written to
        where = f"{e.filename!s:.300}: " if e.filename else ""
        say(f"error: {where}{e.strerror or e}.", err=True)
        sys.exit(2)
