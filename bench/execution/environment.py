"""Where a run happened: versions, commit, processor, threads, GPU, load, and what the machine can do at most."""

from __future__ import annotations

import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import psutil

from bench.core.gpu import gpus
from bench.core.place import GPUS, first_gpus, processor
from bench.core.vocabulary import JSON

LIBRARIES = (
    "ragtune",
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "accelerate",
    "sentence-transformers",
    "tokenizers",
    "datasets",
    "langchain-text-splitters",
    "pypdf",
    "faiss-cpu",
    "hnswlib",
    "usearch",
    "lancedb",
    "qdrant-client",
    "pgvector",
    "bm25s",
    "ir-measures",
    "rapidfuzz",
    "numpy",
    "scipy",
    "ragas",
)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# glibc maps every block of 32 MiB or more anew, which alone changes how slow 4-bit weights look on a CPU
SETTINGS = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "TOKENIZERS_PARALLELISM": "false",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAGAS_DO_NOT_TRACK": "true",
}


def for_cells(threads: int) -> dict[str, str]:
    """The environment that cells run in, with so many threads of every numeric library.

    Cells see one GPU: with several, the Trainer would split batches of some systems and not of others. Training in
    several processes is told of all, and a cell whose model is spread over several sees those (`see_gpus`).
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(len(gpus()))))
    one_gpu = {"CUDA_VISIBLE_DEVICES": visible.split(",")[0] or "0", GPUS: visible}
    return {**os.environ, **SETTINGS, **one_gpu, **dict.fromkeys(THREAD_VARIABLES, str(threads))}


def see_gpus(count: int) -> None:
    """Let this process, which has not opened a GPU yet, see so many of those of its machine. Raises ValueError where
    there are fewer; on a machine without GPUs nothing changes."""
    if os.environ.get(GPUS):
        os.environ["CUDA_VISIBLE_DEVICES"] = first_gpus(count, "model.gpus")


@functools.cache
def calibrated_threads() -> int:
    """The threads that matrix products are quickest with now, once a process: one a core on an idle machine.

    Beside other work threads wait for the slowest of them at every product, and two can take ten times as long as one.
    Of counts that are within a tenth of the quickest it is the smallest.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    matrix = np.full((256, 256), 0.5, np.float32)

    def work() -> None:
        for _ in range(40):
            matrix @ matrix

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    counts = sorted({usable, *(2**n for n in range(usable.bit_length()) if 2**n <= usable)})
    seconds = {}
    for count in counts:
        with threadpool_limits(count):
            seconds[count] = statistics.median(_seconds(work, 9))
    return next((count for count in counts if seconds[count] <= 1.1 * min(seconds.values())), usable)


def version(package: str) -> str | None:
    """The installed version of a package; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def describe(threads: int) -> dict[str, JSON]:
    """Where a run happens, as run.json tells it."""
    cards = gpus()
    return {
        "python": platform.python_version(),
        "os": platform.platform(),
        "versions": {n: version(n) for n in LIBRARIES},
        "commit": commit(),
        "cpu": processor(),
        "cores": psutil.cpu_count(logical=False),
        "threads": threads,
        "memory_bytes": psutil.virtual_memory().total,
        "settings": SETTINGS,
        "gpus": cards,
        "cuda": cuda() if cards else None,
    }


def machine(described: Mapping[str, JSON]) -> dict[str, JSON]:
    """Of a description what two cells must share for their times and memory to be compared."""
    return {key: described[key] for key in ("cpu", "cores", "threads", "gpus", "versions", "commit")}


def cuda() -> dict[str, JSON] | None:
    """CUDA, cuDNN and what matrix products of float32 are computed in, on a machine with a GPU; None where torch does
    not tell. Asked in a process of its own: what has opened CUDA cannot fork."""
    try:
        done = subprocess.run([sys.executable, "-c", CUDA], capture_output=True, text=True, check=True, timeout=120)
        found: dict[str, JSON] = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    return found


UNUSED_GPU = (
    "Install the build of torch for CUDA (https://pytorch.org/get-started), as new as the driver takes; or set "
    "`model.device: cpu` to say that it is meant."
)
CUDA = """
import json, torch
print(json.dumps({
    "available": torch.cuda.is_available(), "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
    "tf32": torch.backends.cuda.matmul.allow_tf32,
    "capability": list(torch.cuda.get_device_capability()) if torch.cuda.is_available() else None,
}))
"""


@functools.cache
def peaks(threads: int) -> dict[str, float]:
    """What this processor reaches at most with so many threads: float32 operations and bytes of memory a second.

    The best of a few rounds of a matrix product, and of copying what no cache holds; about a second, once a process.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    side, size = 1024, 64_000_000
    matrix = np.ones((side, side), np.float32)
    source, target = (
        np.ones((threads, size // 4 // threads), np.float32),
        np.empty((threads, size // 4 // threads), np.float32),
    )

    def copy() -> None:
        list(pool.map(lambda i: np.copyto(target[i], source[i]), range(threads)))

    with threadpool_limits(threads), ThreadPoolExecutor(threads) as pool:
        return {
            "flops_per_s": 2 * side**3 / min(_seconds(lambda: matrix @ matrix)),
            "bytes_per_s": 2 * source.nbytes / min(_seconds(copy)),
        }


def _seconds(work: Callable[[], object], rounds: int = 8) -> list[float]:
    """What the work takes each of the rounds, after one that is not counted."""
    work()
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return seconds


def load() -> list[float] | None:
    """Load averages of 1, 5 and 15 minutes."""
    return [round(x, 2) for x in psutil.getloadavg()]


def commit() -> str | None:
    """The commit of this checkout, with "+" when the tree has changes; None outside a checkout."""
    here = Path(__file__).resolve().parents[2]

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *args], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != here:
            return None
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None
