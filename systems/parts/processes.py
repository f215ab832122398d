"""Training in several processes, a GPU each: data parallel, or with the weights sharded among them (FSDP).

The processes are started by torchrun, and accelerate, inside the Trainer, lets them work as one. `batch_size` stays the
batch of all of them, so a training of two is that of one, but for rounding and for the last batch of an epoch, which is
filled with rows of its beginning.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from transformers.trainer_utils import set_seed

from bench.core import meters
from bench.core.child_process import ChildFailed, attempt
from bench.core.files import read_json, write_json, write_text
from bench.core.memory import Memory
from bench.core.place import first_gpus, import_path, place
from bench.core.store import MEMORY, PLACE, Store
from bench.core.vocabulary import JSON, Material
from systems.parts import lm
from systems.parts import train as training
from systems.parts.train import Recipe


def train(recipe: Recipe, material: Material, store: Store, folder: Path) -> dict[str, JSON]:
    """As `systems.parts.train.train`, in `tuning.processes` processes. Raises ChildFailed with the reason of one."""
    work = folder / "processes"
    work.mkdir(parents=True)
    write_text(work / "recipe.json", TypeAdapter(Recipe).dump_json(recipe).decode())
    write_json(work / "material.json", replace(material, corpus=tuple(material.corpus)))
    write_json(work / "places.json", {"store": str(store.root.resolve()), "folder": str(folder.resolve())})
    run = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(recipe.tuning.processes))
    command = [sys.executable, *run, "-m", "systems.parts.processes", str(work)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment(recipe)) as process:
        assert process.stdout is not None
        for line in process.stdout:
            _told(line)
    found: dict[str, Any] = read_json(work / "facts.json") if (work / "facts.json").exists() else {"status": "failed"}
    each = [read_json(path) for path in sorted(work.glob("memory-*.json"))]
    if found["status"] != "done" or len(each) < recipe.tuning.processes:
        raise ChildFailed(found.get("reason") or f"training ended with code {process.returncode}", found)
    shutil.rmtree(work)  # it holds what was trained on, and is no part of what is kept
    return {**found["facts"], PLACE: found["place"], MEMORY: together(each)}


def together(each: Sequence[Mapping[str, Any]]) -> dict[str, JSON]:
    """The memory and energy of processes that worked side by side: the sum of each, None where one does not know. The
    counters of a processor are the machine's, and count once."""

    def total(found: Sequence[Any]) -> Any:
        if any(value is None for value in found):
            return None
        if isinstance(found[0], Mapping):
            return {key: total([value[key] for value in found]) for key in found[0] if all(key in v for v in found)}
        return sum(found)

    sums = {key: total([one[key] for one in each]) for key in each[0] if key not in ("trace", "energy_j")}
    energy = {key: value for key, value in each[0]["energy_j"].items() if key == "cpu"}
    if all("gpu" in one["energy_j"] for one in each):
        energy["gpu"] = total([one["energy_j"]["gpu"] for one in each])
    return sums | {"energy_j": energy}


def _environment(recipe: Recipe) -> dict[str, str]:
    """A GPU a process; on a processor they share its threads. Raises ValueError where there are too few GPUs."""
    count, found = recipe.tuning.processes, dict(os.environ)
    on_gpu = lm.device_of(recipe.model.device) == "cuda"
    if recipe.tuning.sharded and not on_gpu:
        raise ValueError("`tuning.sharded` needs GPUs: accelerate does not shard on a processor. Leave it out here")
    found["PYTHONPATH"] = import_path()
    if on_gpu:
        return found | {"CUDA_VISIBLE_DEVICES": first_gpus(count, "tuning.processes")}
    return found | {"OMP_NUM_THREADS": str(max(1, int(found.get("OMP_NUM_THREADS", count)) // count))}


def _told(line: str) -> None:
    """Passes on how far the first process is; what libraries print goes to the log."""
    try:
        stage, done, total = json.loads(line)["progress"]
    except (ValueError, KeyError, TypeError):
        print(line, end="")
        return
    meters.progress(stage, done, total)


def _work(work: Path) -> dict[str, JSON]:
    """The part of this process."""
    recipe: Recipe = TypeAdapter(Recipe).validate_json((work / "recipe.json").read_text())
    material: Material = TypeAdapter(Material).validate_json((work / "material.json").read_text())
    places = read_json(work / "places.json")
    if lm.device_of(recipe.model.device) == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    set_seed(recipe.seed)
    with Memory(whole_process=False) as memory:
        facts = training.train(recipe, material, Store(Path(places["store"])), Path(places["folder"]))
    write_json(work / f"memory-{os.environ['RANK']}.json", memory.facts())
    return {"status": "done", "facts": facts, "place": place(str(meters.notes().get("device")))}


if __name__ == "__main__":
    first = os.environ["RANK"] == "0"
    if first:
        meters.listen(lambda stage, done, total: print(json.dumps({"progress": [stage, done, total]}), flush=True))
    here = Path(sys.argv[1])
    outcome = attempt(lambda: _work(here))
    if first or outcome["status"] != "done":
        write_json(here / "facts.json", outcome)
    sys.exit(outcome["status"] != "done")
