"""Models given by their published dimensions, their weights random: time and memory do not depend on what weights say.

Dimensions are those of each model's config.json on the hub.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig
from transformers.integrations.bitsandbytes import replace_with_bnb_linear
from transformers.quantizers.auto import AutoHfQuantizer

PREFIX = "shape:"
TOKENIZER = Path(__file__).parents[1] / "micro" / "lm"  # its few tokens are tokens of every shape

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {
        "model_type": "llama", "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 4, "intermediate_size": 704, "vocab_size": 2048, "tie_word_embeddings": True,
    },
    "100m": {
        "model_type": "llama", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "num_key_value_heads": 12, "intermediate_size": 2048, "vocab_size": 32000, "tie_word_embeddings": True,
    },
    "qwen2.5-0.5b": {
        "model_type": "qwen2", "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14,
        "num_key_value_heads": 2, "intermediate_size": 4864, "vocab_size": 151936, "tie_word_embeddings": True,
    },
    "phi3-mini": {
        "model_type": "phi3", "hidden_size": 3072, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32, "intermediate_size": 8192, "vocab_size": 32064, "tie_word_embeddings": False,
        "pad_token_id": 32000,
    },
    "llama3.1-8b": {
        "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "tie_word_embeddings": False,
    },
    "llama3-70b": {
        "model_type": "llama", "hidden_size": 8192, "num_hidden_layers": 80, "num_attention_heads": 64,
        "num_key_value_heads": 8, "intermediate_size": 28672, "vocab_size": 128256, "tie_word_embeddings": False,
    },
}  # fmt: skip


def model(name: str, options: dict[str, Any]) -> Any:
    """A model of the shape on its device. Four-bit weights are quantised as they are made, one after the other: no more
    than one of them is ever held unquantised."""
    dimensions = dict(SHAPES[name.removeprefix(PREFIX)])
    kind = dimensions.pop("model_type")
    # without an end: random weights that say it at once would answer in one token
    config = AutoConfig.for_model(kind, **dimensions, max_position_embeddings=8192, eos_token_id=None)
    dtype = torch.bfloat16 if options["dtype"] == "auto" else options["dtype"]
    torch.manual_seed(0)
    device = torch.device(options["device_map"][""])
    if "quantization_config" in options:
        return _quantised(config, dtype, device, options["quantization_config"])
    with device:
        return AutoModelForCausalLM.from_config(config, dtype=dtype)


def _quantised(config: Any, dtype: torch.dtype, device: torch.device, asked: BitsAndBytesConfig) -> Any:
    """A model in four bits, as `from_pretrained` leaves one: its head and embeddings are not quantised."""
    from bitsandbytes.nn.modules import Linear4bit, Params4bit  # it opens a GPU, which not every process uses

    quantizer = AutoHfQuantizer.from_config(asked)
    with init_empty_weights(include_buffers=False):
        made = AutoModelForCausalLM.from_config(config, dtype=dtype)
    made = replace_with_bnb_linear(made, modules_to_not_convert=["lm_head"], quantization_config=asked)
    for module in list(made.modules()):
        for name, parameter in list(module.named_parameters(recurse=False)):
            four = isinstance(module, Linear4bit) and name == "weight"
            shape = (module.out_features, module.in_features) if four else parameter.shape
            weight = torch.zeros(shape, dtype=dtype, device=device)
            weight = weight.normal_(0, 0.02) if weight.ndim > 1 else weight.fill_(float(name == "weight"))
            if four:
                options = {
                    "quant_type": asked.bnb_4bit_quant_type,
                    "compress_statistics": asked.bnb_4bit_use_double_quant,
                    "quant_storage": asked.bnb_4bit_quant_storage,
                }
                fresh: Any = Params4bit(weight, requires_grad=False, module=module, **options).to(device)  # type: ignore[misc]
            else:
                fresh = torch.nn.Parameter(weight)
            setattr(module, name, fresh)
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, buffer.to(device))
    made.tie_weights()
    made.is_quantized = made.is_loaded_in_4bit = True
    made.quantization_method = asked.quant_method
    made.config.quantization_config = asked
    made.hf_quantizer = quantizer
    return made
