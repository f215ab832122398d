"""Content-addressed artefacts: what is built once is found again by its recipe, with its true cost.

An artefact is a folder. Its digest is the sha256 of the recipe's canonical JSON; its manifest, written
last, holds the recipe, the build seconds and the hash of every file. A folder without a manifest, or
whose files differ from it, was never finished or was damaged, and is built again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from bench.core import meters
from bench.core.digest import digest, file_digest
from bench.core.errors import UserError
from bench.core.files import part_of, read_json, sweep, write_json
from bench.core.memory import Memory
from bench.core.place import place
from bench.core.vocabulary import JSON, Artefact

MANIFEST = "manifest.json"
EARLIER = "earlier_s"  # among the facts of a build that goes on from a stopped one: seconds that were spent then
MEMORY = "memory"  # among the facts of a build in processes of its own: what those took, as `memory.Memory` tells it
PLACE = "place"  # and the device that they used


@dataclass
class Store:
    """A folder of artefacts. `used` lists what this process asked for, in order, for the accounts."""

    root: Path
    used: list[Artefact] = field(default_factory=list)
    _nested_s: float = 0.0  # of builds inside the one under way

    def path(self, recipe: Mapping[str, JSON]) -> Path:
        """Where the artefact of a recipe lies, whether or not it exists."""
        return self.root / str(recipe["kind"]) / digest(recipe)[:32]

    def find(self, recipe: Mapping[str, JSON]) -> Artefact | None:
        """The finished and undamaged artefact of a recipe, or None."""
        folder = self.path(recipe)
        try:
            return self._read(folder, digest(recipe))
        except (UserError, KeyError, TypeError, AttributeError, ValueError):  # damaged: it is built again
            return None

    def _read(self, folder: Path, key: str) -> Artefact | None:
        """The artefact in a folder, by its manifest. Raises what a damaged manifest makes."""
        if not (folder / MANIFEST).exists():
            return None
        manifest = read_json(folder / MANIFEST)
        if manifest["digest"] != key:
            return None
        for name, known in manifest["files"].items():
            file = folder / name
            if not file.is_file() or file.stat().st_size != known["bytes"] or file_digest(file) != known["sha256"]:
                return None
        return Artefact(
            manifest["digest"],
            manifest["recipe"]["kind"],
            manifest["build_s"],
            sum(f["bytes"] for f in manifest["files"].values()),
            manifest["facts"],
            manifest["memory"],
            hit=True,
            place=str(manifest.get("place") or ""),
        )

    def get(self, recipe: Mapping[str, JSON], make: Callable[[Path], Mapping[str, Any]]) -> tuple[Path, Artefact]:
        """The artefact's folder, building it with `make(folder) -> facts` where it is missing.

        `make` runs in a temporary folder under a lock that other processes wait for; the result appears
        by one rename. Without the lock two builders would both be right: the later one finds the folder
        taken and uses what is there. What is there is taken without the lock, also from a store that is read-only.
        """
        target, found = self.path(recipe), self.find(recipe)
        if found is None:
            with self._locked(target, str(recipe["kind"])):
                sweep(target.parent)
                found = self.find(recipe) or self._build(recipe, make, target)
        self.used.append(found)
        return target, found

    @contextlib.contextmanager
    def _locked(self, target: Path, kind: str) -> Iterator[None]:
        """Alone at an artefact's place. Raises UserError where the store cannot be written."""
        lock = FileLock(target.with_name(target.name + ".lock"))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except PermissionError as e:
            raise UserError(
                f"cannot be written ({e.strerror}), and {kind} is missing from it.",
                where=str(self.root),
                remedy="Name a folder that can be written in RAGTUNE_STORE.",
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _build(self, recipe: Mapping[str, JSON], make: Callable[[Path], Mapping[str, Any]], target: Path) -> Artefact:
        part = part_of(target)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            meters.progress(str(recipe["kind"]), 0, 0)
            outer, self._nested_s = self._nested_s, 0.0
            with Memory(whole_process=False) as memory:
                begin = time.perf_counter()
                facts = dict(make(part))
                whole_s = time.perf_counter() - begin
            build_s, self._nested_s = whole_s - self._nested_s, outer + whole_s  # what it built inside is charged there
            build_s += float(facts.pop(EARLIER, 0.0))
            took = memory.facts() | facts.pop(MEMORY, {})
            where = facts.pop(PLACE, None) or place(str(meters.notes().get("device")))
            files = {
                p.relative_to(part).as_posix(): {"sha256": file_digest(p), "bytes": p.stat().st_size}
                for p in sorted(part.rglob("*"))
                if p.is_file()
            }
            manifest = {
                "digest": digest(recipe),
                "recipe": recipe,
                "build_s": build_s,
                "files": files,
                "facts": facts,
                "memory": took,
                "place": where,
            }
            write_json(part / MANIFEST, manifest)
            if self.find(recipe) is None:
                shutil.rmtree(target, ignore_errors=True)
                os.replace(part, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        found = self.find(recipe)
        if found is None:
            raise RuntimeError(f"{target} changed while it was being built")
        return replace(found, hit=False)
