"""Trains the micro embedder: `python -m systems.micro.train_embedder --out systems/micro/embedder`.

A StaticEmbedding (one learned vector a token, averaged) trained contrastively on questions and the pages
that answer them, from worlds that are never evaluated. Pages of machines that share a name stand in one
batch, so the number in a name must count.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.losses import MultipleNegativesRankingLoss
from sentence_transformers.models import Normalize, StaticEmbedding

from datasets import Dataset  # type: ignore[attr-defined]  # mypy finds our data folder of that name
from systems.micro.reading import pages
from systems.micro.train_lm import make_tokenizer


def recall(model: SentenceTransformer, *, k: int = 4, size: int = 400) -> float:
    """Recall@k on a world of `size` pages that the training never saw."""
    pairs = list(itertools.islice(pages("probe/embedder"), size))
    q, p = (
        model.encode(list(side), convert_to_tensor=True, show_progress_bar=False) for side in zip(*pairs, strict=True)
    )
    top = (q @ p.T).topk(k, dim=1).indices
    return float((top == torch.arange(size)[:, None]).any(1).float().mean())


def train(out: Path, *, seed: str, worlds: int, dimensions: int, epochs: int, rate: float) -> dict[str, float]:
    torch.manual_seed(int.from_bytes(seed.encode()[:4], "little"))
    tokenizer = make_tokenizer(seed)
    static = StaticEmbedding(tokenizer.backend_tokenizer, embedding_dim=dimensions)
    model = SentenceTransformer(modules=[static, Normalize()], device="cpu")
    pairs = [pair for n in range(worlds) for pair in itertools.islice(pages(f"{seed}/embedder/{n}"), 64)]
    data = Dataset.from_dict({"anchor": [q for q, _ in pairs], "positive": [p for _, p in pairs]})
    begin, before = time.perf_counter(), recall(model)
    with tempfile.TemporaryDirectory() as work:
        args = SentenceTransformerTrainingArguments(
            output_dir=work, num_train_epochs=epochs, per_device_train_batch_size=256, learning_rate=rate, warmup_steps=0.1,
            use_cpu=True, seed=1, report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        SentenceTransformerTrainer(
            model=model, args=args, train_dataset=data, loss=MultipleNegativesRankingLoss(model)
        ).train()
    model.save(str(out), create_model_card=False)
    told = {
        "recall_at_4_before": before,
        "recall_at_4": recall(model),
        "pairs": len(pairs),
        "seconds": round(time.perf_counter() - begin),
    }
    (out / "curve.json").write_text(json.dumps({"seed": seed, **told}, indent=1) + "\n")
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "embedder")
    parser.add_argument("--seed", default="micro-1")
    parser.add_argument("--worlds", type=int, default=1500)
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rate", type=float, default=0.05)
    a = parser.parse_args()
    print(train(a.out, seed=a.seed, worlds=a.worlds, dimensions=a.dimensions, epochs=a.epochs, rate=a.rate))


if __name__ == "__main__":
    main()
