"""The wheel: two packages at the top and nothing else, with the data that a user needs inside."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    source = tmp_path_factory.mktemp("source")
    for name in ("bench", "systems", "datasets"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(source / "dist"),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (file,) = (source / "dist").glob("*.whl")
    return zipfile.ZipFile(file)


def test_top_level_is_bench_and_systems(wheel: zipfile.ZipFile) -> None:
    assert {Path(n).parts[0] for n in wheel.namelist() if ".dist-info" not in n} == {"bench", "systems"}


def test_every_module_and_the_embedded_default_are_inside(wheel: zipfile.ZipFile) -> None:
    inside = set(wheel.namelist())
    code = {p.relative_to(ROOT).as_posix() for folder in ("bench", "systems") for p in (ROOT / folder).rglob("*.py")}
    assert code and code <= inside
    data = {p.relative_to(ROOT / "datasets").as_posix() for p in (ROOT / "datasets" / "plant").iterdir()}
    assert {f"bench/datasets/{n}" for n in data} <= inside
    for folder in ("systems/micro/lm", "systems/micro/embedder", "bench/specs", "bench/report"):
        files = {
            p.relative_to(ROOT).as_posix()
            for p in (ROOT / folder).rglob("*")
            if p.is_file() and "__pycache__" not in p.parts
        }
        assert files and files <= inside, files - inside


def test_console_script(wheel: zipfile.ZipFile) -> None:
    (entry,) = [n for n in wheel.namelist() if n.endswith("entry_points.txt")]
    assert "ragtune = bench.cli.main:main" in wheel.read(entry).decode()
