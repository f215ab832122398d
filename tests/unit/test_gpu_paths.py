"""What a processor can test of the ways of a GPU: what waits for a device, which number a weight has, what fits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pynvml
import pytest
import torch

from bench import parse
from bench.core import gpu, meters
from bench.core.blocks import Model, Prompt, Tuning
from bench.core.checkpoint import tensors
from bench.core.child_process import attempt, in_child
from bench.core.memory import exhausted
from bench.core.place import GPUS, cuda, place, processor
from bench.core.store import Store
from bench.core.vocabulary import Material
from bench.data.formats import native
from bench.execution import arithmetic, cell, doctor, environment, executors, plan
from bench.execution.job import Job
from bench.execution.run_file import RunFile, read_run
from bench.gate.decisions import gate
from bench.gate.rules import Rule, Rules
from bench.gate.snapshot import Snapshot, SystemSnapshot
from bench.report.caveats import caveats
from bench.scoring import resources
from bench.scoring.schema import Speed
from bench.scoring.schema.scenarios import SlowdownMemory
from bench.spec.load import load
from bench.spec.model import Prices
from bench.verdict.score import read_scores
from systems import slowdown
from systems.parts import adapter, lm, shapes, train
from tests.conftest import MINI, ROOT, raw_spec

TASK = native.stored(MINI)  # as a cell reads it
NO_SPEED: dict[str, Any] = {name: None for name in Speed.model_fields if Speed.model_fields[name].is_required()}
NO_SPEED |= {"n": 0, "batched_n": 0}
QUICK = Tuning(rank=2, epochs=1, max_steps=1, batch_size=2)


def recipe(folder: Path, **changes: Any) -> train.Recipe:
    plain = train.Recipe("lora", Model(name=str(folder)), "native", Prompt(system=""), QUICK, 1)
    return replace(plain, **changes)


def test_a_token_is_marked_when_the_device_has_made_it(tiny_lm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that is asked, and takes its time: the first token is there when it is done, not when it was asked."""
    model = lm.ready(*lm.load(Model(name=str(tiny_lm)), precision="native"), max_new_tokens=1)
    monkeypatch.setattr(lm, "settle", lambda _: time.sleep(0.2))
    _, watch = meters.timed(lambda: model.complete([[5, 6, 7]]))
    assert watch.first_token_s is not None and watch.first_token_s >= 0.2


def test_a_gpu_is_waited_for_and_a_processor_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waited.append(str(device)))
    lm.settle(torch.device("cpu"))
    lm.settle(torch.device("cuda:1"))
    assert waited == ["cuda:1"]


def opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that some library of this process has opened."""
    state = {"allocated_bytes.all.current": 7, "reserved_bytes.all.current": 9, "num_alloc_retries": 1, "num_ooms": 1}
    fakes = {
        "is_initialized": lambda: True,
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "get_device_name": lambda *_: "Card",
        "memory_stats": lambda: state,
        "max_memory_allocated": lambda _: 70,
        "max_memory_reserved": lambda _: 90,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)


@pytest.mark.parametrize(("device", "peak", "where"), [("cuda", 70, "Card"), ("cpu", None, processor())])
def test_what_computes_on_the_processor_has_no_bytes_on_an_opened_gpu(
    monkeypatch: pytest.MonkeyPatch, device: str, peak: int | None, where: str
) -> None:
    opened(monkeypatch)
    monkeypatch.setattr(meters, "_notes", {"device": device})
    assert exhausted().get("peak_gpu_allocated_bytes") == peak
    assert place(device) == where


def test_a_gpu_is_not_asked_for_where_none_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """To ask whether there is one keeps a later fork from using it."""

    def asked() -> bool:
        raise AssertionError("asked")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", asked)
    assert cuda() is None and place() == processor()


def test_running_out_of_gpu_memory_keeps_what_the_allocator_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(monkeypatch)
    monkeypatch.setattr(meters, "_notes", {"device": "cuda"})

    def work() -> dict[str, Any]:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    found = attempt(work)
    assert found["reason"].startswith("out of memory")
    assert found["memory"]["allocator"] == {
        "allocated_bytes": 7,
        "reserved_bytes": 9,
        "retries": 1,
        "out_of_memory": 1,
    }


def test_lora_takes_its_inputs_as_they_come_in_a_training_on_a_gpu(
    tiny_lm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = train.wrapped(lm.load(Model(name=str(tiny_lm)), precision="native")[0], recipe(tiny_lm))
    layers = [m for m in model.modules() if hasattr(m, "cast_input_dtype_enabled")]
    monkeypatch.setattr(type(model), "device", torch.device("cuda"), raising=False)
    with adapter.as_they_come(model):
        assert layers and not any(layer.cast_input_dtype_enabled for layer in layers)
    assert all(layer.cast_input_dtype_enabled for layer in layers)


def test_full_tuning_is_served_in_the_number_of_its_base(tiny_lm: Path, tmp_path: Path) -> None:
    made = recipe(tiny_lm, method="full", model=Model(name=str(tiny_lm), dtype="bfloat16"))
    train.train(made, TASK.material, Store(tmp_path / "s"), tmp_path / "f")
    _, found = tensors(tmp_path / "f" / "model" / "model.safetensors")
    assert {tensor["dtype"] for tensor in found.values()} == {"BF16"}
    assert json.loads((tmp_path / "f" / "model" / "config.json").read_text())["dtype"] == "bfloat16"


@pytest.mark.parametrize("upcast", [False, True])
def test_the_arms_differ_in_the_precision_of_the_base_alone(tiny_lm: Path, upcast: bool) -> None:
    tuning = QUICK.model_copy(update={"upcast": upcast})
    base = Model(name=str(tiny_lm), dtype="bfloat16")
    numbers = {}
    for precision in ("native", "nf4"):
        made = recipe(tiny_lm, model=base, precision=precision, tuning=tuning)
        model = train.wrapped(lm.load(base, precision=precision)[0], made)
        numbers[precision] = {p.dtype for n, p in model.named_parameters() if "norm" in n or "embed" in n}
    assert numbers["native"] == {torch.bfloat16}
    assert numbers["nf4"] == {torch.float32 if upcast else torch.bfloat16}  # the recipe of QLoRA's authors, by name
    made = [train.arguments(recipe(tiny_lm, precision=p), tiny_lm) for p in ("native", "nf4")]
    assert made[0].optim == made[1].optim and not made[0].bf16 and not made[1].fp16


@pytest.mark.heavy
def test_nvml_may_keep_things_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container, on a slice of a card, with unified memory: one question fails, and the others are answered."""

    def refuses(*_: object) -> None:
        raise pynvml.NVMLError(3)

    for name in ("nvmlInit", "nvmlShutdown"):
        monkeypatch.setattr(pynvml, name, lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 1)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda _: object())
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda _: "Card")
    monkeypatch.setattr(pynvml, "nvmlSystemGetDriverVersion", lambda: "1.2")
    for name in ("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetMaxClockInfo"):
        monkeypatch.setattr(pynvml, name, refuses)
    (found,) = gpu.gpus()
    assert (found["name"], found["driver"], found["memory_bytes"]) == ("Card", "1.2", None)
    monkeypatch.setattr(doctor, "gpus", lambda: [found])
    monkeypatch.setattr(doctor, "cuda", lambda: {"available": False})
    told = next(f for f in doctor.examine() if f["what"] == "GPU")
    assert told["state"] == "broken" and "torch cannot use it" in told["found"]
    assert told["remedy"] == environment.UNUSED_GPU


def test_what_fits_is_told_with_its_arithmetic() -> None:
    card = 80 * 10**9
    assert [plan.fits(n, card) for n in (70 * 10**9, 75 * 10**9, 90 * 10**9, None)] == [
        "fits",
        "unknown",
        "does not fit",
        "unknown",
    ]
    assert plan.fits(1, None) == "unknown"
    assert plan.fits(gpu.FULL_BYTES * arithmetic.SIZES["phi3-mini"], card) == "fits"  # about 4 billion on 80 GB
    assert plan.fits(gpu.FULL_BYTES * arithmetic.SIZES["llama3.1-8b"], card) == "does not fit"
    assert set(arithmetic.SIZES) == set(shapes.SHAPES)
    for name in ("tiny", "100m"):
        made, _ = lm.load(Model(shape=name), precision="native")
        assert arithmetic.SIZES[name] == pytest.approx(made.num_parameters(), rel=2e-3)


def test_a_plan_says_what_fits_cell_by_cell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a card of 80 GB: 70 billion parameters in four bits, and not in float32."""
    monkeypatch.setattr(plan, "gpus", lambda: [{"name": "Card", "memory_bytes": 80 * 10**9}])
    rows, notes = plan.plan(load(ROOT / "bench/specs/gpu-shapes.yaml"), out=tmp_path / "r", store=tmp_path / "s")
    found = {row["cell"]: row for row in rows}
    assert (found["memory-70b-s1"]["fits"], found["memory-70b-s1"]["bytes"]) == (
        "fits",
        pytest.approx(42.3e9, rel=0.01),
    )
    assert found["slowdown-s1"]["bytes"] == pytest.approx(2.6 * arithmetic.SIZES["llama3.1-8b"])  # both models
    assert found["too-large-s1"]["fits"] == "does not fit" and found["on-cpu-s1"]["room"] != 80 * 10**9
    (told,) = [note for note in notes if "does not fit" in note]
    assert "too-large-s1 does not fit: 70.6 billion parameters x 4 bytes are 282 GB" in told


def test_weights_that_are_sharded_have_the_room_of_all_their_gpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Eight billion parameters tuned whole: 145 GB, on two cards of 80 GB where each holds a part."""
    monkeypatch.setattr(plan, "gpus", lambda: [{"name": "Card", "memory_bytes": 80 * 10**9}] * 2)
    told = {}
    for sharded in (False, True):
        tuning = {"processes": 2, "batch_size": 2, "sharded": sharded}
        raw = raw_spec(model={"shape": "llama3.1-8b"}, systems=[{"name": "full", "kind": "full", "tuning": tuning}])
        (row,), _ = plan.plan(parse(raw), out=tmp_path / "r", store=tmp_path / "s")
        told[sharded] = (row["fits"], row["room"])
    assert told == {False: ("does not fit", 80 * 10**9), True: ("unknown", 160 * 10**9)}


def test_running_out_of_memory_keeps_its_peak(tmp_path: Path) -> None:
    def work() -> dict[str, Any]:
        raise MemoryError("planted")

    found = attempt(lambda: in_child(work, path=tmp_path / "found.json"))  # as a cell trains
    assert found["reason"].startswith("out of memory") and "The highest was" in found["reason"]
    assert found["memory"]["peak_rss_growth_bytes"] > 1e6


def job(**config: Any) -> Job:
    return Job("c", "c", "lora", 1, "", config, "", "", 0, 0, [], {})


def test_a_model_may_be_spread_over_several_gpus(tiny_lm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GPUS, "4,5,6")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    environment.see_gpus(2)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,5"
    with pytest.raises(ValueError, match="is made on one GPU"):
        Model(shape="tiny", gpus=2)
    with pytest.raises(ValueError, match=r"`model\.gpus: 4` needs as many GPUs, and 3 are there"):
        environment.see_gpus(4)
    told: dict[str, Any] = {}

    def refuse(name: str, **options: Any) -> None:
        told.update(options)
        raise OSError("far enough")

    monkeypatch.setattr(lm.AutoModelForCausalLM, "from_pretrained", refuse)
    monkeypatch.setattr(lm, "device_of", lambda _: "cuda")
    monkeypatch.setattr(lm, "has_bfloat16", lambda: True)
    monkeypatch.setattr(lm.peaks, "cuda", lambda _: {})
    for count, placed in ((1, {"": "cuda"}), (2, "auto")):
        with pytest.raises(OSError, match="far enough"):
            lm.load(Model(name=str(tiny_lm), gpus=count), precision="native")
        assert told["device_map"] == placed


def test_a_cell_takes_as_many_gpus_as_its_model_or_its_training() -> None:
    pytest.importorskip("ray")
    from bench.execution.ray_executor import Slot
    from bench.execution.ray_executor import place as placed

    slots = [Slot("a", 0, 4.0, 1.0), Slot("b", 0, 4.0, 1.0), Slot("b", 1, 4.0, 1.0)]
    assert [s.node for s in placed(job(model={"gpus": 2}), slots)] == ["b", "b"]
    assert [s.node for s in placed(job(tuning={"processes": 2}), slots)] == ["b", "b"]
    alone = replace(job(), alone=True)
    assert [s.node for s in placed(alone, slots, {"a"})] == ["b", "b"] and placed(alone, slots, {"a", "b"}) == ()
    assert placed(job(model={"gpus": 3}), slots) == () and len(placed(job(), slots)) == 1
    cards = [{"memory_bytes": 80 * 10**9}] * 2
    assert plan.room_of(cards, 2) == 160 * 10**9 and plan.room_of([{"memory_bytes": None}], 1) is None


def test_what_another_device_built_is_told() -> None:
    published = ROOT / "reports" / "published" / "quickstart-cpu"
    run, scores = read_run(published), read_scores(published)
    raw = json.loads((published / "run.json").read_text())
    assert not any("found in the store" in told for told in caveats(run, scores))
    for artefact in raw["cells"]["lora-s1"]["artefacts"]:
        artefact["place"] = "Tesla T4"
        artefact["hit"] = True
    brought = RunFile.model_validate(raw)
    told = [c for c in caveats(brought, scores) if "found in the store, built on Tesla T4" in c]
    assert len(told) == 1 and told[0].startswith("lora: ") and told[0].endswith("is not counted.")
    there, here = brought.cells["lora-s1"], run.cells["lora-s1"]
    whole, none = resources.built(here), resources.built(there)
    assert whole.total_s and whole.train_s and whole.step_s and whole.train_peak_rss_growth_bytes
    assert (none.total_s, none.train_s, none.around_s, none.step_s, none.train_peak_rss_growth_bytes) == (None,) * 5
    assert (none.steps, none.tokens, none.artefact_bytes) == (whole.steps, whole.tokens, whole.artefact_bytes)
    card = there.model_copy(update={"places": ("Tesla T4", "x")})  # as the cell itself names it, whatever NVML does
    assert not card.brought and resources.built(card).train_s == whole.train_s
    little = tuple(a.model_copy(update={"place": "Tesla T4" if a.kind != "adapter" else "x"}) for a in there.artefacts)
    assert not there.model_copy(update={"artefacts": little, "places": ("x",)}).brought  # chunks, beside a training
    usd = [
        resources.cost(build, Speed(**NO_SPEED), (), Prices(cpu_hour_usd=1.0), on_gpu=False, endpoint=False).build_usd
        for build in (whole, none)
    ]
    assert usd == [pytest.approx(whole.total_s / 3600), None]


@pytest.mark.parametrize(
    ("device", "native", "dtype", "number"),
    [
        ("cuda", True, "auto", torch.bfloat16),
        ("cuda", False, "auto", torch.float16),
        ("cuda", True, "float32", None),
        ("cpu", True, "bfloat16", None),
    ],
)
def test_steps_compute_as_a_training_does(
    monkeypatch: pytest.MonkeyPatch, tiny_lm: Path, device: str, native: bool, dtype: str, number: torch.dtype | None
) -> None:
    monkeypatch.setattr(lm, "device_of", lambda _: device)
    monkeypatch.setattr(lm, "has_bfloat16", lambda: native)
    assert lm.autocast(Model(name=str(tiny_lm), dtype=dtype)) == number


@pytest.mark.parametrize(("native", "asked"), [(True, ("bf16", "fp16")), (False, ("fp16", "bf16"))])
def test_the_trainer_is_told_what_to_compute_in(
    monkeypatch: pytest.MonkeyPatch, tiny_lm: Path, native: bool, asked: tuple[str, str]
) -> None:
    """And on a GPU its optimiser is the fused one."""
    monkeypatch.setattr(lm, "device_of", lambda _: "cuda")
    monkeypatch.setattr(lm, "has_bfloat16", lambda: native)
    monkeypatch.setattr(train, "TrainingArguments", dict)
    told: Any = train.arguments(recipe(tiny_lm), tiny_lm)
    assert told[asked[0]] and not told[asked[1]] and told["optim"] == "adamw_torch_fused" and not told["use_cpu"]


def test_nothing_is_opened_before_a_fork_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No library is imported that opens the device, no meter asks NVML or starts a thread: what forks then, works."""
    terms = executors.Terms(threads=1, builtin=True, log=tmp_path / "log", timeout_s=1.0)
    assert "systems.parts.reader" in terms.preload
    monkeypatch.setattr(executors, "gpus", lambda: [{"name": "Card"}])
    asked = (
        "import sys\nfor name in sys.argv[1:]: __import__(name)\nprint(*{'bitsandbytes', 'bm25s'} & set(sys.modules))"
    )
    shared = subprocess.run([sys.executable, "-c", asked, *terms.preload], capture_output=True, text=True, check=True)
    assert terms.preload and shared.stdout.strip() == ""

    def meter(**_: object) -> None:
        raise AssertionError("metered")

    monkeypatch.setattr(cell, "Memory", meter)
    config, store = slowdown.Config(model=Model(shape="tiny")), Store(tmp_path / "s")
    found = cell.experiment(lambda *_: {"model": "x"}, config, TASK, store, gpus=[{"name": "Card"}])
    assert found["memory"] is None and found["facts"] == {"model": "x"}
    with pytest.raises(AssertionError, match="metered"):
        cell.experiment(lambda *_: {"model": "x"}, config, TASK, store)


def test_a_loss_in_float16_is_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scale that makes a gradient overflow costs its step, and is lowered; elsewhere every step counts."""
    config = slowdown.Config(model=Model(shape="tiny"), tokens=(8,), tuning=QUICK)
    moved = {}
    for scale in (None, 1e38):
        trained = adapter.Trained(config, precision="native")
        if scale:
            trained.scaler = torch.GradScaler("cpu", init_scale=scale)
        before = [p.detach().clone() for p in trained.model.parameters() if p.requires_grad]
        trained.step(trained.batch(8, 1, seed=1))
        after = [p for p in trained.model.parameters() if p.requires_grad]
        moved[scale] = any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert moved == {None: True, 1e38: False} and trained.scaler.get_scale() < 1e38


@pytest.mark.parametrize("side", ["new", "old"])
def test_a_gate_compares_no_time_of_what_another_device_built(side: str) -> None:
    """It is not missing either: a store that is restored on another machine fails no gate."""
    machine = {"cpu": "x", "cores": 2, "threads": 2, "gpus": []}
    kept = SystemSnapshot("done", 1, {}, {}, {"step_s": [0.1], "peak_rss_growth_bytes": [1e8]})
    brought = replace(kept, figures={"peak_rss_growth_bytes": [1e8]}, brought=True)
    runs = {"new": kept, "old": kept, side: brought}
    new, old = (Snapshot("run", "data", "spec", machine, {}, "em", {"lora": runs[name]}) for name in ("new", "old"))
    rules = Rules(rules=(Rule(metric="step_s", margin=0.1), Rule(metric="peak_rss_growth_bytes", margin=0.05)))
    found = {result.rule.split()[0]: result.state for result in gate(new, old, rules)}
    assert found["step_s"] == "not comparable" and found["peak_rss_growth_bytes"] != "missing"
    lost = replace(new, systems={"lora": replace(brought, brought=False)})
    assert gate(lost, replace(old, systems={"lora": kept}), rules)[0].state == "missing"


def test_memory_alone_where_lora_does_not_fit() -> None:
    config = slowdown.Config(model=Model(shape="tiny"), tokens=(64,), alone=True, memory_runs=1, tuning=QUICK)
    found = slowdown.measure(config, Material(()), None)
    memory = SlowdownMemory.model_validate(found["memory"])
    assert found["points"] == [] and memory.lora_bytes is None and memory.ratio is None
    assert memory.qlora_bytes > 0 and found["parameters"] == pytest.approx(arithmetic.SIZES["tiny"], rel=2e-3)


def test_a_shape_answers_to_the_last_token() -> None:
    """Random weights that are tied say again what was said last: an end among them would end every answer at once."""
    model, tokenizer = lm.load(Model(shape="tiny"), precision="native")
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hm?"}], add_generation_prompt=True, return_dict=False
    )
    ((_, tokens),) = lm.ready(model, tokenizer, max_new_tokens=8).complete([prompt])
    assert tokens == 8


def test_a_shape_in_four_bits_is_as_a_checkpoint_becomes() -> None:
    made, _ = lm.load(Model(shape="tiny"), precision="nf4")
    blocks = sum(p.quant_state.absmax.numel() for p in made.parameters() if hasattr(p, "quant_state"))
    assert meters.notes()["weights_bytes"] > made.get_memory_footprint() + blocks  # with the scales of the blocks
    plain, _ = lm.load(Model(shape="tiny"), precision="native")
    assert made.get_memory_footprint() < 0.6 * plain.get_memory_footprint()
    assert [n for n, _ in made.named_parameters()] == [n for n, _ in plain.named_parameters()]
    with torch.inference_mode():
        assert torch.isfinite(made(input_ids=torch.tensor([[5, 6, 7]])).logits).all()
    assert made.is_loaded_in_4bit and made.is_quantized
    assert made.get_output_embeddings().weight is made.get_input_embeddings().weight
