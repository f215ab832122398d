"""Secrets that really try to get out: in an answer, in an error, in a log, in a URL."""

from __future__ import annotations

import base64
import html
import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from bench import parse
from bench.redact import HIDDEN, redacted
from bench.report import report
from bench.run import run
from bench.score import score
from tests.conftest import EMBEDDER, raw_spec, serving

KEY, PASSWORD = 'sk-"planted"&<1234>', 'pa"ss<wörd>\\12345'


class Blabbing(BaseHTTPRequestHandler):
    """Says every header back: in its answer, or as the reason of its failure."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = f"you sent {self.headers['Authorization']} to http://me:hunter22@{self.headers['Host']}/"
        self.send_response(200 if body["model"] == "open" else 500)
        self.end_headers()
        event = json.dumps({"choices": [{"delta": {"content": said}, "finish_reason": "stop"}]})
        self.wfile.write(
            f"data: {event}\n\ndata: [DONE]\n\n".encode() if body["model"] == "open" else ("x" * 180 + said).encode()
        )

    def log_message(self, *_: Any) -> None:
        return None


def test_no_file_of_a_run_holds_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_OPENING", KEY)  # secret because the spec names it
    monkeypatch.setenv("PLANTED_PASSWORD", PASSWORD)  # because of its own name
    with serving(Blabbing) as url:
        served = {"name": "open", "base_url": url, "api_key_env": "MY_OPENING"}
        systems = [
            {"name": "open", "kind": "closed_book"}, {"name": "broken", "kind": "closed_book", "model": {"name": "broken"}},
            {"name": "told", "kind": "tests.kinds.echo", "fault": "tell", "after": 5},
        ]  # fmt: skip
        spec = parse(raw_spec(model=served, embedder={"name": str(EMBEDDER)}, systems=systems))
        outcome = run(spec, out=tmp_path / "r", store=tmp_path / "s")
    score(outcome.folder)
    report(outcome.folder)
    files = {p: p.read_text(errors="ignore") for p in tmp_path.rglob("*") if p.is_file()}
    for secret in (KEY, PASSWORD, "hunter22"):
        for form in (secret, json.dumps(secret)[1:-1], html.escape(secret), secret[:6]):
            assert [p for p, text in files.items() if form in text] == [], form
    records = files[outcome.folder / "records.jsonl"]
    assert records.count(f"Bearer {HIDDEN}") >= 40 and f"http://{HIDDEN}@" in records  # they were there to be hidden
    log = next(text for p, text in files.items() if p.parent.name == "told-s1" and p.name == "log.txt")
    assert HIDDEN in log and HIDDEN in files[outcome.folder / "run.json"]


def test_what_looks_like_a_secret_by_name_alone_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "parallel")  # TOKEN is no word of its name
    monkeypatch.setenv("SHORT_KEY", "abc")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/tmp/agent.1234")
    monkeypatch.setenv("HF_TOKEN", "hf_planted1")
    text = "parallel abc /tmp/agent.1234 hf_planted1 " + base64.b64encode(b"hf_planted1").decode()
    assert redacted(text) == f"parallel abc /tmp/agent.1234 {HIDDEN} {HIDDEN}"
    assert redacted("see http://example.org/a:b@c and a@b.example") == "see http://example.org/a:b@c and a@b.example"
