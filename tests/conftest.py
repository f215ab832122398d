"""Small real things that tests run on: a tiny dataset, a tiny language model, the shared data where there is any."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bench import parse as parse_spec
from bench.data.task import Task
from bench.spec.model import Spec

ROOT = Path(__file__).resolve().parent.parent
MINI = ROOT / "datasets" / "plant-mini"
EMBEDDER = ROOT / "systems" / "micro" / "embedder"
MICRO = ROOT / "systems" / "micro" / "lm"
sys.path.insert(0, str(ROOT))  # tests.kinds, by dotted path

os.environ["HF_HUB_OFFLINE"] = "1"
if (worker := os.environ.get("PYTEST_XDIST_WORKER")) and hasattr(os, "sched_setaffinity"):
    # a core a worker: two that each start as many threads as there are cores wait for each other's
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})
os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # a process that has trained with several threads cannot fork: GNU's OpenMP


@pytest.fixture(scope="session")
def tiny_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of one narrow layer with the micro tokenizer: it answers nonsense, fast."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny-lm")
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(MICRO)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def raw_spec(**changes: Any) -> dict[str, Any]:
    """A small spec over plant-mini whose systems are the tests' own kinds."""
    base: dict[str, Any] = {
        "name": "t",
        "dataset": {"path": str(MINI)},
        "model": {"name": str(MICRO)},
        "embedder": {"name": str(EMBEDDER)},
        "systems": [{"name": "echo", "kind": "tests.kinds.echo"}],
        "control": False,
        "measure": {"latency_questions": 8, "warmup": 1},
        "generation": {"max_new_tokens": 4, "batch_size": 8},
    }
    measured = {"rounds": 0, **base["measure"], **changes.get("measure", {})}
    return {**base, **changes, "measure": measured}


def scores_json(folder: Path) -> dict[str, Any]:
    """scores.json of a run, as any tool would read it."""
    from bench.verdict.score import score

    score(folder)
    found: dict[str, Any] = json.loads((folder / "scores.json").read_text())
    return found


HOSTILE = (
    "<script>alert('x')</script><img src=x onerror=alert(1)> </style> </script> {{ 7 * 7 }} \u2028 "
    "<a href='javascript:alert(2)'>here</a> \" onfocus=alert(3) autofocus x=\""
)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run over a corpus, questions, names, files and errors that would like to be markup."""
    from bench.execution.run import run
    from bench.report import report
    from bench.verdict.score import score

    root = tmp_path_factory.mktemp("hostile")
    data, model = root / "<img src=x onerror=alert(4)>", root / "<svg onload=alert(5)>"
    data.mkdir()
    model.symlink_to(MICRO)
    for name in ("corpus", "train", "test", "updates"):
        rows = [json.loads(line) for line in (MINI / f"{name}.jsonl").read_text().splitlines()]
        for r in rows:
            r.update({k: f"{HOSTILE} {r[k]} {HOSTILE}" for k in ("text", "question", "stratum", "title") if k in r})
        (data / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (data / "dataset.yaml").write_text(json.dumps({"name": HOSTILE}))
    systems = [
        {"name": "echo", "kind": "tests.kinds.echo"},
        {"name": "other", "kind": "tests.kinds.echo"},
        {"name": "bad", "kind": "tests.kinds.echo", "fault": "raise", "after": 3},
    ]
    raw = raw_spec(
        dataset={"path": str(data)},
        model={"name": str(model)},
        systems=systems,
        description=HOSTILE,
        prices={"cpu_hour_usd": 1e7},
        volumes={"updates_per_month": 5},
        measure={"latency_questions": 16, "warmup": 1},
    )
    outcome = run(parse_spec(raw), out=root / "r", store=root / "s")
    score(outcome.folder)
    report(outcome.folder)
    return outcome.folder


@pytest.fixture
def make_spec() -> Callable[..., Spec]:
    return lambda **changes: parse_spec(raw_spec(**changes))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The two public datasets; they are no part of the project."""
    folder = Path(os.environ.get("RAGTUNE_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no shared data: set RAGTUNE_SHARED_DATA to the folder of pubmedqa/ and xquad_en/")
    return folder


class Served(BaseHTTPRequestHandler):
    """An OpenAI-compatible server that does what the model's name says."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["model"] == "broken":
            self.send_error(500, "planted")
            return
        self.send_response(200)
        self.end_headers()
        words = ["{not json"] if body["model"] == "garbage" else ["four", "teen"]
        for word in words:
            event = word if word[0] == "{" else json.dumps({"choices": [{"delta": {"content": word}}]})
            self.wfile.write(f"data: {event}\n\n".encode())
        if body["model"] == "half":
            return
        usage = {"prompt_tokens": len(str(body["messages"])), "completion_tokens": 2}
        self.wfile.write(f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_: Any) -> None:
        return None


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The handler behind a real port of this machine; its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}/v1"
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture
def server() -> Iterator[str]:
    with serving(Served) as url:
        yield url


def read_task(tmp_path: Path, **block: Any) -> Task:
    """The task as it is parsed, which is the same once the store has it."""
    from pydantic import TypeAdapter

    from bench.core.store import Store
    from bench.data import prepare
    from bench.data.formats import AnySource

    parsed: Any = TypeAdapter(AnySource).validate_python(block)
    task, _ = prepare.load(parsed, Store(tmp_path / "store"))
    again, _ = prepare.load(parsed, Store(tmp_path / "store"))
    assert again == task and again.digest == task.digest
    return task
