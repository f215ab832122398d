"""llama.cpp's own server as an endpoint: the micro model in its format, asked one at a time and under load."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from bench import parse
from bench.execution.run import run
from bench.report import report
from bench.verdict.score import read_scores, score
from tests.conftest import MICRO, raw_spec

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: pip install 'ragtune[llamacpp]'")
gguf = pytest.importorskip("gguf", reason="gguf is not installed: pip install 'ragtune[llamacpp]'")


def in_its_format(folder: Path, to: Path) -> Path:
    """The micro model as a GGUF file. It splits words as GPT-2 does, and so reads some names in other tokens."""
    config = json.loads((folder / "config.json").read_text())
    tokens = json.loads((folder / "tokenizer.json").read_text())
    writer = gguf.GGUFWriter(to, "lfm2")
    layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
    writer.add_block_count(layers)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv([0 if kind == "conv" else heads for kind in config["layer_types"]])
    writer.add_shortconv_l_cache(config["conv_L_cache"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["norm_eps"])
    special = {token["content"] for token in tokens["added_tokens"]}
    ordered = sorted(tokens["model"]["vocab"], key=tokens["model"]["vocab"].__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(ordered)
    writer.add_token_types([gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for token in ordered])
    writer.add_token_merges(
        [merge if isinstance(merge, str) else " ".join(merge) for merge in tokens["model"]["merges"]]
    )
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_add_bos_token(False)
    writer.add_chat_template((folder / "chat_template.jinja").read_text())
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LFM2, layers)
    for name, weights in load_file(folder / "model.safetensors").items():
        kept = weights.squeeze(1) if weights.ndim == 3 else weights  # the kernels of a convolution
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), kept.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return to


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a llama.cpp server on this machine."""
    model = in_its_format(MICRO, tmp_path_factory.mktemp("llama") / "micro.gguf")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--port", port, "--n_threads", "1"]
    log = (model.parent / "log.txt").open("w")
    with log, subprocess.Popen([*command, "--n_ctx", "1024"], stdout=log, stderr=log) as server:
        try:
            while not _answers(f"http://127.0.0.1:{port}/v1/models"):
                assert server.poll() is None, (model.parent / "log.txt").read_text()
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.kill()


def _answers(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(url, timeout=5).status == 200)
    except OSError:
        return False


@pytest.mark.heavy
def test_it_is_measured_as_it_is_served(url: str, tmp_path: Path) -> None:
    here: dict[str, Any] = {"name": "micro", "base_url": url}
    systems = [
        {"name": "inside", "kind": "oracle", "distractors": 0},
        {"name": "chat", "kind": "oracle", "distractors": 0, "model": here},
        {"name": "plain", "kind": "oracle", "distractors": 0, "model": here | {"api": "completions"}},
    ]
    prompt = {
        "system": "",
        "passage": "{text}\n",
        "open_book": "{passages}\n{question}",
        "closed_book": "{question}",
    }
    measure = {"rounds": 0, "load": {"concurrency": [1, 4, 16], "seconds": 2}}
    spec = parse(
        raw_spec(
            model={"name": "micro"},
            prompt=prompt,
            generation={"max_new_tokens": 16, "batch_size": 4},
            systems=systems,
            needs={"p95_latency_s": 30.0},
            measure=measure,
        )
    )
    outcome = run(spec, out=tmp_path / "r", store=tmp_path / "s")
    assert outcome.status == "complete", outcome.failed
    score(outcome.folder)
    found = read_scores(outcome.folder).measured
    inside, chat = (found[name].scores["em"].mean for name in ("inside", "chat"))
    assert inside > 0.5 and chat > 0.1, "the same weights, which read some names in other tokens"
    for name in ("chat", "plain"):
        served = found[name]
        assert served.endpoint and not served.errors
        assert served.speed.first_token_s and served.speed.per_token_s
        assert [(at.mode, at.level) for at in served.load] == [("closed", 1), ("closed", 4), ("closed", 16)]
        assert all(at.n and not at.failed for at in served.load)
    assert 'id="load"' in report(outcome.folder).read_text()
