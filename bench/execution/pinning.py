"""A spec made concrete: every model pinned by its digest, the dataset loaded, every cell known by its identity."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.core import hub
from bench.core.blocks import Chunking, Tuning
from bench.core.digest import file_digest
from bench.core.errors import Mistakes, UserError
from bench.core.exercises import read_exercises
from bench.core.gpu import gpus
from bench.core.redact import secret
from bench.core.store import Store
from bench.core.vocabulary import JSON, Passage
from bench.core.window import exceeds, titled, window
from bench.data import prepare as dataset
from bench.data.task import Task
from bench.execution.run_file import shots_in
from bench.spec import kinds
from bench.spec.cells import Cell, cells
from bench.spec.model import Spec
from bench.spec.paths import Paths


@dataclass(frozen=True)
class Prepared:
    """A spec made concrete: what is to run, on what, and how it is recognised."""

    spec: Spec
    cells: list[Cell]
    identities: dict[str, str]
    task: Task
    task_folder: Path
    origin: dict[str, JSON]
    models: dict[str, str]
    notes: tuple[str, ...] = ()  # what could not be looked up


def prepare(spec: Spec, store: Store, *, offline: bool = False) -> Prepared:
    """Pin every model and load the task. Raises UserError for what cannot run; writes only to the store.

    `offline`: nothing is to run, so that a hub id that the hub cannot be asked about is noted and not refused.
    """
    models: dict[str, str] = {}
    unknown: dict[str, str] | None = {} if offline else None
    known: dict[tuple[str, str | None], str] = {}
    mistakes, pinned = Mistakes(), []
    for cell in cells(spec):
        config = _pinned(cell.config, known, models, mistakes, unknown)
        pinned.append(cell.model_copy(update={"config": config}))
    if spec.entailment is not None:
        with mistakes.noted():
            hub.examine(spec.entailment.name, what="entailment model", key="entailment.name")
    source = Paths(spec.folder).dataset(spec.dataset)
    with mistakes.noted():
        task, origin = dataset.load(source, store)
    mistakes.tell()
    folder = store.path(dataset.recipe(source, origin["source"]))

    @cache  # the cells of a run share embedders
    def chunking(name: str, revision: str | None) -> JSON:
        return _chunking(name, revision, task.corpus)

    pinned = [c.model_copy(update={"config": _cut(c.config, chunking)}) for c in pinned]
    _check(spec, pinned, task)
    names = [g["name"] for g in gpus()]
    identities = {c.id: c.identity(origin["digest"], spec.measure, names) for c in pinned}
    return Prepared(spec, pinned, identities, task, folder, origin, models, tuple((unknown or {}).values()))


def _pinned(
    value: Any,
    known: dict[tuple[str, str | None], str],
    models: dict[str, str],
    mistakes: Mistakes,
    unknown: dict[str, str] | None,
    key: str = "",
) -> Any:
    """The config with the digest of every model, embedder and reranker filled in, and of every file. What the hub could
    not be asked about goes into `unknown`, where there is one."""
    if not isinstance(value, dict):
        return value
    filled = {k: _pinned(v, known, models, mistakes, unknown, k) for k, v in value.items()}
    if "digest" in filled and filled.get("path"):
        with mistakes.noted():
            filled["digest"] = _of_file(Path(filled["path"]), key)
        return filled
    if "digest" not in filled or not filled.get("name"):
        return filled
    name, revision = str(filled["name"]), filled.get("revision")
    if filled.get("base_url"):
        filled["digest"] = f"endpoint:{name}"
    elif filled.get("shape"):
        filled["digest"] = name
    else:
        if (name, revision) not in known:
            what = {"model": "base model"}.get(key, key)
            with mistakes.noted():
                try:
                    known[name, revision] = hub.pin(name, revision, what=what, key=f"{key}.name")
                except hub.Unreachable as e:
                    if unknown is None:
                        raise
                    unknown[name] = f"It was not checked: {e.problem}"
        if (name, revision) not in known:
            return filled
        filled["digest"] = known[name, revision]
        if filled["digest"].startswith("hub:"):
            filled["revision"] = filled["digest"].rpartition("@")[2]
    models[name if revision is None else f"{name}@{revision}"] = filled["digest"]
    return filled


def _cut(config: dict[str, Any], chunking: Callable[[str, str | None], JSON]) -> dict[str, Any]:
    """The config with `chunking: auto` decided, wherever a retrieval block stands beside an embedder."""
    inner = {k: _cut(v, chunking) if isinstance(v, dict) else v for k, v in config.items()}
    retrieval = inner.get("retrieval")
    if isinstance(retrieval, dict) and retrieval.get("chunking") == "auto":
        embedder = inner.get("embedder") or {}
        # what looks for words alone is cut alike: recall of chunks is of one kind of chunk in a run
        found = chunking(str(embedder.get("name") or ""), embedder.get("revision"))
        inner["retrieval"] = {**retrieval, "chunking": found}
    return inner


def _chunking(name: str, revision: str | None, corpus: Sequence[Passage]) -> JSON:
    """Chunks as long as the embedder's window where a passage exceeds it; None where none does, or it is not known."""
    folder = hub.local(name, revision)
    seen = window(folder) if folder else None
    if seen is None or not exceeds((titled(passage.title, passage.text) for passage in corpus), seen):
        return None
    titles = max(seen.count(f"{title}. ") if title else 0 for title in {passage.title for passage in corpus})
    size = max(seen.tokens - titles, seen.tokens // 2)  # the title is embedded with each chunk
    return Chunking(unit="tokens", size=size, overlap=size // 8).model_dump(mode="json")


def _of_file(path: Path, key: str) -> str:
    """The digest of a file of answers, or of exercises to rehearse. Raises UserError for one that cannot be used."""
    if not path.is_file():
        raise UserError(
            f"no such file of {'exercises' if key == 'replay' else 'answers'}.",
            where=str(path),
            remedy=f"Mend `{key}.path`; relative paths start at the spec's folder.",
        )
    if key == "replay":
        read_exercises(path)
    return file_digest(path)


def _check(spec: Spec, pinned: list[Cell], task: Task) -> None:
    """Raises UserError with all that the data lack for the systems."""
    mistakes, asked = Mistakes(), [e.question.id for e in task.test]
    if spec.measure.load is not None and not any(cell.config["model"].get("base_url") for cell in pinned):
        with mistakes.noted():
            raise UserError(
                "systems on an endpoint are asked under load, and there is none.",
                where=f"{spec.name}: measure.load",
                remedy="Give a system `model.base_url`, or leave it out.",
            )
    for cell in pinned:
        with mistakes.noted():
            _check_cell(spec, cell, task)
            kind = kinds.load(cell.kind)
            if kind.examine is not None:
                kind.examine(kind.Config.model_validate(cell.config), asked)
    mistakes.tell()


def _to_train_on(task: Task) -> str:
    """How there could be training questions. Questions of one group, such as one document, are never divided."""
    share = "lower dataset.test_share, " if len({e.group for e in task.test}) > 1 else ""
    return f"Give a training split, {share}or leave the system out."


def _check_sample(cell: Cell, task: Task, where: str) -> None:
    """Raises UserError where a sample is of types of question that the dataset does not have."""
    wanted = (cell.config.get("sample") or {}).get("strata") or ()
    types = dict.fromkeys(e.stratum for e in task.test)
    for unknown in (stratum for stratum in wanted if stratum not in types):
        near = difflib.get_close_matches(unknown, types, 1)
        raise UserError(
            f"{cell.system!r} is asked a sample of the type {unknown!r}, and no test question is of it.",
            where=f"{where}: sample.strata",
            remedy=f"Did you mean {near[0]!r}?" if near else f"Types: {', '.join(types)}.",
        )


def _check_cell(spec: Spec, cell: Cell, task: Task) -> None:
    tuning = Tuning.shared(cell.config["tuning"]) if "tuning" in cell.config else None
    if shots_in(cell.config) and not any(e.answers for e in task.train):
        raise UserError(
            f"system {cell.system!r} shows answered training questions, and there is none.",
            where=spec.name,
            remedy=_to_train_on(task),
        )
    if tuning and not any(e.answers is not None for e in task.train):
        raise UserError(
            f"system {cell.system!r} tunes, and no training question has a reference answer.",
            where=spec.name,
            remedy=_to_train_on(task),
        )
    if tuning and (tuning.search or tuning.early_stopping) and not task.dev:
        raise UserError(
            f"system {cell.system!r} selects on dev, and the dataset has no dev split.",
            where=spec.name,
            remedy="Set dataset.dev_share, or drop tuning.search and tuning.early_stopping.",
        )
    if tuning and tuning.paraphrases and not task.paraphrases:
        raise UserError(
            f"system {cell.system!r} trains on paraphrases, and the dataset has none.",
            where=spec.name,
            remedy="Put the passages in other words into paraphrases.jsonl, or drop tuning.paraphrases.",
        )
    _check_sample(cell, task, spec.name)
    if (cell.config.get("sample") or {}).get("renewed") and not any(e.changes for e in task.test):
        raise UserError(
            f"{cell.system!r} trains anew after the update, and no test question has `updated`.",
            where=f"{spec.name}: scenarios.freshness",
            remedy="Give updates.jsonl and `updated` answers, or leave it out.",
        )
    secret(cell.config["model"].get("api_key_env"), "model.api_key_env")
    if cell.config.get("distractors") is not None and not any(e.question.gold for e in task.test):
        raise UserError(
            f"system {cell.system!r} shows gold passages, and no test question has any.",
            where=spec.name,
            remedy="Leave it out.",
        )
