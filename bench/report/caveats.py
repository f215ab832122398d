"""What a reader must know before quoting a number, written from the data."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping

from bench.core import display
from bench.execution.cell_result import CellResult
from bench.execution.run_file import RunFile
from bench.metrics.grounding import BLIND
from bench.metrics.registry import title
from bench.scoring.schema import MeasuredSystem, Scores
from bench.stats.intervals import SUPPORT
from bench.stats.rounds import is_off
from bench.verdict.claim_terms import as_many
from bench.verdict.sentence import listed

Measured = Mapping[str, MeasuredSystem]
FEW_GROUPS = 20  # below which the reader is told that questions come in groups


def caveats(run: RunFile, scores: Scores) -> list[str]:
    """One sentence each, in the order in which they weigh."""
    done = scores.measured
    return [
        *_bundled(run, done),
        *run.dataset.notes,
        *_grouped(scores),
        *run.windows,
        *_models(run, done),
        *_training(run, done),
        *_elsewhere(run, done),
        *_serving(run, done),
        *_tokens(done),
        *_alone(done),
        *_leaks(run, scores),
        *(caveat for name, system in done.items() for caveat in _of(name, system)),
        *_several_calls(run),
        *_times(run, done),
        *(_judge(scores) if done else ()),
    ]


def _bundled(run: RunFile, done: Measured) -> Iterator[str]:
    """What the bundled model and dataset cannot show."""
    if any(display.is_bundled(run.systems[name].model.name) for name in done):
        yield (
            "The base model comes with ragtune. It is tiny, and was made to read pages that ragtune itself writes, in "
            "some dozens of sentence templates, such as those of its datasets. What is recommended holds for this "
            "model and these documents: run your own before you decide."
        )


def _several_calls(run: RunFile) -> Iterator[str]:
    """That cells were run before the last call of the command, which the machine's figures are of."""
    before = [cell.started for cell in (run.cells or {}).values() if cell.started and cell.started < run.started - 1]
    if before:
        ago, many = display.span(run.started - min(before)), display.many(len(before), "cell")
        yield (
            f"{many} of {len(run.cells or {})} ran in earlier calls, up to {ago} before the last one, which "
            "the load and the peaks of the machine are of."
        )


def _elsewhere(run: RunFile, done: Measured) -> Iterator[str]:
    """What was tuned elsewhere; and what was found in the store, and was built on a device that is not here."""
    for name in done:
        places = {a.place for cell in run.done(name).values() for a in cell.brought}
        if done[name].trained_elsewhere:
            yield (
                f"{name} was tuned elsewhere and is served by an endpoint: what its training took is not known, and it "
                "has no price a month."
            )
        if places:
            yield (
                f"{name}: parts of it were found in the store, built on {listed(sorted(places))}. What that took "
                "there is not what it takes here, so what it costs to build is not counted."
            )


def _alone(done: Measured) -> Iterator[str]:
    """Whose questions were all asked one at a time, which is what they are priced by."""
    names = [n for n, s in done.items() if s.cost.thousand_questions_usd and not s.speed.batched_n and not s.endpoint]
    if names:
        yield (
            f"{listed(names)}: all questions were asked one at a time, so prices are of that and not of batches, which "
            "cost less; `measure.latency_questions` says how many are."
        )


def models(run: RunFile, names: Iterable[str]) -> dict[str, list[str]]:
    """model -> the systems that it answers for."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(run.systems[name].model.name, []).append(name)
    return found


def _models(run: RunFile, done: Measured) -> Iterator[str]:
    random = [name for name in done if run.systems[name].model.shape]
    if random:
        yield f"The weights are random ({listed(random)}): scores say nothing, times and memory do."
    if len(found := models(run, done)) > 1:
        each = "; ".join(f"{model}: {', '.join(names)}" for model, names in found.items())
        yield (
            f"Systems answer with different models ({each}). Differences between them are of model and method together."
        )
    notes = {name: next(iter(run.done(name).values())).notes for name in done}
    for name, note in notes.items():
        if note.four_bit_share is not None and note.four_bit_share < 0.95:
            share = f"{note.four_bit_share:.0%}"
            yield f"{name}: {share} of the parameters inside the layers are 4-bit, the others are not."
        if note.context:
            much = "the whole corpus is" if note.context.all else f"only the first {note.context.held:,} passages are"
            yield (
                f"{name}: {much} in every prompt, {note.context.tokens:,} tokens that are read once; their cache takes "
                f"{display.size(note.context.cache_bytes)}."
            )
        if note.prequantised:
            how = note.prequantised
            yield f"{name}: the base model was quantised before ({how}); its weights are used as they are."
    for name in run.systems:  # experiments on an index too
        by = {cell.notes.index for cell in run.done(name).values() if cell.notes.index}
        if by:
            yield f"{name}: its vectors were searched by {listed(sorted(by))}: its times are not those of a server."
    rough = [name for name in done if run.systems[name].embeds_in_int8]
    if rough:
        yield f"{listed(rough)}: the embedder's linear layers are in 8 bits, so that its vectors are its own."
    for name, note in notes.items():
        if note.tuning and note.tuning.left_out:
            modules = listed(list(note.tuning.left_out))
            yield f"{name}: LoRA adapts every linear layer but {modules}, which PEFT adapts in no model of this type."
    moved = [name for name in done if any(cell.notes.system_text for cell in run.done(name).values())]
    if moved:
        yield f"{listed(moved)}: the chat template has no system role, so the system text begins the user's turn."


def _serving(run: RunFile, done: Measured) -> Iterator[str]:
    """The adapters that were measured in one way of serving alone: beside their base, or merged into it."""
    merged = {s.served_otherwise.beside for s in done.values() if s.served_otherwise}
    beside = [name for name in done if run.systems[name].serves_an_adapter and name not in merged]
    if beside:
        yield (
            f"{listed(beside)}: times and memory are with the adapter beside its base. Merged into it, which is "
            "faster, it was not measured: `serving: merged`."
        )
    alone = [name for name, s in done.items() if s.serving in ("merged", "merged_nf4") and not s.served_otherwise]
    if alone:
        yield (
            f"{listed(alone)}: the adapter is merged into its base. Whether that changed answers was not counted: no "
            "system serves the same adapter beside its base (`serving: adapter`)."
        )


def _training(run: RunFile, done: Measured) -> Iterator[str]:
    seeds = len(run.spec.seeds)
    if seeds < 3 and any(system.build.steps for system in done.values()):
        yield f"Training variance was not measured: {display.many(seeds, 'seed')}; at least three are needed."


def _tokens(done: Measured) -> Iterator[str]:
    """The pairs of systems that were trained on different amounts, by more than 10%."""
    trained = {name: float(system.build.tokens) for name, system in done.items() if system.build.tokens}
    pairs = [
        f"{a} ({trained[a]:,.0f}) and {b} ({trained[b]:,.0f})"
        for a, b in itertools.combinations(trained, 2)
        if not as_many(trained[a], trained[b])
    ]
    if pairs:
        yield f"Trained on different numbers of tokens, by more than 10%: {'; '.join(pairs)}."


def _leaks(run: RunFile, scores: Scores) -> Iterator[str]:
    if run.asked_again:
        yield (
            f"{run.asked_again} test questions are asked in the training data in the same words, with another answer. "
            "They do not count as leaks."
        )
    if not (leaked := scores.leaks["all"]):
        return
    ways = ", ".join(f"{n} {way}" for way, n in scores.leaks.items() if way != "all")
    found = {name: score for name, s in scores.measured.items() if (score := s.score(scores.headline))}
    clean = {name: score.clean for name, score in found.items() if score.clean}
    same = [name for name, rest in clean.items() if abs(rest.mean - found[name].mean) < 0.005]
    other = [
        f"{name} {display.interval(rest)} on the {rest.n} others, {display.interval(found[name])} on all"
        for name, rest in clean.items()
        if name not in same
    ]
    if same:
        other.append(f"{listed(same)} within 0.005 of their score on all")
    without = f" Scores without them: {'; '.join(other)}." if other else ""
    yield (
        f"{leaked} of the {run.dataset.test} test questions also occur in the training data, identically or nearly so "
        f"({ways}).{without if clean else ' Fewer than 30 others remain, too few for a score without them.'}"
    )


def _of(name: str, system: MeasuredSystem) -> Iterator[str]:
    flips = system.flips
    if flips and (flips.again or flips.alone):
        yield (
            f"{name}: {flips.n} questions were asked again; {flips.again} answers changed in the same batch, "
            f"{flips.alone} when asked alone."
        )
    if system.strictly:
        yield (
            f"{name}: exact match and strict exact match, which keeps decimal points, signs and units, judge "
            f"{system.strictly} of {system.n * system.seeds} answers differently."
        )
    if system.retried:
        yield (
            f"{name}: the endpoint was asked again for {system.retried} of {system.n * system.seeds} answers; they "
            "have no latency."
        )
    if system.read_abstentions:
        yield (
            f"{name}: {system.read_abstentions} of {system.n * system.seeds} answers count as abstaining because the "
            "entailment model reads them so; their words are of no known form."
        )
    if system.stuck:
        yield f"{name}: {system.stuck} of {system.n * system.seeds} answers repeat one word to their end."
    if system.errors:
        yield f"{name}: {system.errors} answers failed; they count as wrong."
    partly = [
        f"{title(measure)} {100 * score.coverage:.0f}%"
        for measure, score in system.scores.items()
        if score and measure in system.doubts and score.coverage < 1
    ]
    if partly:
        yield f"{name}: not every question could be scored: {', '.join(partly)}."
    if system.truncated:
        asked = system.n * system.seeds
        yield f"{name}: {system.truncated} of {asked} prompts lost passages so as to fit the context window."
    if system.build.truncated:
        yield f"{name}: {system.build.truncated} training prompts lost passages so as to fit the context window."
    if system.build.skipped:
        yield f"{name}: {system.build.skipped} training prompts did not fit the context window, and were left out."


def _grouped(scores: Scores) -> Iterator[str]:
    found = [(pair.clusters, pair.n) for pair in scores.compared.get(scores.headline, ())]
    groups, questions = min(found, default=(FEW_GROUPS, FEW_GROUPS))
    if groups < min(FEW_GROUPS, questions):
        yield (
            f"The {questions:,} questions come in only {groups} groups, of a document, a passage or a question asked "
            "again. Answers on one are alike, so that intervals and tests count groups: more documents would narrow "
            "them, and not more questions on these."
        )


def _times(run: RunFile, done: Measured) -> Iterator[str]:
    machines = {cell.environment.model_dump_json() for cell in (run.cells or {}).values() if cell.environment}
    if len(machines) > 1:
        yield "Cells ran in different environments (versions, commit, processor or GPU): times are not comparable."
    fewest = min((system.speed.n for system in done.values()), default=SUPPORT[99])
    short = {f"p{percent}": needs for percent, needs in SUPPORT.items() if percent > 50 and needs > fewest}
    if short:
        each = ", ".join(f"{name} needs {needs}" for name, needs in short.items())
        verb = "are" if len(short) > 1 else "is"
        named = listed(list(short))
        yield f"{named} {verb} not shown: of questions that are asked alone {each}; this run asked {fewest}."
    yield from _disturbed(run, done)
    before, cores = run.load_start, run.environment.cores or 1
    if before and before[0] > 0.5 * cores:
        yield f"The machine was busy when the run began (load {before[0]} on {cores} cores): times are less certain."
    if done and not any(str(system.device).startswith("cuda") for system in done.values()):
        yield "GPU memory was not measured: no system ran on a GPU."


def _disturbed(run: RunFile, done: Measured) -> Iterator[str]:
    """The systems beside which a fixed piece of work took more or less time than usual."""
    usual = run.yardstick_s
    if usual is None:
        return
    built = [name for name in done if any(_was_off(cell, usual) for cell in run.done(name).values())]
    if built:
        yield (
            f"While {listed(built)} trained, the machine was faster or slower than usual by more than 15%: the time "
            "of the training is less certain."
        )
    again = [name for name, system in done.items() if system.speed.of_rounds]
    if again:
        yield (
            f"{listed(again)}: the latencies are of the few questions of the rounds alone, for while the others were "
            "answered the machine was not as usual."
        )
    left = [
        f"{name} ({sum(r.off for r in s.speed.rounds)} of {len(s.speed.rounds)})"
        for name, s in done.items()
        if any(r.off for r in s.speed.rounds)
    ]
    if left:
        disturbed = "Rounds of timing that other work on the machine disturbed, also when they were repeated"
        yield f"{disturbed}: {', '.join(left)}."


def _was_off(cell: CellResult, usual: float) -> bool:
    """Whether a training had a yardstick beside it that was off; only trainings have one."""
    return bool(cell.yardstick_s) and is_off(cell.yardstick_s, usual)


def _judge(scores: Scores) -> Iterator[str]:
    judge = scores.judge
    if judge is None:
        yield (
            "Faithfulness by a language model judge was not measured: no judge is configured (`judge` in the spec, "
            "with base_url and model). K-Precision and citations need no judge, but only compare words: "
            f"{'; '.join(BLIND.values())}."
        )
        return
    kappas = [
        f"{measure}: kappa {c.kappa:.2f}" if c.kappa is not None else f"{measure}: kappa not defined"
        for measure, c in judge.calibration.items()
    ]
    agrees = "; ".join(kappas) or "it was not calibrated against human labels"
    yield f"Judged by {judge.model}, {judge.failed} of {judge.verdicts} verdicts failed; {agrees}."
    for name, system in scores.measured.items():
        for measure, doubt in system.doubts.items():
            if doubt.failed or not doubt.decisive:
                low, high = doubt.bounds
                yield (
                    f"{name}: {title(measure)} leaves out failed verdicts; with them it is between {low:.2f} and "
                    f"{high:.2f}{'' if doubt.decisive else ', not decisive'}."
                )
