"""Servers that lie, drip, flood or are busy: a bad answer is an error of that question, and of nothing else."""

from __future__ import annotations

import contextlib
import email.utils
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from bench import parse
from bench.core.blocks import Model, Prompt
from bench.core.http import retry_after_s
from bench.core.vocabulary import Question
from bench.execution.run import run
from systems.parts.endpoint import Endpoint, connect
from tests.conftest import raw_spec, serving

STOP = threading.Event()


def event(content: Any = "yes", usage: Any = None) -> bytes:
    said = {"choices": [{"delta": {"content": content}, "finish_reason": "stop"}], "usage": usage}
    return f"data: {json.dumps(said)}\n\n".encode()


GOOD = event(usage={"prompt_tokens": 3, "completion_tokens": 1}) + b"data: [DONE]\n\n"
LIES = {
    "tokens that are text": event(usage={"prompt_tokens": "abc"}),
    "fewer tokens than none": event(usage={"completion_tokens": -5}),
    "more tokens than there are": event(usage={"prompt_tokens": 10**30}),
    "tokens that are no number": b'data: {"choices": [], "usage": {"prompt_tokens": NaN}}\n\n',
    "usage that is a list": event(usage=[1]),
    "content that is a list": event(content=["yes"]),
    "half of a character": b'data: {"choices": [{"delta": {"content": "\\ud800"}}]}\n\n',
    "choices that are a word": b'data: {"choices": "yes"}\n\n',
    "JSON that is too deep": b"data: " + b"[" * 100_000 + b"\n\n",
    "no JSON": b"data: {no\n\n",
    "no UTF-8": b"data: \xff\n\n",
}


@contextlib.contextmanager
def endpoint(respond: Callable[[BaseHTTPRequestHandler, int], None], **options: Any) -> Iterator[Endpoint]:
    """An endpoint whose server does this at each request, counted from 1."""
    seen = [0]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen[0] += 1
            self.rfile.read(int(self.headers["content-length"]))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                respond(self, seen[0])

        def log_message(self, *_: Any) -> None:
            return None

    STOP.clear()
    with serving(Handler) as url:
        timeout_s = options.pop("timeout_s", 60.0)
        made = connect(Model(name="m", base_url=url, timeout_s=timeout_s), "m", max_new_tokens=8, prompt=Prompt())
        try:
            yield Endpoint(made.client, "m", 8, Prompt(), timeout_s, **options)
        finally:
            STOP.set()


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.parametrize("lie", LIES)
def test_what_a_server_says_is_checked(lie: str) -> None:
    with endpoint(lambda handler, n: send(handler, LIES[lie] if n == 1 else GOOD)) as known:
        wrong, right = (known.reply(Question("q", "?"), None, None) for _ in range(2))
    assert wrong.error and wrong.error.startswith("endpoint: ") and len(wrong.error) <= 300
    assert (right.error, right.text, right.prompt_tokens, right.completion_tokens) == (None, "yes", 3, 1)


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_server_that_drips_is_cut_off(part: str) -> None:
    """A byte now and then keeps every time limit of a socket from running out."""

    def drip(handler: BaseHTTPRequestHandler, _: int) -> None:
        if part == "headers":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        else:
            handler.send_response(200)
            handler.end_headers()
        while not STOP.wait(0.1):
            handler.wfile.write(b":")
            handler.wfile.flush()

    with endpoint(drip, timeout_s=1.0) as known:
        found = known.reply(Question("q", "?"), None, None)
    assert found.error == "endpoint: no whole answer within 1 s"


def test_a_server_that_floods_is_cut_off() -> None:
    sent = [0]

    def flood(handler: BaseHTTPRequestHandler, _: int) -> None:
        send(handler, b"")
        while sent[0] < 1 << 28 and not STOP.is_set():
            handler.wfile.write(b":" * 65536)
            sent[0] += 65536

    with endpoint(flood) as known:
        found = known.reply(Question("q", "?"), None, None)
    assert found.error and "longer than" in found.error and sent[0] < 1 << 25


def test_a_compressed_answer_is_not_unpacked() -> None:
    with endpoint(lambda handler, _: send(handler, b"\x1f\x8b", content_encoding="gzip")) as known:
        assert "compressed" in str(known.reply(Question("q", "?"), None, None).error)


def test_a_busy_server_is_asked_again_as_long_after_as_it_says() -> None:
    waited: list[float] = []

    def busy(handler: BaseHTTPRequestHandler, n: int) -> None:
        if n < 3:
            send(handler, b"later", 429, retry_after="7")
        else:
            send(handler, GOOD)

    with endpoint(busy, sleep=waited.append) as known:
        found = known.reply(Question("q", "?"), None, None)
        other = known.reply(Question("q", "?"), None, None)
    assert (found.text, found.retries, other.retries) == ("yes", 2, 0) and waited == [7.0, 7.0]


def test_a_server_may_say_when_as_a_date() -> None:
    soon = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert 25 < (retry_after_s(soon) or 0) <= 31 and retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert [retry_after_s(text) for text in ("7", "", None, "soon", "-1", "9" * 40)] == [7.0, *[None] * 5]


@pytest.mark.heavy
def test_an_answer_that_was_asked_for_again_is_no_time(tmp_path: Path) -> None:
    """In the rounds as well: what a busy server makes one wait is not what an answer takes."""
    seen = [0]

    class Busy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen[0] += 1
            self.rfile.read(int(self.headers["content-length"]))
            if seen[0] % 2:
                send(self, b"later", 429, retry_after="0")
            else:
                send(self, GOOD)

        def log_message(self, *_: Any) -> None:
            return None

    with serving(Busy) as url:
        raw = raw_spec(
            model={"name": "m", "base_url": url},
            systems=[{"name": "a", "kind": "closed_book"}],
            measure={"rounds": 1, "latency_questions": 4, "warmup": 1},
            generation={"batch_size": 1},
        )
        outcome = run(parse(raw), out=tmp_path / "r", store=tmp_path / "s")
    assert outcome.status == "complete"
    (turn,) = json.loads((outcome.folder / "run.json").read_text())["cells"]["a-s1"]["turns"]
    assert turn["alone_s"] == {} and turn["batches"] == []


def test_attempts_and_waits_have_an_end() -> None:
    waited: list[float] = []
    with endpoint(lambda h, _: send(h, b"no", 503, retry_after="999999"), sleep=waited.append) as known:
        found = known.reply(Question("q", "?"), None, None)
    assert found.error == "endpoint answered 503: no" and waited == [60.0] * 3 and found.retries == 3


def test_a_refusal_is_not_asked_again() -> None:
    with endpoint(lambda h, _: send(h, b"no such model", 404), sleep=lambda _: pytest.fail("waited")) as known:
        assert known.reply(Question("q", "?"), None, None).error == "endpoint answered 404: no such model"
