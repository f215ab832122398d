"""Whether a machine can run ragtune: one finding a line, with what to do."""

from __future__ import annotations

import importlib
import logging
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil

from bench.core.display import size
from bench.core.gpu import FULL_BYTES, gpus
from bench.execution.environment import LIBRARIES, UNUSED_GPU, cuda, version

Finding = dict[str, str]
OPTIONAL = {"ragas"}


def examine() -> list[Finding]:
    """Findings, each with `state` (ok, note or broken), `what`, `found` and `remedy`."""
    checks: tuple[Callable[[], Finding], ...] = (
        _python,
        _versions,
        _compiler,
        partial(
            _module,
            "bitsandbytes (NF4)",
            "bitsandbytes",
            "Leave out qlora and nf4, or install bitsandbytes 0.49 or newer.",
        ),
        partial(_module, "hnswlib", "hnswlib", "Install a C++ compiler, then: pip install --no-binary :all: hnswlib."),
        _ragas,
        _gpu,
        _hub,
        _disk,
        _memory,
        _embedded,
    )
    return [check() for check in checks]


def _finding(state: str, what: str, found: str, remedy: str = "") -> Finding:
    return {"state": state, "what": what, "found": found, "remedy": remedy}


def _python() -> Finding:
    good = sys.version_info >= (3, 11)
    return _finding(
        "ok" if good else "broken", "Python", sys.version.split()[0], "" if good else "Install Python 3.11 or newer."
    )


def _versions() -> Finding:
    missing = [n for n in LIBRARIES if version(n) is None and n not in OPTIONAL]
    found = ", ".join(f"{n} {version(n)}" for n in ("torch", "transformers", "peft", "faiss-cpu"))
    return _finding(
        "broken" if missing else "ok",
        "libraries",
        found if not missing else f"missing: {', '.join(missing)}",
        "Install again: pip install ragtune." if missing else "",
    )


def _compiler() -> Finding:
    found = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    return _finding(
        "ok" if found else "note",
        "C++ compiler",
        found or "none",
        "" if found else "hnswlib has no wheel: to install it anew you need one (Debian: apt install g++).",
    )


def _import(module: str) -> str | None:
    """Why a module does not import, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(module)
    except (ImportError, OSError, RuntimeError, AttributeError) as e:
        return f"{type(e).__name__}: {e}"
    return None


def _module(what: str, module: str, remedy: str) -> Finding:
    logging.getLogger(module).setLevel(logging.ERROR)  # bitsandbytes warns of a faster kernel that it does not need
    why = _import(module)
    return _finding("broken" if why else "ok", what, why or str(version(module)), remedy if why else "")


def _ragas() -> Finding:
    if version("ragas") is None:
        return _finding("note", "ragas (LLM judge)", "not installed", "Only for a judge: pip install 'ragtune[judge]'.")
    command = [sys.executable, "-c", "import os; os.environ['RAGAS_DO_NOT_TRACK'] = 'true'; import ragas"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    last = (done.stderr.strip().splitlines() or ["it did not import"])[-1]
    return _finding(
        "ok" if done.returncode == 0 else "broken",
        "ragas (LLM judge)",
        f"{version('ragas')}" if done.returncode == 0 else last,
        ""
        if done.returncode == 0
        else "pip install 'langchain-community<0.4.2': newer ones dropped a module that ragas imports.",
    )


def _gpu() -> Finding:
    found = gpus()
    names = ", ".join(f"{g['name']} ({size(g['memory_bytes'])}, driver {g['driver'] or 'unknown'})" for g in found)
    if found and not (cuda() or {}).get("available"):
        return _finding("broken", "GPU", f"{names}, and torch cannot use it", UNUSED_GPU)
    return _finding(
        "ok" if found else "note",
        "GPU",
        names or "none",
        "" if found else "Everything runs on the CPU; models over a billion parameters will be slow.",
    )


def _hub() -> Finding:
    from huggingface_hub import constants

    from bench.core.hub import reachable

    state = reachable()
    return _finding(
        "ok" if state else "note",
        "Hugging Face hub",
        "reachable" if state else "not reachable",
        "" if state else f"Use local folders, or what is cached in {constants.HF_HUB_CACHE}.",
    )


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    return _finding(
        "ok" if free > 5e9 else "note",
        "disk here",
        f"{size(free)} free",
        "" if free > 5e9 else "Artefacts go to .ragtune/store; set RAGTUNE_STORE to a larger disk.",
    )


def _memory() -> Finding:
    free = psutil.virtual_memory().available
    return _finding(
        "ok" if free > 4e9 else "note",
        "memory",
        f"{size(free)} available",
        "" if free > 4e9 else f"Full tuning needs {FULL_BYTES} bytes for each parameter, LoRA about 4.",
    )


def _embedded() -> Finding:
    from bench.spec.paths import embedded_path

    missing = [
        n
        for n, p in (
            ("dataset plant", embedded_path("datasets", "plant")),
            ("micro model", embedded_path("model", "micro")),
            ("micro embedder", embedded_path("embedder", "micro")),
        )
        if p is None
    ]
    return _finding(
        "broken" if missing else "ok",
        "embedded default",
        "missing: " + ", ".join(missing) if missing else "dataset, model, embedder",
        "Install again." if missing else "",
    )
