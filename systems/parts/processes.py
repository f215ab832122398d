"""Training in several processes, a GPU each: data parallel, or with the weights sharded among them (FSDP).

The processes are started by torchrun, and accelerate, inside the Trainer, lets them work as one. `batch_size` stays the
batch of all of them, so a training of two is that of one, but for rounding and for the last batch of an epoch, which is
filled with rows of its beginning.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from transformers.trainer_utils import set_seed

from bench.core import meters
from bench.core.child_process import ChildFailed, attempt
from bench.core.files import read_json, write_json, write_text
from bench.core.place import first_gpus, import_path
from bench.core.store import Store
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
    if found["status"] != "done":
        raise ChildFailed(found.get("reason") or f"training ended with code {process.returncode}", found)
    return dict(found["facts"])


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
    facts = training.train(recipe, material, Store(Path(places["store"])), Path(places["folder"]))
    return {"status": "done", "facts": facts}


if __name__ == "__main__":
    first = os.environ["RANK"] == "0"
    if first:
        meters.listen(lambda stage, done, total: print(json.dumps({"progress": [stage, done, total]}), flush=True))
    here = Path(sys.argv[1])
    outcome = attempt(lambda: _work(here))
    if first or outcome["status"] != "done":
        write_json(here / "facts.json", outcome)
    sys.exit(outcome["status"] != "done")
