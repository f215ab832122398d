"""What a run of bench/specs/gpu-shapes.yaml must show, a line each: `python -m tests.gpu_report reports/gpu-shapes`.

Exits with 1 where something does not hold. `--publish` first lays the run of a GPU into reports/published.
"""

from __future__ import annotations

import argparse
import lzma
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.execution.run_file import RunFile, read_run
from bench.scoring.schema import MeasuredSystem, Scores
from bench.verdict.score import read_scores

PUBLISHED = Path("reports/published")
CARD_BYTES = 80e9
LARGE = "too-large-s1"  # the cell that runs out of memory


@dataclass(frozen=True)
class Check:
    """`holds` is None where it was not measured."""

    what: str
    found: str
    holds: bool | None


def checks(run: RunFile, scores: Scores) -> Iterator[Check]:
    """Each point, of a run on a GPU or on a processor."""
    on_gpu = bool(run.environment.gpus)
    missing = [n for n, cell in (run.cells or {}).items() if not cell.is_done and not (on_gpu and n == LARGE)]
    yield Check("every cell is done, but for one that runs out of memory", ", ".join(missing) or "done", not missing)
    done = scores.measured
    lora, qlora = done["lora"].build, done["qlora"].build
    same = lora.batches_sha256 is not None and lora.batches_sha256 == qlora.batches_sha256
    yield Check("LoRA and QLoRA saw the same batches", str(lora.batches_sha256)[:12], same)
    yield at_least("first token's share of an answer of one token", first_share(done["one-token"]), 0.95)
    bytes_ = done["on-cpu"].memory.peak_gpu_allocated_bytes
    yield Check("`model.device: cpu` has no bytes on a GPU", str(bytes_), bytes_ is None)
    yield from on_a_card(run, scores, done) if on_gpu else not_here()
    at = [p for s in scores.slowdowns if s.model == "llama3.1-8b" and not s.whole_recipe for p in s.points]
    ratios = [point.ratio for point in at if point.tokens >= 8192]
    yield at_most("QLoRA's step over LoRA's at 8,192 tokens, 8 billion parameters", max(ratios, default=None), 1.15)
    peaks = [s.memory.qlora_bytes for s in scores.slowdowns if s.model == "llama3-70b"]
    yield at_most("QLoRA of 70 billion parameters, bytes", max(peaks, default=None), CARD_BYTES)


def on_a_card(run: RunFile, scores: Scores, done: dict[str, MeasuredSystem]) -> Iterator[Check]:
    """What only a GPU shows."""
    large = (run.cells or {})[LARGE]
    told = (large.reason or "").startswith("out of memory") and large.memory is not None
    yield Check("running out of memory is told with its peak", large.reason or large.status, told)
    thin = [n for n, s in done.items() if (s.memory.peak_gpu_allocated_bytes or 1e18) < (s.memory.weights_bytes or 0)]
    yield Check("no system's peak is below its weights", ", ".join(thin) or "none", not thin)
    share = training_share(run, scores)
    yield at_least("LoRA at 8,192 tokens, 8 billion parameters, of the operations of a matrix product", share, 0.4)
    yield at_least("decoding one answer, of the limit of the bandwidth", done["closed-book"].limits.decode, 0.6)


def training_share(run: RunFile, scores: Scores) -> float | None:
    """The operations of a step of LoRA, those that checkpointing takes again counted (six a parameter and token), over
    what the card does in that time at most."""
    for name, facts in scores.experiments.items():
        for found in facts:
            point = next((p for p in getattr(found, "points", ()) if p.tokens >= 8192), None)
            peaks = next((cell.notes.peaks for cell in run.done(name).values()), None)
            if point and peaks and not found.whole_recipe and found.parameters:
                return float(6 * found.parameters * point.tokens / point.lora_s / peaks.flops_per_s)
    return None


def not_here() -> Iterator[Check]:
    """What a processor cannot show."""
    for what in ("running out of memory", "peaks against weights", "limits of training and decoding"):
        yield Check(what, "not measured: this run was on no GPU", None)


def first_share(system: MeasuredSystem) -> float | None:
    """The seconds to the first token, of those of the whole answer."""
    first, whole = system.speed.first_token_s, system.speed.p50_s
    return first / whole if first and whole else None


def at_least(what: str, found: float | None, bound: float) -> Check:
    return _bounded(f"{what} (at least {bound:g})", found, found is not None and found >= bound)


def at_most(what: str, found: float | None, bound: float) -> Check:
    return _bounded(f"{what} (at most {bound:g})", found, found is not None and found <= bound)


def _bounded(what: str, found: float | None, holds: bool) -> Check:
    return Check(what, "not measured", None) if found is None else Check(what, f"{found:.3g}", holds)


def publish(folder: Path, run: RunFile) -> Path:
    """The run under the name of its device: what it wrote, with its records packed."""
    name = re.sub(r"[^a-z0-9]+", "-", run.environment.gpus[0].name.lower()).strip("-")
    out = PUBLISHED / f"{name}-shapes"
    out.mkdir(parents=True, exist_ok=True)
    for kept in ("run.json", "scores.json", "index.html"):
        shutil.copy(folder / kept, out / kept)
    (out / "records.jsonl.xz").write_bytes(lzma.compress((folder / "records.jsonl").read_bytes(), preset=9))
    return out


def main() -> None:
    """Print each point, and say by the exit code whether all hold that were measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--publish", action="store_true")
    options = parser.parse_args()
    run, scores = read_run(options.folder), read_scores(options.folder)
    if options.publish and run.environment.gpus:
        print(publish(options.folder, run))
    found = list(checks(run, scores))
    for check in found:
        print(f"{ {True: 'holds', False: 'FAILS', None: '-'}[check.holds]:6} {check.what}: {check.found}")
    sys.exit(any(check.holds is False for check in found))


if __name__ == "__main__":
    main()
