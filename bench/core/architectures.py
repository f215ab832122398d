"""Which architectures are causal language models, told from a model's config.json before anything is imported."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.core.errors import UserError

CAUSAL = ("ForCausalLM", "LMHeadModel")
ENCODERS = frozenset(  # causal only where `is_decoder` is set
    [
        "bert",
        "roberta",
        "electra",
        "xlm-roberta",
        "camembert",
        "distilbert",
        "mpnet",
        "deberta",
        "deberta-v2",
        "albert",
        "modernbert",
        "nomic_bert",
        "longformer",
        "xlnet",
        "big_bird",
        "convbert",
        "data2vec-text",
        "ernie",
        "esm",
        "eurobert",
        "flaubert",
        "fnet",
        "funnel",
        "gte",
        "ibert",
        "jina_embeddings_v3",
        "layoutlm",
        "luke",
        "megatron-bert",
        "mobilebert",
        "mra",
        "nystromformer",
        "perceiver",
        "reformer",
        "rembert",
        "roberta-prelayernorm",
        "roc_bert",
        "roformer",
        "squeezebert",
        "tapas",
        "xlm",
        "xlm-roberta-xl",
        "xmod",
        "yoso",
        "vit",
        "clip",
        "siglip",
        "dinov2",
        "wav2vec2",
        "hubert",
    ]
)
PAIRED = frozenset(  # encoders with a decoder, whatever their `architectures` say
    [
        "t5",
        "mt5",
        "umt5",
        "longt5",
        "switch_transformers",
        "bart",
        "mbart",
        "pegasus",
        "marian",
        "led",
        "m2m_100",
        "blenderbot",
        "blenderbot-small",
        "prophetnet",
        "bigbird_pegasus",
        "fsmt",
        "mvp",
        "nllb-moe",
        "pegasus_x",
        "plbart",
        "seamless_m4t",
        "seamless_m4t_v2",
        "t5gemma",
        "t5gemma2",
        "whisper",
        "vision-encoder-decoder",
        "encoder-decoder",
    ]
)


@functools.cache
def _is_known(kind: str) -> bool:
    """Whether the transformers that is installed has models of a type: by the text of its tables, for importing them
    takes seconds."""
    found = importlib.util.find_spec("transformers")
    tables = sorted((Path(found.origin).parent / "models" / "auto").glob("*.py")) if found and found.origin else []
    return not tables or any(f'"{kind}"' in path.read_text(encoding="utf-8") for path in tables)


def check_causal(config: Mapping[str, Any], file: Path) -> None:
    """Raises UserError for what is no causal language model: an encoder, an encoder with a decoder, a vision model; and
    for a type that transformers does not know."""
    kind = config.get("model_type")
    if isinstance(kind, str) and not _is_known(kind):
        raise UserError(
            f"`model_type` is {kind!r}, which this version of transformers does not have.",
            where=str(file),
            remedy="Install a newer transformers, or mend the name.",
        )
    names = [str(name) for name in config.get("architectures") or ()]
    encoder = str(config.get("model_type")) in ENCODERS and not config.get("is_decoder")
    composite = isinstance(config.get("text_config"), dict) and any("ForConditionalGeneration" in n for n in names)
    causal = composite or not names or any(name.endswith(CAUSAL) for name in names)
    paired = config.get("is_encoder_decoder") or str(config.get("model_type")) in PAIRED
    if paired or encoder or not causal:
        found = names[0] if names else str(config.get("model_type"))
        raise UserError(
            f"{found} is no causal language model, and ragtune's prompts need one.",
            where=str(file),
            remedy="Use a model whose `architectures` end in ForCausalLM.",
        )
