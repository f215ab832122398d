"""JSON Schema of a spec, for editors."""

from __future__ import annotations

from typing import Any

from bench.spec import kinds
from bench.spec.model import Spec


def schema() -> dict[str, Any]:
    """JSON Schema of a spec, with each built-in kind's own keys, for editors."""
    whole = Spec.model_json_schema()
    variants = []
    for name in kinds.builtin():
        config = kinds.load(name).Config
        own = config.model_json_schema()
        whole["$defs"] = own.pop("$defs", {}) | whole["$defs"]
        keys = {k: v for k, v in own["properties"].items() if k != "seed"}
        keys |= {"name": {"type": "string"}, "kind": {"const": name}, "matrix": {"type": "object"}}
        keys |= {k: {"type": "string", "description": "Name of a system of this spec."} for k in config.references}
        variants.append(
            {
                "type": "object",
                "properties": keys,
                "required": ["name", "kind", *config.references],
                "additionalProperties": False,
            }
        )
    other = {
        "type": "object",
        "properties": {"kind": {"type": "string", "pattern": r"\."}},
        "required": ["name", "kind"],
    }
    whole["properties"]["systems"]["items"] = {"anyOf": [*variants, other]}
    whole["$defs"]["Native"]["required"] = [k for k in whole["$defs"]["Native"].get("required", []) if k != "format"]
    whole["$defs"]["Retrieval"]["properties"]["index"]["enum"] = kinds.indexes()
    for block in ("Model", "Embedder", "Reranker"):
        whole["$defs"][block]["properties"].pop("digest", None)
    return {**whole, "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "ragtune spec"}
