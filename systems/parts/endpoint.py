"""An OpenAI-compatible chat endpoint as a language model: for systems that need no weights."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from bench.core import meters
from bench.core.redact import hide, redacted
from bench.core.system import Prompt
from bench.core.vocabulary import Answer, Hit, Question
from systems.parts import prompt as prompts


@dataclass(frozen=True)
class Endpoint:
    """A served model. `timeout_s` is of one request."""

    client: httpx.Client
    name: str
    max_new_tokens: int
    prompt: Prompt

    def reply(
        self, question: Question, passages: Sequence[tuple[str, str]] | None, hits: tuple[Hit, ...] | None
    ) -> Answer:
        """One streamed request; a request that fails is a question that failed."""
        body = {
            "model": self.name,
            "temperature": 0,
            "max_tokens": self.max_new_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            "messages": prompts.messages(self.prompt, question, passages),
        }
        parts: list[str] = []
        usage: dict[str, int] = {}
        try:
            with self.client.stream("POST", "chat/completions", json=body) as response:
                if response.status_code != 200:
                    response.read()
                    return Answer(
                        "", hits, error=f"endpoint answered {response.status_code}: {redacted(response.text)[:200]}"
                    )
                finished = False
                for line in response.iter_lines():
                    if not line.startswith("data:"):
                        continue
                    data = line.removeprefix("data:").strip()
                    if data == "[DONE]":
                        finished = True
                        break
                    event = json.loads(data)
                    usage = event.get("usage") or usage
                    for choice in event.get("choices", ()):
                        if piece := choice.get("delta", {}).get("content"):
                            meters.mark()
                            parts.append(piece)
                        finished = finished or bool(choice.get("finish_reason"))
        except (httpx.HTTPError, ValueError, AttributeError, TypeError) as e:
            return Answer("", hits, error=redacted(f"endpoint: {type(e).__name__}: {e}")[:300])
        if not finished:
            return Answer("".join(parts), hits, error="endpoint: the answer broke off")
        counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
        return Answer(
            prompts.without_thoughts("".join(parts)), hits, prompt_tokens=counts[0], completion_tokens=counts[1]
        )


def connect(
    base_url: str, name: str, *, api_key_env: str | None, timeout_s: float, max_new_tokens: int, prompt: Prompt
) -> Endpoint:
    """Raises KeyError when the named environment variable is not set."""
    hide(api_key_env)
    headers = {"Authorization": f"Bearer {os.environ[api_key_env]}"} if api_key_env else {}
    client = httpx.Client(base_url=base_url.rstrip("/") + "/", headers=headers, timeout=timeout_s)
    meters.note("device", "endpoint")
    return Endpoint(client, name, max_new_tokens, prompt)
