"""The claims of claims.yaml against a run: confirmed, refuted, inconclusive, or not tested, by rules set beforehand."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.scoring.schema import Claim
from bench.verdict.claim_terms import Finding
from bench.verdict.claims_of_cost import four_bit_slower, qlora_70b, qlora_memory, qlora_slower
from bench.verdict.claims_of_quality import (
    ft_paraphrase,
    ft_style,
    full_breaks_rag,
    hnsw_recall,
    hybrid_best,
    lora_full,
    qlora_quality,
    raft,
    rag_external,
    rag_multi,
    rag_source,
    small_data,
)
from bench.verdict.evidence import Evidence
from bench.verdict.sentence import listed


def ledger() -> list[dict[str, str]]:
    """Every claim: id, claim, source, published, test, needs."""
    import yaml

    return list(yaml.safe_load((Path(__file__).parent / "claims.yaml").read_text(encoding="utf-8")))


def evaluate(evidence: Evidence) -> tuple[Claim, ...]:
    """The ledger with what this run says of each claim."""
    rows = []
    for claim in ledger():
        found = RULES[claim["test"]](evidence)
        if found is None:
            found = Finding("not tested", "", f"To test it, a run needs {claim['needs']}.")
        elif found.status in ("confirmed", "refuted"):
            found = replace(found, takes=" ".join(filter(None, (found.takes, _of_one_training(evidence, found)))))
        said = {key: value for key, value in claim.items() if key != "test"}
        rows.append(Claim(**said, status=found.status, measured=found.measured, takes=found.takes))
    return tuple(rows)


def _of_one_training(evidence: Evidence, found: Finding) -> str:
    """Whose training the finding is of, where there were too few to know what another would say; else empty."""
    few = evidence.few_seeds(evidence.named)
    named = [name for name in few if re.search(rf"(?<![\w.+-]){re.escape(name)}(?![\w+-])", found.measured)]
    return f"{listed(named)}: of {'one seed' if len(named) == 1 else 'one seed each'}; three tell." if named else ""


Rule = Callable[[Evidence], Finding | None]


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        rag_external,
        ft_paraphrase,
        ft_style,
        hybrid_best,
        raft,
        full_breaks_rag,
        lora_full,
        qlora_quality,
        qlora_slower,
        qlora_memory,
        qlora_70b,
        four_bit_slower,
        small_data,
        rag_source,
        rag_multi,
        hnsw_recall,
    )
}
