"""What others would use, in an environment of its own: `python peer.py NAME`, one line of JSON in, one out.

Run by `tests/perf/peers.py` with the Python of that environment, which has the peers and not ragtune.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

Work = Callable[[dict[str, Any]], Any]


class Harness:
    """lm-evaluation-harness, its model of kind `hf`."""

    def __init__(self) -> None:
        self.model: Any = None
        self.made: tuple[str, int] | None = None

    def __call__(self, asked: dict[str, Any]) -> list[str]:
        """The greedy texts of the prompts, in order."""
        instance = importlib.import_module("lm_eval.api.instance").Instance
        if self.made != (asked["model"], asked["batch"]):
            made = importlib.import_module("lm_eval.models.huggingface").HFLM
            self.model = made(
                pretrained=asked["model"], device="cpu", dtype="float32", batch_size=asked["batch"], max_length=1024
            )
            self.made = (asked["model"], asked["batch"])
        how = {"until": [asked["end"]], "max_gen_toks": asked["new_tokens"], "do_sample": False}
        requests = [
            instance(request_type="generate_until", doc={}, arguments=(prompt, how), idx=n)
            for n, prompt in enumerate(asked["prompts"])
        ]
        return [str(text) for text in self.model.generate_until(requests, disable_tqdm=True)]


class Loop:
    """A plain loop of transformers' `generate` over slices as they come."""

    def __init__(self) -> None:
        self.model: Any = None
        self.tokenizer: Any = None

    def __call__(self, asked: dict[str, Any]) -> list[str]:
        """The greedy texts of the prompts' tokens, in order."""
        if self.model is None:
            transformers = importlib.import_module("transformers")
            self.model = transformers.AutoModelForCausalLM.from_pretrained(asked["model"], dtype="float32").eval()
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(asked["model"], padding_side="left")
        said, size = [], asked["batch"]
        for start in range(0, len(asked["prompts"]), size):
            rows = self.tokenizer.pad({"input_ids": asked["prompts"][start : start + size]}, return_tensors="pt")
            out = self.model.generate(**rows, max_new_tokens=asked["new_tokens"], do_sample=False)
            said += self.tokenizer.batch_decode(out[:, rows["input_ids"].shape[1] :], skip_special_tokens=True)
        return said


class Encoder:
    """sentence-transformers' `encode`, its batches and all else as it comes."""

    def __init__(self) -> None:
        self.model: Any = None

    def __call__(self, asked: dict[str, Any]) -> list[float]:
        """The sum of each text's unit vector, in order."""
        if self.model is None:
            self.model = importlib.import_module("sentence_transformers").SentenceTransformer(
                asked["model"], device="cpu"
            )
        rows = self.model.encode(asked["texts"], normalize_embeddings=True, show_progress_bar=False)
        return [float(total) for total in rows.sum(axis=1)]


def score(asked: dict[str, Any]) -> dict[str, list[float]]:
    """SQuAD's measures and ROUGE-L of each answer by torchmetrics, reciprocal rank and recall by ir-measures."""
    text = importlib.import_module("torchmetrics.functional.text")
    measures = importlib.import_module("ir_measures")
    found: dict[str, list[float]] = {"em": [], "f1": [], "rouge_l": []}
    for row in asked["rows"]:
        squad = text.squad(
            [{"prediction_text": row["text"], "id": "0"}],
            [{"answers": {"answer_start": [0] * len(row["answers"]), "text": row["answers"]}, "id": "0"}],
        )
        found["em"].append(float(squad["exact_match"]) / 100)
        found["f1"].append(float(squad["f1"]) / 100)
        rouge = text.rouge_score(row["text"], row["answers"], rouge_keys="rougeL", accumulate="best")
        found["rouge_l"].append(float(rouge["rougeL_fmeasure"]))
    wanted = [measures.RR @ asked["k"], measures.R @ asked["k"]]
    for system in asked["retrieval"]:
        of = measures.iter_calc(wanted, system["qrels"], system["run"])
        per = {(str(m.measure), m.query_id): float(m.value) for m in of}
        for measure in wanted:
            found.setdefault(str(measure), []).extend(per[str(measure), q] for q in system["qrels"])
    return found


WORK: dict[str, Callable[[], Work]] = {"harness": Harness, "loop": Loop, "encoder": Encoder, "score": lambda: score}


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """What libraries print does not mix with the answers."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def main(words: Sequence[str]) -> None:
    """Answer each line with the result and the seconds that it took."""
    with quietly():
        if len(words) > 1:
            importlib.import_module("torch").set_num_threads(int(words[1]))
        work = WORK[words[0]]()
    for line in sys.stdin:
        asked = json.loads(line)
        if "file" in asked:
            asked |= json.loads(Path(asked["file"]).read_text())
        with quietly():
            begin = time.perf_counter()
            result = work(asked)
            seconds = time.perf_counter() - begin
        print(json.dumps({"result": result, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
