"""Whether a loaded model has the weights of its checkpoint: what is missing there would be random ones."""

from __future__ import annotations

from typing import Any

from bench.core import hub
from bench.core.checkpoint import must_fit, tensors

DERIVED = ("position_ids", "token_type_ids", "inv_freq")  # buffers that a model makes for itself


def check(model: Any, name: str, revision: str | None) -> None:
    """Raises ValueError where the safetensors of a model lack weights that it has. Names may differ by the prefix that
    a base model has inside another."""
    folder = hub.local(name, revision)
    files = sorted(folder.glob("*.safetensors")) if folder else []
    if not files or model is None:
        return
    known = {key for file in files for key in tensors(file)[1]}
    base = f"{getattr(model, 'base_model_prefix', '')}."
    known |= {key.removeprefix(base) for key in known}
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    wanted = [key for key in model.state_dict() if not key.endswith(DERIVED) and key not in tied]
    lost = [key for key in wanted if key not in known and key.removeprefix(base) not in known]
    must_fit(name, {"missing": lost})
