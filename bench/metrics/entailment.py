"""Whether one text entails another, by a model that the user names: an NLI or MiniCheck-style cross-encoder.

Loaded from a local folder or the hub by transformers, never with code of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.core import checkpoint, first_calls, hub
from bench.metrics.citations import Pair


def entailment(
    pairs: Sequence[Pair],
    *,
    name: str,
    revision: str | None = None,
    batch_size: int = 16,
    tell: Callable[[int, int], None] | None = None,
) -> list[float]:
    """Probability in 0..1 that what is shown entails what is said, a pair each.

    A model of several labels gives the softmax of the one named like `entailment`, `supported` or `LABEL_1` (of two);
    a model of one logit gives its sigmoid. Long passages are cut to the model's window. Raises OSError for a name that
    neither the disk nor the hub has, ValueError for a model whose labels name no entailment, or
    whose weights are missing.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    first_calls.resolve()
    hub.checked(name, revision, what="entailment model")
    tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)
    loaded: Any = AutoModelForSequenceClassification.from_pretrained(
        name, revision=revision, trust_remote_code=False, output_loading_info=True
    )
    model, info = loaded[0].eval(), loaded[1]
    checkpoint.must_fit(name, {"missing": (*info["missing_keys"], *info["mismatched_keys"])})
    label = None if model.config.num_labels == 1 else entailment_label(model.config.id2label)
    longest = min(tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", 512))
    found: list[float] = []
    for start in range(0, len(pairs), batch_size):
        batch = pairs[start : start + batch_size]
        options: dict[str, Any] = {
            "truncation": "only_first",
            "max_length": longest,
            "padding": True,
            "return_tensors": "pt",
        }
        with torch.inference_mode():
            logits = model(**tokenizer([p for p, _ in batch], [h for _, h in batch], **options)).logits.float()
        shares = logits[:, 0].sigmoid() if label is None else logits.softmax(-1)[:, label]
        found += shares.tolist()
        if tell:
            tell(len(found), len(pairs))
    return found


def entailment_label(labels: dict[int, str]) -> int:
    """The number of the label that says that it follows."""
    named = [
        n
        for n, text in labels.items()
        if any(word in text.lower() for word in ("entail", "support", "consistent")) and "not" not in text.lower()
    ]
    if len(named) == 1:
        return int(named[0])
    if sorted(labels.values()) == ["LABEL_0", "LABEL_1"]:
        return 1
    raise ValueError(f"no label of {sorted(labels.values())} says entailment")
