"""Models given by their published dimensions, their weights random: time and memory do not depend on what weights say.

Dimensions are those of each model's config.json on the hub.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

PREFIX = "shape:"
TOKENIZER = Path(__file__).parents[1] / "micro" / "lm"  # its few tokens are tokens of every shape

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {
        "model_type": "llama", "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4,
        "intermediate_size": 704, "vocab_size": 2048, "tie_word_embeddings": True,
    },
    "100m": {
        "model_type": "llama", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "num_key_value_heads": 12,
        "intermediate_size": 2048, "vocab_size": 32000, "tie_word_embeddings": True,
    },
    "qwen2.5-0.5b": {
        "model_type": "qwen2", "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
        "intermediate_size": 4864, "vocab_size": 151936, "tie_word_embeddings": True,
    },
    "phi3-mini": {
        "model_type": "phi3", "hidden_size": 3072, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
        "intermediate_size": 8192, "vocab_size": 32064, "tie_word_embeddings": False, "pad_token_id": 32000,
    },
    "llama3.1-8b": {
        "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "intermediate_size": 14336, "vocab_size": 128256, "tie_word_embeddings": False,
    },
    "llama3-70b": {
        "model_type": "llama", "hidden_size": 8192, "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8,
        "intermediate_size": 28672, "vocab_size": 128256, "tie_word_embeddings": False,
    },
}  # fmt: skip


def model(name: str, options: dict[str, Any]) -> Any:
    """A model of the shape, loaded as a checkpoint is: written to a temporary folder, and read from it.

    So four-bit weights are quantised by the code that quantises a user's model. It takes the disk of the weights.
    """
    dimensions = dict(SHAPES[name.removeprefix(PREFIX)])
    config = AutoConfig.for_model(dimensions.pop("model_type"), **dimensions, max_position_embeddings=8192)
    dtype = torch.bfloat16 if options["dtype"] == "auto" else options["dtype"]
    torch.manual_seed(0)
    with torch.device(options["device_map"][""]):
        made = AutoModelForCausalLM.from_config(config, dtype=dtype)
    if "quantization_config" not in options:
        return made
    with tempfile.TemporaryDirectory() as folder:
        made.save_pretrained(folder)
        del made
        return AutoModelForCausalLM.from_pretrained(folder, **{**options, "dtype": dtype})
