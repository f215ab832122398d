"""The base language model: loading, 4-bit quantisation and greedy decoding."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.utils import logging as transformers_logging

from bench.core import first_calls, hub, meters
from bench.core.blocks import Model
from bench.core.checkpoint import must_fit
from systems.parts import kv_cache, last_layer, peaks, shapes
from systems.parts.prompt import check_template, fix_date, said

transformers_logging.disable_progress_bar()


FLOOR = 0.5  # share of 4-bit parameters below which a model is not called 4-bit
READ = 256  # prompt tokens that are read in the time of a step of a batch


@dataclass(frozen=True)
class LM:
    """A causal model ready to answer. `window` is the most tokens that a prompt may have."""

    model: Any
    tokenizer: Any
    max_new_tokens: int
    window: int

    def complete(self, prompts: Sequence[Sequence[int]], cache: Any = None) -> list[tuple[str, int]]:
        """(text, completion tokens) of each prompt, decoded greedily as one left-padded batch. `cache`: of what was
        read of a single prompt already; it is used up."""
        wrote = self._decoded(prompts, self.max_new_tokens, cache=cache)
        return [self._said(prompt, ids) for prompt, ids in zip(prompts, wrote, strict=True)]

    def complete_all(self, prompts: Sequence[Sequence[int]], size: int) -> list[tuple[str, int]]:
        """(text, completion tokens) of each prompt, in order, decoded greedily in batches of `size`.

        Batches are of like lengths, so that little is padding; the longest come first, and fail first where memory is
        short. The few answers of a batch that are much longer than the others are set aside, and go on together.
        """
        ends, wrote = self.ends, [list[int]() for _ in prompts]
        left = list(range(len(prompts)))
        while left:
            order = sorted(left, key=lambda n: -len(prompts[n]) - len(wrote[n]))
            left = []
            for start in range(0, len(order), size):
                batch = order[start : start + size]
                most = self.max_new_tokens - min(len(wrote[n]) for n in batch)
                read = [[*prompts[n], *wrote[n]] for n in batch]
                for n, ids in zip(batch, self._decoded(read, most, few=len(order) > size), strict=True):
                    wrote[n] += ids[: self.max_new_tokens - len(wrote[n])]
                    if len(wrote[n]) < self.max_new_tokens and not ends & set(ids):
                        left.append(n)
        return [self._said(prompt, ids) for prompt, ids in zip(prompts, wrote, strict=True)]

    @property
    def ends(self) -> set[int]:
        """The tokens that end an answer."""
        ends = self.model.generation_config.eos_token_id
        return set(ends if isinstance(ends, list) else [ends]) | {self.tokenizer.eos_token_id}

    def _decoded(
        self, prompts: Sequence[Sequence[int]], most: int, *, cache: Any = None, few: bool = False
    ) -> list[list[int]]:
        """The tokens that follow each prompt, at most so many, with what fills a row after its end. `few`: it may stop
        where few rows go on."""
        longest = max(len(p) for p in prompts)
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (longest - len(p)) + list(p) for p in prompts], device=self.model.device)
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=self.model.device)
        with torch.inference_mode(), four_bit_errors(), last_layer.only(self.model):
            out = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=False,
                num_beams=1,
                max_new_tokens=most,
                pad_token_id=pad,
                **(kv_cache.roomy(self.model, most) if cache is None else {"past_key_values": cache}),
                stopping_criteria=StoppingCriteriaList([_Tick(), *([_Few(longest, self.ends)] if few else [])]),
            )
        wrote: list[list[int]] = out[:, longest:].tolist()
        return wrote

    def _said(self, prompt: Sequence[int], ids: list[int]) -> tuple[str, int]:
        stop = self.ends
        cut = next((n for n, i in enumerate(ids) if i in stop), None)
        kept = ids if cut is None else ids[:cut]
        return said(self.tokenizer, prompt, kept), len(kept) + (cut is not None)


@contextlib.contextmanager
def four_bit_errors() -> Iterator[None]:
    """Say what to do where bitsandbytes cannot multiply 4-bit weights of some width on a processor."""
    try:
        yield
    except (RuntimeError, AssertionError) as e:
        if "block_n" not in str(e):
            raise
        raise ValueError(
            f"bitsandbytes cannot multiply 4-bit weights of this width on this processor ({e}). Leave NF4 and QLoRA "
            "out for this model, or run it on a GPU"
        ) from e


class _Tick(StoppingCriteria):
    """Never stops; tells the harness that a token came, once the device has made it."""

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        settle(input_ids.device)
        meters.mark()
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


class _Few(StoppingCriteria):
    """Stops a batch of which a quarter or less goes on, once that took as long as it takes to read those few again.

    A step of a batch takes about as long as reading READ tokens, on two cores with the micro model and less than that
    where a model is larger; so that at worst twice of what was needed is spent, and in most batches less is.
    """

    def __init__(self, longest: int, ends: set[int]) -> None:
        self.longest = longest
        self.ends = torch.tensor([i for i in ends if i is not None])
        self.done: torch.Tensor | None = None
        self.since = 0

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        ended = torch.isin(input_ids[:, -1], self.ends.to(input_ids.device))
        self.done = ended if self.done is None else self.done | ended
        rows, steps = len(input_ids), input_ids.shape[1] - self.longest
        left = int((~self.done).sum())
        if not self.since and 4 * left <= rows:
            self.since = steps
        stop = bool(self.since) and (steps - self.since) * READ >= left * input_ids.shape[1]
        return torch.full((rows,), stop, device=input_ids.device)


def settle(device: torch.device) -> None:
    """Wait until a device has done what it was asked: a GPU is only asked, and the call returns at once."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def device_of(device: str) -> str:
    """`cuda` or `cpu`; `auto` is the first of them that there is."""
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def has_bfloat16() -> bool:
    """Whether the GPU computes in bfloat16 itself: from compute capability 8.0 on."""
    return torch.cuda.get_device_capability() >= (8, 0)


def autocast(base: Model) -> torch.dtype | None:
    """The number that a GPU computes in while it trains: bfloat16, or float16 with a scaled loss where it is emulated.
    None on a processor, and for a model that is asked for in float32."""
    if device_of(base.device) != "cuda" or base.dtype == "float32":
        return None
    return torch.bfloat16 if has_bfloat16() else torch.float16


def describe(device: str) -> str:
    """The device as a page names it."""
    return torch.cuda.get_device_name() if device_of(device) == "cuda" else "cpu"


fix_date()


def load(base: Model, *, precision: str, folder: str | None = None, sharded: bool = False) -> tuple[Any, Any]:
    """(model, tokenizer) of a base model, or of a tuned one in a folder. `precision="nf4"` quantises as QLoRA does.

    Its `dtype: auto` is the checkpoint's on CUDA and float32 on a CPU, where most processors are slower in
    anything smaller. `sharded` keeps 4-bit weights in tensors of the model's own number, which FSDP can take apart.
    Raises OSError for a name that neither the disk nor the hub has.
    """
    first_calls.resolve()
    name, revision = folder or base.name, base.revision if folder is None else None
    where = device_of(base.device)
    automatic: Any = "auto" if where == "cuda" else torch.float32
    if where == "cuda" and not has_bfloat16():
        automatic = torch.float16  # bfloat16 is emulated there
    number = automatic if base.dtype == "auto" else getattr(torch, base.dtype)
    options: dict[str, Any] = {
        "dtype": number,
        "revision": revision,
        "trust_remote_code": False,
        "device_map": "auto" if where == "cuda" and base.gpus > 1 else {"": where},
    }
    if precision == "nf4":
        compute = number if number != "auto" else torch.bfloat16  # which this GPU has, or number were float16
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute,
            bnb_4bit_quant_storage=compute if sharded else None,
        )
    if where == "cuda" and "peaks" not in meters.notes():
        meters.note("peaks", peaks.cuda(torch.bfloat16 if has_bfloat16() else torch.float16))
    if name.startswith(shapes.PREFIX):
        model, name = shapes.model(name, options), str(shapes.TOKENIZER)
    else:
        hub.checked(name, revision, what="base model")
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
        config._attn_implementation = None  # what a downloaded config asks for does not count
        if base.attention != "auto":
            options["attn_implementation"] = base.attention
        loaded: Any = AutoModelForCausalLM.from_pretrained(name, config=config, **options, output_loading_info=True)
        model, info = loaded
        _check_whole(name, info, config)
    tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)
    check_template(tokenizer)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if precision == "nf4":
        meters.note("four_bit_share", four_bit_share(model, name))
        leave_unpacked(model)
    elif already := getattr(model.config, "quantization_config", None):
        method = already.get("quant_method") if isinstance(already, Mapping) else already.quant_method
        meters.note("prequantised", str(getattr(method, "value", method)))
    meters.note("dtype", str(model.dtype).removeprefix("torch."))
    meters.note("attention", str(getattr(model.config, "_attn_implementation", None) or "its own"))
    constants = sum(_constants(p) for p in model.parameters())
    meters.note("weights_bytes", int(model.get_memory_footprint()) + constants)
    meters.note("parameters", int(sum(_count(p) for p in model.parameters())))
    meters.note("device", where)
    return model.eval(), tokenizer


def four_bit_share(model: Any, name: str) -> float:
    """Share of the parameters in four bits, of those that are neither embeddings nor the head, which are never.

    Raises ValueError below FLOOR: bitsandbytes quantises linear layers, and some architectures keep theirs in others.
    """
    ends = {id(m.weight) for m in (model.get_input_embeddings(), model.get_output_embeddings()) if m is not None}
    inner = [p for p in model.parameters() if id(p) not in ends]
    total = sum(_count(p) for p in inner)
    four = sum(_count(p) for p in inner if getattr(p, "quant_state", None) is not None)
    share = four / total if total else 0.0
    if share < FLOOR:
        raise ValueError(
            f"only {share:.0%} of the parameters of {name} inside its layers became 4-bit: bitsandbytes quantises "
            f"linear layers, and {type(model).__name__} keeps most of its weights in others. Leave NF4 and QLoRA "
            "out for it"
        )
    return share


def leave_unpacked(model: Any) -> None:
    """Keep bitsandbytes from packing layers on a processor that it cannot pack, whose blocks cross their rows.

    Its kernel for AVX512 wants rows of whole blocks (64 weights) and 32 rows at a time, and raises a RuntimeError or an
    AssertionError where they are not; without it such a layer is taken out of its four bits and multiplied.
    """
    for layer in model.modules():
        state = getattr(getattr(layer, "weight", None), "quant_state", None)
        if state is not None and (state.shape[1] % state.blocksize or state.shape[0] % 32):
            layer.support_avx512bf16_for_cpu = False


def _check_whole(name: str, info: Mapping[str, Any], config: Any) -> None:
    """Raises ValueError where weights are missing or left over: the model would answer with random ones.

    Weights that a model ties to others do not count, nor do the towers of a model that sees or hears.
    """
    passed = _TOWER if _SENSES.search(" ".join(config.to_dict())) else _BUFFER
    left = [key for key in info["unexpected_keys"] if not passed.search(str(key))]
    must_fit(
        name, {"missing": info["missing_keys"], "of another shape": info["mismatched_keys"], "not of the model": left}
    )


_SENSES = re.compile(r"vision|visual|image|audio|speech|mm_")  # keys of a config that sees or hears
_BUFFER = re.compile(r"rotary_emb\.inv_freq|masked_bias|\.attn\.bias")
_TOWER = re.compile(rf"vision|visual|image|audio|speech|multi_modal|projector|{_BUFFER.pattern}")


def _count(parameter: Any) -> int:
    """Parameters in a tensor; a 4-bit one packs two in each byte."""
    return int(
        parameter.quant_state.shape.numel()
        if getattr(parameter, "quant_state", None) is not None
        else parameter.numel()
    )


def _constants(parameter: Any) -> int:
    """Bytes of what a 4-bit tensor is unpacked with, which is beside it: its scales, and those of the scales."""
    state = getattr(parameter, "quant_state", None)
    held = [state, getattr(state, "state2", None)] if state is not None else []
    tensors = [t for s in held if s is not None for t in (s.absmax, s.code, getattr(s, "offset", None))]
    return sum(t.numel() * t.element_size() for t in tensors if isinstance(t, torch.Tensor))


_KEPT = (
    *("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "forced_bos_token_id"),
    *("use_cache", "cache_implementation"),
)
_DRAWN = ("do_sample", "temperature", "top_p", "top_k", "min_p", "typical_p", "max_length", "transformers_version")


def greedy(settings: GenerationConfig) -> GenerationConfig:
    """The settings of a checkpoint without what makes decoding other than greedy, such as a penalty on repetition,
    which is one on copying from passages too. What is left aside is noted, but for how tokens would be drawn."""
    aside = {k: v for k, v in settings.to_diff_dict().items() if k not in (*_KEPT, *_DRAWN) and not k.startswith("_")}
    if aside:
        meters.note("generation_config_left_aside", {k: str(v) for k, v in aside.items()})
    return GenerationConfig(**{key: getattr(settings, key, None) for key in _KEPT})


def ready(model: Any, tokenizer: Any, *, max_new_tokens: int) -> LM:
    """The model as an LM, its window being what it was trained for less the answer."""
    config = model.config.get_text_config()  # of a model that sees, the part that reads
    limits = [getattr(config, "max_position_embeddings", None), tokenizer.model_max_length]
    known = [int(n) for n in limits if n is not None and n < 10**9]
    with contextlib.suppress(AttributeError):
        model.generation_config = greedy(model.generation_config)
    return LM(model, tokenizer, max_new_tokens, (min(known) if known else 2048) - max_new_tokens)
