"""Trains the micro embedder: `python -m systems.micro.train_embedder --out systems/micro/embedder`.

A StaticEmbedding (one learned vector a token, averaged) trained contrastively on questions and the pages
that answer them, from worlds that are never evaluated. Each question comes with a page of a machine that has
the same name and another number, so the number must count.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.losses import MultipleNegativesRankingLoss
from sentence_transformers.models import Normalize, StaticEmbedding

from datasets import Dataset  # type: ignore[attr-defined]  # mypy finds our data folder of that name
from systems.micro.reading import triplets
from systems.micro.together import PAGES
from systems.micro.vocabulary import make_tokenizer


def recall(model: SentenceTransformer, *, k: int = 4) -> float:
    """Recall@k over all pages of a world that the training never saw."""
    rows = list(triplets("probe/embedder", PAGES))
    questions, pages = (
        model.encode([r[side] for r in rows], convert_to_tensor=True, show_progress_bar=False) for side in (0, 1)
    )
    top = (questions @ pages.T).topk(k, dim=1).indices
    return float((top == torch.arange(len(rows))[:, None]).any(1).float().mean())


def train(out: Path, *, seed: str, worlds: int, dimensions: int, epochs: int, rate: float) -> dict[str, Any]:
    """Trains and writes the model and what it took to `out`. Losses are of each tenth of the training."""
    torch.manual_seed(int.from_bytes(seed.encode()[:4], "little"))
    tokenizer = make_tokenizer(seed)
    static = StaticEmbedding(tokenizer.backend_tokenizer, embedding_dim=dimensions)
    model = SentenceTransformer(modules=[static, Normalize()], device="cpu")
    rows = [row for n in range(worlds) for row in triplets(f"{seed}/embedder/{n}", 64)]
    data = Dataset.from_dict(
        dict(zip(("anchor", "positive", "negative"), map(list, zip(*rows, strict=True)), strict=True))
    )
    begin, before = time.perf_counter(), recall(model)
    with tempfile.TemporaryDirectory() as work:
        args = SentenceTransformerTrainingArguments(
            output_dir=work,
            num_train_epochs=epochs,
            per_device_train_batch_size=256,
            learning_rate=rate,
            warmup_steps=0.1,
            use_cpu=True,
            seed=1,
            report_to=[],
            save_strategy="no",
            logging_steps=0.1,
            disable_tqdm=True,
        )
        trainer = SentenceTransformerTrainer(
            model=model, args=args, train_dataset=data, loss=MultipleNegativesRankingLoss(model)
        )
        trainer.train()
    model.save(str(out), create_model_card=False)
    facts = {
        "recall_at_4_before": before,
        "recall_at_4": recall(model),
        "losses": [round(row["loss"], 4) for row in trainer.state.log_history if "loss" in row],
        "triplets": len(rows),
        "seconds": round(time.perf_counter() - begin),
    }
    (out / "curve.json").write_text(json.dumps({"seed": seed, **facts}, indent=1) + "\n")
    return facts


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "embedder")
    parser.add_argument("--seed", default="micro-1")
    parser.add_argument("--worlds", type=int, default=300)
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.05)
    options = parser.parse_args()
    print(
        train(
            options.out,
            seed=options.seed,
            worlds=options.worlds,
            dimensions=options.dimensions,
            epochs=options.epochs,
            rate=options.rate,
        )
    )


if __name__ == "__main__":
    main()
