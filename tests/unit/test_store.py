"""The store: built once, whole or not at all, its true cost kept."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.core.files import part_of
from bench.core.place import place
from bench.core.store import MANIFEST, Store

RECIPE = {"kind": "thing", "version": 1, "x": [1, 2.5, "a"]}


def make(folder: Path) -> dict[str, int]:
    time.sleep(0.05)
    (folder / "deep").mkdir()
    (folder / "deep" / "data.bin").write_bytes(b"12345")
    return {"count": 5}


def test_hit_reports_the_original_cost(tmp_path: Path) -> None:
    folder, built = Store(tmp_path).get(RECIPE, make)
    again, found = Store(tmp_path).get(RECIPE, lambda folder: pytest.fail("built twice"))
    assert (again, built.hit, found.hit) == (folder, False, True)
    assert found.build_s == built.build_s >= 0.05 and found.place == place() != ""
    assert found.facts == {"count": 5} and found.bytes == 5
    assert found.memory["peak_rss_growth_bytes"] >= 0


def test_what_is_there_is_taken_from_a_store_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(tmp_path).get(RECIPE, make)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)  # root may write anywhere: permissions alone would not show it
    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    assert Store(tmp_path).get(RECIPE, make)[1].hit
    with pytest.raises(UserError, match="thing is missing from it"):
        Store(tmp_path).get({**RECIPE, "x": []}, make)


def test_what_a_dead_process_left_half_made_is_swept(tmp_path: Path) -> None:
    child = multiprocessing.get_context("spawn").Process(target=print)
    child.start()
    child.join()
    (tmp_path / "thing").mkdir()
    ours, dead = part_of(tmp_path / "thing" / "a"), part_of(tmp_path / "thing" / "b")
    dead = dead.with_name(dead.name.replace(str(os.getpid()), str(child.pid)))
    other = dead.with_name(".b.elsewhere." + str(child.pid) + ".part")  # of another machine, which may be at work
    for part in (ours, dead, other):
        part.mkdir()
    Store(tmp_path).get(RECIPE, make)
    assert ours.exists() and other.exists() and not dead.exists()


def test_another_recipe_is_another_artefact(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.path(RECIPE) != store.path({**RECIPE, "x": [1, 2.5, "b"]})
    assert store.path(RECIPE) == store.path(dict(reversed(RECIPE.items())))


def test_damage_is_found_and_mended(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder, _ = store.get(RECIPE, make)
    (folder / "deep" / "data.bin").write_bytes(b"12346")  # the same size
    assert store.find(RECIPE) is None
    _, again = store.get(RECIPE, make)
    assert not again.hit and (folder / "deep" / "data.bin").read_bytes() == b"12345"


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def broken(folder: Path) -> dict[str, int]:
        (folder / "half").write_text("x")
        raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"):
        Store(tmp_path).get(RECIPE, broken)
    assert not [p for p in (tmp_path / "thing").iterdir() if p.suffix != ".lock"]


def _get(root: Path, log: Path) -> None:
    def logged(folder: Path) -> dict[str, int]:
        with log.open("a") as f:
            f.write("built\n")
        time.sleep(0.3)
        return make(folder)

    Store(root).get(RECIPE, logged)


def test_two_processes_build_it_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_get, args=(tmp_path / "store", log)) for _ in range(2)]
    for p in both:
        p.start()
    for p in both:
        p.join(60)
    assert [p.exitcode for p in both] == [0, 0]
    assert log.read_text() == "built\n"


def _hang(root: Path, started: Path) -> None:
    def slow(folder: Path) -> dict[str, int]:
        (folder / "half").write_text("x")
        started.touch()
        time.sleep(60)
        return {}

    Store(root).get(RECIPE, slow)


def test_killed_builder_is_followed_by_another(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=_hang, args=(tmp_path / "store", tmp_path / "started")
    )
    process.start()
    while not (tmp_path / "started").exists():
        time.sleep(0.01)
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    folder, built = Store(tmp_path / "store").get(RECIPE, make)
    assert not built.hit and (folder / MANIFEST).exists() and not (folder / "half").exists()


def test_a_build_inside_a_build_is_charged_once(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def outer(folder: Path) -> dict[str, int]:
        store.get({"kind": "inner"}, lambda folder: time.sleep(0.3) or {})
        return {}

    store.get({"kind": "outer"}, outer)
    cost = {a.kind: a.build_s for a in store.used}
    assert cost["inner"] >= 0.3 > 0.2 > cost["outer"]
