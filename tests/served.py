"""Servers of the tests' own, on a port of this machine: the micro model behind OpenAI's protocol, with streaming."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

Say = Callable[[dict[str, Any]], list[str]]


class Streaming(BaseHTTPRequestHandler):
    """Answers /v1/chat/completions and /v1/completions with the pieces that `say` makes of a request."""

    say: ClassVar[Say]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        chat = self.path.endswith("/chat/completions")
        if ("messages" in body) != chat:
            self.send_error(400, "the other path")
            return
        pieces = type(self).say(body)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for piece in pieces:
            self._event({"delta": {"content": piece}} if chat else {"text": piece})
        self._event({"delta": {}, "finish_reason": "stop"} if chat else {"text": "", "finish_reason": "stop"})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, choice: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        return None


def micro() -> type[Streaming]:
    """The micro model; asked for the model `tuned`, what it says is in capitals, so that one can tell."""
    from bench.core.blocks import Model
    from systems.parts import lm, prompt
    from tests.conftest import MICRO

    model, tokenizer = lm.load(Model(name=str(MICRO), device="cpu"), precision="native")
    ready, lock = lm.ready(model, tokenizer, max_new_tokens=16), threading.Lock()

    def say(body: dict[str, Any]) -> list[str]:
        asked = body.get("messages") or [{"role": "user", "content": body["prompt"]}]
        with lock:
            text, _ = ready.complete([prompt.encode(tokenizer, asked)])[0]
        words = (text.upper() if body["model"] == "tuned" else text).split(" ")
        return [words[0], *(f" {word}" for word in words[1:])]

    return type("Micro", (Streaming,), {"say": staticmethod(say)})


def one_at_a_time(seconds: float) -> type[Streaming]:
    """Takes so many seconds for an answer, and gives one after the other: what it does under load is known."""
    lock = threading.Lock()

    def say(body: dict[str, Any]) -> list[str]:
        with lock:
            time.sleep(seconds)
        return ["four", "teen"]

    return type("OneAtATime", (Streaming,), {"say": staticmethod(say)})
