"""Records to scores.json: every system with intervals, every pair, the scenarios, the claims, and what follows.

Reads the files of a run and nothing else.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from bench.core.digest import digest, sealed
from bench.core.errors import UserError, fitted
from bench.core.files import content_digest, packed, read_json, write_json
from bench.execution.run_file import RunFile, read_run
from bench.metrics.registry import MEASURES
from bench.scoring import judge_stage
from bench.scoring.grade import Column, named_pairs, pairwise
from bench.scoring.graded import GradedRun
from bench.scoring.records import graded
from bench.scoring.schema import RULES, VERSION, Facts, MeasuredSystem, Scores, System
from bench.spec.model import Spec
from bench.stats.comparisons import Pair, compare_family
from bench.verdict.claims import evaluate
from bench.verdict.disagreements import counted, disagreements, outcomes_of
from bench.verdict.evidence import Evidence
from bench.verdict.recommendation import recommend
from bench.verdict.scenario_tables import scenario_tables

if TYPE_CHECKING:
    import pandas

_FACTS: TypeAdapter[Facts] = TypeAdapter(Facts)


def held(folder: Path) -> dict[str, object] | None:
    """What a scores.json holds, whoever wrote it; None where there is none that can be read."""
    path = folder / "scores.json"
    try:
        raw = read_json(path) if path.exists() else None
    except UserError:
        return {}
    return raw if isinstance(raw, dict) else None


ABOUT = ("source", "seal", "rules", "version")  # keys that are no figures


def compared_with(before: Mapping[str, object] | None, now: Mapping[str, object] | None) -> tuple[str, bool]:
    """(what to say of the scores that were stored beside those of now, whether any figure is another). Figures that
    differ by less than a billionth are the same: processors round otherwise."""
    if before is None or now is None:
        return "No scores were stored.", False
    if before and (before.get("rules"), before.get("version")) != (now["rules"], now["version"]):
        return (
            f"The stored scores were of rules {before.get('rules', 'that they do not name')}; these are stored now.",
            False,
        )
    same = _alike(*({k: v for k, v in side.items() if k not in ABOUT} for side in (before, now)))
    return (
        ("The stored scores are the same.", False)
        if same
        else ("The stored scores differ from these, which are stored now.", True)
    )


def _alike(a: object, b: object) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return a == b


def score(folder: Path, *, tell: Callable[[int, int], None] | None = None, anew: bool = False) -> Scores:
    """Score a run and write scores.json; what is already scored from these very files is read back. `tell` hears how
    many measures of how many are compared. `anew`: nothing is read back.

    Raises UserError where the folder holds no run, or one that has not ended.
    """
    run = read_run(folder)
    if not packed(folder / "records.jsonl").exists():
        raise UserError("this run has no records yet.", where=str(folder), remedy="Finish it with `ragtune run`.")
    if run.cells is None or _has_older_records(folder, run):
        raise UserError(
            "this run was stopped before it ended.", where=str(folder), remedy="Finish it with `ragtune run`."
        )
    files = _digests(folder)
    check_records(folder, run, files["records.jsonl"])
    source = _source(folder, run, files)
    stored = None if anew else _stored(folder)
    if stored is not None and stored.source == source:
        return stored
    found = evaluated(graded(folder), source=source, tell=tell)
    written = found.model_dump(mode="json")
    seal = sealed(written)
    write_json(folder / "scores.json", {**written, "seal": seal})
    return found.model_copy(update={"seal": seal})


def _has_older_records(folder: Path, run: RunFile) -> bool:
    """Whether a run was stopped before it wrote its records: those that lie there are of the run before."""
    wrote = run.status != "incomplete" or "records.jsonl" in run.files
    return not wrote and packed(folder / "records.jsonl").stat().st_size > 0


def _digests(folder: Path) -> dict[str, str]:
    """sha256 of each file that scores are computed from, unpacked where it is packed."""
    names = ("records.jsonl", *judge_stage.FILES, "judge.json")
    paths = {name: path for name in names if (path := packed(folder / name)).exists()}
    return {name: content_digest(path) for name, path in paths.items()}


def check_records(folder: Path, run: RunFile, found: str | None = None) -> None:
    """Raises UserError where the records, whose digest may be `found` already, are not those that the run wrote."""
    known = run.files.get("records.jsonl")
    if known is not None and known != (found or content_digest(packed(folder / "records.jsonl"))):
        raise UserError(
            "these are not the records that the run wrote: the file was changed or cut short.",
            where=str(packed(folder / "records.jsonl")),
            remedy="Run the spec again: what its cells hold is gathered anew.",
        )


def _stored(folder: Path) -> Scores | None:
    """The scores as they stand; None where there are none, or they are to be computed again."""
    try:
        return read_scores(folder)
    except UserError:
        return None


def _source(folder: Path, run: RunFile, files: Mapping[str, str]) -> str:
    """The digest of everything that the scores are computed from."""
    asked = [run.recorded.get(key) for key in ("prices", "volumes", "needs", "margin", "judge")]
    return digest(
        [
            VERSION,
            RULES,
            list(MEASURES),
            run.identity,
            read_json(folder / "run.json")["cells"],
            asked,
            list(files.values()),
        ]
    )


def is_current(raw: object) -> bool:
    """Whether this version of ragtune wrote these scores."""
    return isinstance(raw, dict) and raw.get("version") == VERSION


def read_scores(folder: Path) -> Scores:
    """scores.json as it stands. Raises UserError where there is none, it is damaged, or another version wrote it."""
    path = folder / "scores.json"
    if folder.is_file():
        raise UserError(
            "this is a file.", where=str(folder), remedy="Give the folder of a run, such as reports/my-run."
        )
    if not path.exists():
        if (folder / "run.json").exists() and not packed(folder / "records.jsonl").exists():
            raise UserError("this run is not finished.", where=str(folder), remedy="Finish it with `ragtune run`.")
        raise UserError("this run is not scored yet.", where=str(folder), remedy="Run `ragtune score` on it.")
    raw = read_json(path)
    if not is_current(raw):
        raise UserError("an older ragtune scored this run.", where=str(folder), remedy="Run `ragtune score` on it.")
    found = fitted(Scores, path, raw, wrong="damaged scores", remedy="Run `ragtune score` on it.")
    if not found.seal or found.seal != sealed(raw):
        raise UserError(
            "these scores were changed after they were computed.",
            where=str(path),
            remedy="Run `ragtune score` on the run: it computes them again from the records.",
        )
    return found


def evaluated(found: GradedRun, *, source: str, tell: Callable[[int, int], None] | None = None) -> Scores:
    """The scores of a graded run. `source` is the digest of its files."""
    run = found.run
    systems = {name: system for name, system in found.systems.items() if system.scenario is None}
    columns = {name: found.columns[name] for name in systems if name in found.columns}
    leading = found.headline
    experiments = {
        name: tuple(_FACTS.validate_python(facts) for facts in by_seed) for name, by_seed in found.experiments.items()
    }
    evidence = Evidence.of(found, headline=leading, experiments=experiments)
    abstain = run.spec.prompt.abstain
    answering = {name: of for name, of in columns.items() if run.systems[name].answers}
    outcomes = {name: outcomes_of(found.first_seed(name), of.get(leading), abstain) for name, of in answering.items()}
    strata = {r.question: r.stratum for name in columns for r in found.first_seed(name)}
    return Scores(
        rules=RULES,
        source=source,
        run=run.name,
        metrics={name: measure.title for name, measure in MEASURES.items()},
        headline=leading,
        systems=systems,
        compared=compared(columns, systems, run.spec, tell=tell),
        leaks=leaked(run),
        judge=found.judge,
        scenarios=scenario_tables(evidence),
        experiments=experiments,
        claims=evaluate(evidence),
        recommendation=recommend(evidence),
        questions=disagreements(outcomes, strata),
        outcomes=counted(outcomes),
    )


def compared(
    columns: Mapping[str, Mapping[str, Column]],
    systems: Mapping[str, System],
    spec: Spec,
    *,
    tell: Callable[[int, int], None] | None = None,
) -> dict[str, tuple[Pair, ...]]:
    """measure -> the pairs of systems, on the questions that both have; one family a measure.

    Of many systems only those with the best, the controls and the first plain retrieval, corrected as if it were all.
    """
    plain = next((name for name, system in systems.items() if system.family == "retrieval"), None)
    fixed = [name for name, system in systems.items() if system.control or name == plain]
    found = {}
    for number, (measure, about) in enumerate(MEASURES.items(), 1):
        having = {name: by_measure[measure] for name, by_measure in columns.items() if measure in by_measure}
        sign = 1 if about.higher_is_better else -1
        best = max(having, key=lambda name: sign * having[name].mean, default="")
        pairs, family = named_pairs(list(having), [best, *fixed], every=spec.all_pairs)
        if parts := pairwise(having, pairs):
            found[measure] = tuple(compare_family(parts, margin=spec.margin, family=family))
        if tell:
            tell(number, len(MEASURES))
    return found


def leaked(run: RunFile) -> dict[str, int]:
    """How many test questions training has seen, in all and in each way."""
    return {"all": len(run.leaks), **Counter(way for ways in run.leaks.values() for way in ways)}


def scores(folder: Path | str) -> pandas.DataFrame:
    """The scores of a run as a frame: one row for each system, measure and stratum (`all` for the whole).

    A system that failed has one row, without a measure.
    """
    return frame(score(Path(folder)))


def frame(found_of: Scores) -> pandas.DataFrame:
    """The same of scores at hand."""
    import pandas

    rows: list[dict[str, object]] = []
    for name, system in found_of.systems.items():
        if not isinstance(system, MeasuredSystem):
            rows.append(
                {
                    **dict.fromkeys(("metric", "stratum", "method"), ""),
                    "system": name,
                    "n": 0,
                    "clusters": 0,
                    "status": "failed",
                }
            )
            continue
        for measure, found in system.scores.items():
            if found is None:
                continue
            for stratum, part in {"all": found, **found.strata}.items():
                if part is not None:
                    keys = {"system": name, "metric": measure, "stratum": stratum}
                    rows.append({**keys, **{k: getattr(part, k) for k in COLUMNS}, "status": system.status})
    return pandas.DataFrame(rows, columns=["system", "metric", "stratum", *COLUMNS, "status"])


COLUMNS = ("mean", "low", "high", "n", "clusters", "method")
