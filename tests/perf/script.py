"""A straightforward script, as one would write it: `python script.py SYSTEM PLAN.json`. Public interfaces alone.

Loads the model, embeds and indexes or trains where its system does, and answers every question in slices as they come.
Prints the answers as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments


def found(plan: dict[str, Any]) -> list[str]:
    """The passages of each question, best first, as its prompt shows them."""
    import faiss
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(plan["embedder"], device="cpu")
    vectors = encoder.encode([p["titled"] for p in plan["passages"]], normalize_embeddings=True)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    _, ids = index.search(encoder.encode(plan["questions"], normalize_embeddings=True), plan["k"])
    return ["".join(f"{plan['passages'][i]['text']}\n" for i in row) for row in ids]


def tuned(model: Any, tokenizer: Any, plan: dict[str, Any]) -> Any:
    """The model with a LoRA adapter trained on the pairs by the Trainer."""
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **plan["lora"]))
    rows = []
    for question, answer in plan["pairs"]:
        asked = [{"role": "user", "content": question}]
        told = [*asked, {"role": "assistant", "content": answer}]
        prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
        whole = tokenizer.apply_chat_template(told, return_dict=False)
        rows.append({"input_ids": whole, "labels": [-100] * len(prompt) + whole[len(prompt) :]})

    def collate(batch: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in batch)

        def filled(key: str, value: int) -> torch.Tensor:
            return torch.tensor([row[key] + [value] * (longest - len(row[key])) for row in batch])

        mask = torch.tensor([[1] * len(r["input_ids"]) + [0] * (longest - len(r["input_ids"])) for r in batch])
        return {"input_ids": filled("input_ids", 0), "labels": filled("labels", -100), "attention_mask": mask}

    arguments = TrainingArguments(
        output_dir=plan["out"], use_cpu=True, report_to=[], save_strategy="no", disable_tqdm=True, **plan["training"]
    )
    Trainer(model, arguments, data_collator=collate, train_dataset=rows).train()
    return model.eval()


def answers(system: str, plan: dict[str, Any]) -> list[str]:
    """The answers of a system: `closed_book`, `rag`, `lora` or `hybrid`."""
    tokenizer = AutoTokenizer.from_pretrained(plan["model"])
    model = AutoModelForCausalLM.from_pretrained(plan["model"], dtype=torch.float32).eval()
    shown = found(plan) if system in ("rag", "hybrid") else [""] * len(plan["questions"])
    if system in ("lora", "hybrid"):
        model = tuned(model, tokenizer, plan)
    asked = [f"{p}\n{q}" if p else q for p, q in zip(shown, plan["questions"], strict=True)]
    said = []
    for start in range(0, len(asked), plan["batch"]):
        prompts = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=False
            )
            for text in asked[start : start + plan["batch"]]
        ]
        rows = tokenizer.pad({"input_ids": prompts}, return_tensors="pt")
        with torch.inference_mode():
            out = model.generate(**rows, max_new_tokens=plan["new_tokens"], do_sample=False)
        said += tokenizer.batch_decode(out[:, rows["input_ids"].shape[1] :], skip_special_tokens=True)
    return [text.strip() for text in said]


if __name__ == "__main__":
    print(json.dumps(answers(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()))))
