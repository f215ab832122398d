"""An embedder tuned on the training questions, as an artefact: MultipleNegativesRankingLoss with mined hard negatives.

After the training guide of sentence-transformers. In a batch each question's gold passage is told from the others' and
from the best passage that is not gold (Karpukhin et al. 2004.04906) and does not hold the answer.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from peft import LoraConfig, get_peft_model
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from transformers.trainer_utils import set_seed

from bench.core import meters
from bench.core.blocks import Embedder
from bench.core.digest import digest, digest_of_parts
from bench.core.store import Store
from bench.core.vocabulary import JSON, Material
from bench.core.window import titled
from datasets import Dataset  # type: ignore[attr-defined]  # mypy finds our data folder of that name
from systems.parts import embed

AT_ONCE = 256  # questions whose scores of all passages are held
CANDIDATES = 64  # passages that may be a question's hard negative
SHORTEST = 4  # characters of an answer that is looked for in them

_learned: dict[tuple[str, str, str], Embedder] = {}  # of this process: a corpus that changes trains nothing anew


def tuned(embedder: Embedder, material: Material, store: Store, *, device: str) -> Embedder:
    """The embedder as it is searched with: itself, or the tuned one in the store, trained there where it is missing.

    It is trained again where the training questions have changed, and not where the corpus has. Raises ValueError
    without a training question that names a gold passage.
    """
    if embedder.tuned is None:
        return embedder
    key = (embedder.model_dump_json(), digest(material.train), str(store.root))
    if key not in _learned:
        _learned[key] = _built(embedder, material, store, device)
    return _learned[key]


def _built(embedder: Embedder, material: Material, store: Store, device: str) -> Embedder:
    recipe: dict[str, JSON] = {
        "kind": "embedder",
        "version": 2,
        "base": embedder.digest or embedder.name,
        "revision": embedder.revision,
        "prefixes": [embedder.query_prefix, embedder.passage_prefix],
        "tuning": embedder.tuned.recorded("lora_rank") if embedder.tuned else None,
        "train": digest(material.train),
        "corpus": digest_of_parts([p.id, p.title, p.text] for p in material.corpus),
        "device": device,
    }
    folder, artefact = store.get(recipe, partial(_train, embedder, material, device))
    found = {"name": str(folder / "model"), "digest": artefact.digest, "revision": None, "tuned": None}
    return embedder.model_copy(update=found)


def _train(embedder: Embedder, material: Material, device: str, folder: Path) -> dict[str, JSON]:
    """Write the tuned embedder, and return what it took."""
    assert embedder.tuned is not None
    encoder = embed.load(embedder, device=device)
    rows = triplets(encoder, material)
    if not rows:
        raise ValueError("no training question names a gold passage: there is nothing to tune the embedder on")
    adapter = _adapted(encoder.model, embedder) if embedder.tuned.lora_rank else None
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder / "work"),
        num_train_epochs=embedder.tuned.epochs,
        per_device_train_batch_size=embedder.tuned.batch_size,
        learning_rate=embedder.tuned.learning_rate,
        warmup_steps=embedder.tuned.warmup,
        seed=0,
        use_cpu=device == "cpu",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pin_memory.*")
        trainer = SentenceTransformerTrainer(
            model=encoder.model,
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            loss=MultipleNegativesRankingLoss(encoder.model),
        )
        _, watch = meters.timed(trainer.train)
    if adapter is not None:
        setattr(encoder.model[0], _inner(encoder.model), adapter.merge_and_unload())
    encoder.model.save(str(folder / "model"), create_model_card=False)
    return {"triplets": len(rows), "train_loop_s": watch.seconds}


def _adapted(model: Any, embedder: Embedder) -> Any:
    """The transformer of the embedder with an adapter, which alone is tuned. Raises ValueError where it has none."""
    name, rank = _inner(model), embedder.tuned.lora_rank if embedder.tuned else 0
    if name not in model[0]._modules:
        raise ValueError(f"{embedder.name} is no transformer: tune all its weights, without `embedder.tuned.lora_rank`")
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="FEATURE_EXTRACTION")
    set_seed(0)
    adapter = get_peft_model(model[0]._modules[name], config)
    setattr(model[0], name, adapter)
    return adapter


def _inner(model: Any) -> str:
    """Where a sentence-transformers model has its transformer: `auto_model` before version 6."""
    return "auto_model" if "auto_model" in model[0]._modules else "model"


def triplets(encoder: embed.Encoder, material: Material) -> list[dict[str, str]]:
    """(question, gold passage, the best passage that is not gold) of each training question and gold passage."""
    texts = [titled(p.title, p.text) for p in material.corpus]
    passages = [encoder.config.passage_prefix + text for text in texts]
    place = {p.id: n for n, p in enumerate(material.corpus)}
    asked = [e for e in material.train if e.question.gold]
    vectors, known = encoder.questions([e.question.text for e in asked]), encoder.passages(texts)
    lowered = [text.lower() for text in texts]
    rows = []
    for start in range(0, len(asked), AT_ONCE):
        some = asked[start : start + AT_ONCE]
        for example, scores in zip(some, vectors[start : start + AT_ONCE] @ known.T, strict=True):
            hard = _hardest(scores, [place[g] for g in example.question.gold], example.answers or (), lowered)
            for gold in example.question.gold:
                row = {"anchor": encoder.config.query_prefix + example.question.text, "positive": passages[place[gold]]}
                rows.append(row | ({"negative": passages[hard]} if hard is not None else {}))
    return rows


def _hardest(scores: Any, gold: Sequence[int], answers: Sequence[str], lowered: Sequence[str]) -> int | None:
    """The best of the others, of those that hold no answer: they may be right without being named gold. A short answer,
    such as yes or a digit, stands anywhere. None where there is none among the CANDIDATES that come nearest."""
    count = min(len(scores), CANDIDATES + len(gold))
    nearest = np.argpartition(-scores, count - 1)[:count]
    order = nearest[np.lexsort((nearest, -scores[nearest]))]
    said = [answer.lower() for answer in answers if len(answer) >= SHORTEST]
    return next((int(n) for n in order if n not in gold and not any(a in lowered[n] for a in said)), None)
