"""An OpenAI-compatible endpoint as a language model: for systems that need no weights, or whose weights it serves.

A server is not trusted: what it says is checked before it is believed, it has so much time and so many bytes, and a bad
answer is an error of that one question.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError
from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt, wait_exponential_jitter

from bench.core import meters
from bench.core.blocks import Model, Prompt
from bench.core.http import LONGEST_WAIT_S, Tokens, retry_after_s, wait_s
from bench.core.redact import redacted, secret
from bench.core.vocabulary import JSON, Answer, Hit, Question
from systems.parts import prompt as prompts

ATTEMPTS = 4
AGAIN = (408, 429, 502, 503, 504)  # statuses that another attempt may mend
MOST_BYTES = 1 << 20  # of one answer, beside those of its tokens
BYTES_A_TOKEN = 4096  # of an event of the stream
T = TypeVar("T")


class _Said(BaseModel):
    """What is read of a server's words; the rest is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Delta(_Said):
    content: str | None = None


class _Choice(_Said):
    delta: _Delta = _Delta()  # of a chat
    text: str | None = None  # of a completion
    finish_reason: str | None = None


class _Kept(_Said):
    cached_tokens: Tokens | None = None


class _Usage(_Said):
    prompt_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None
    prompt_tokens_details: _Kept | None = None


class _Event(_Said):
    choices: tuple[_Choice, ...] = ()
    usage: _Usage | None = None
    error: JSON = None


class _BadAnswer(ValueError):
    """What the server said is no answer."""


@dataclass
class _Attempt:
    """One request: the answer, and whether and when another one may do better."""

    answer: Answer
    again: bool = False
    after_s: float | None = None


@dataclass
class _Stream:
    """The lines of a response, within a deadline and so many bytes."""

    response: httpx.Response
    deadline: float
    most: int
    taken: int = 0
    rest: bytes = b""

    def lines(self) -> Iterator[str]:
        for piece in self._pieces():
            *whole, self.rest = (self.rest + piece).split(b"\n")
            for line in whole:
                yield line.decode("utf-8", errors="strict").rstrip("\r")
        if self.rest:
            yield self.rest.decode("utf-8", errors="strict")

    def start(self, most: int = 2000) -> str:
        """The first bytes of the body, as text."""
        kept = b""
        for piece in self._pieces():
            kept += piece
            if len(kept) >= most:
                break
        return kept[:most].decode("utf-8", errors="replace")

    def _pieces(self) -> Iterator[bytes]:
        if self.response.headers.get("content-encoding", "identity") != "identity":
            raise _BadAnswer("it is compressed, which was not asked for")
        for piece in self.response.iter_raw():
            self.taken += len(piece)
            if self.taken > self.most:
                raise _BadAnswer(f"it is longer than {self.most:,} bytes")
            if time.monotonic() > self.deadline:
                raise TimeoutError
            yield piece


@dataclass(frozen=True)
class Endpoint:
    """A served model. `timeout_s` is of one request, from its first byte to the last of the answer."""

    client: httpx.Client
    name: str
    max_new_tokens: int
    prompt: Prompt
    timeout_s: float
    chat: bool = True  # else the prompt is sent as text
    sleep: Callable[[float], None] = field(default=time.sleep)

    def reply(
        self,
        question: Question,
        passages: Sequence[tuple[str, str]] | None,
        hits: tuple[Hit, ...] | None,
        shots: Sequence[prompts.Shot] = (),
    ) -> Answer:
        """The answer to one streamed request. Where a server is busy it is asked again, as long after as it says; a
        request that fails is a question that failed."""
        told = prompts.messages(self.prompt, question, passages, shots)
        body = {
            "model": self.name,
            "temperature": 0,
            "max_tokens": self.max_new_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            **({"messages": told} if self.chat else {"prompt": prompts.as_plain(told)}),
        }
        attempts = Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=_wait,
            retry=retry_if_result(lambda attempt: attempt.again),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
            sleep=self.sleep,
        )
        found: _Attempt = attempts(lambda: self._attempt(body, hits))
        return replace(found.answer, retries=int(attempts.statistics.get("attempt_number", 1)) - 1)

    def _attempt(self, body: dict[str, Any], hits: tuple[Hit, ...] | None) -> _Attempt:
        try:
            return _within(self.timeout_s, lambda: self._exchange(body, hits))
        except TimeoutError:
            return _failed(hits, f"no whole answer within {self.timeout_s:g} s")
        except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError) as e:
            return replace(_failed(hits, f"{type(e).__name__}: {e}"), again=True)
        except ValidationError as e:
            first = e.errors(include_input=False, include_url=False)[0]
            return _failed(hits, f"what it said is no answer: {'.'.join(map(str, first['loc']))} {first['msg']}")
        except (httpx.HTTPError, ValueError) as e:
            return _failed(hits, f"{type(e).__name__}: {e}")

    def _exchange(self, body: dict[str, Any], hits: tuple[Hit, ...] | None) -> _Attempt:
        """One request and what came of it. Raises what `_attempt` catches."""
        deadline = time.monotonic() + self.timeout_s
        with self.client.stream("POST", "chat/completions" if self.chat else "completions", json=body) as response:
            stream = _Stream(response, deadline, MOST_BYTES + BYTES_A_TOKEN * self.max_new_tokens)
            if response.status_code != 200:
                said = f"endpoint answered {response.status_code}: {redacted(stream.start())[:200]}"
                again = response.status_code in AGAIN
                return _Attempt(Answer("", hits, error=said), again, retry_after_s(response.headers.get("retry-after")))
            return _Attempt(_read(stream.lines(), hits))


def _read(lines: Iterator[str], hits: tuple[Hit, ...] | None) -> Answer:
    """The answer in the events of a stream. Raises ValidationError for an event that is none, and ValueError for what
    the server says is an error."""
    parts: list[str] = []
    usage, finished, chosen = _Usage(), False, False
    for line in lines:
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            finished = True
            break
        event = _Event.model_validate_json(data)
        if event.error:
            told = event.error.get("message") if isinstance(event.error, dict) else None
            raise _BadAnswer(f"it says: {redacted(str(told or event.error))[:200]}")
        usage, chosen = event.usage or usage, chosen or bool(event.choices)
        for choice in event.choices:
            piece = choice.delta.content or choice.text
            if piece:
                meters.mark()
                parts.append(piece)
            finished = finished or bool(choice.finish_reason)
    text = "".join(parts)
    if not finished:
        return Answer(text, hits, error="endpoint: the answer broke off")
    if not chosen:
        return Answer("", hits, error="endpoint: it gave no choice of an answer")
    said = prompts.without_thoughts(text)
    kept = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else None
    return Answer(
        said,
        hits,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=min(kept, usage.prompt_tokens or 0) if kept is not None else None,
    )


def _failed(hits: tuple[Hit, ...] | None, why: str) -> _Attempt:
    return _Attempt(Answer("", hits, error=redacted(f"endpoint: {why}")[:300]))


def _wait(state: RetryCallState) -> float:
    asked: float | None = state.outcome.result().after_s if state.outcome else None
    return wait_s(asked, longer=wait_exponential_jitter(max=LONGEST_WAIT_S)(state))


def _within(seconds: float, call: Callable[[], T]) -> T:
    """What a call returns, if it does within so many seconds. Raises what it raises, and TimeoutError.

    It runs in a thread of its own: no time limit of a socket holds against a server that sends a byte now and then.
    """
    found: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            found.put((call(), None))
        except BaseException as e:  # noqa: BLE001 whatever it is, it is raised below
            found.put((None, e))

    threading.Thread(target=copy_context().run, args=(work,), daemon=True).start()
    try:
        result, error = found.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def connect(model: Model, name: str, *, max_new_tokens: int, prompt: Prompt) -> Endpoint:
    """The model of that name at the address of `model`. Raises UserError where its environment variable is not set."""
    key = secret(model.api_key_env, "model.api_key_env")
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    headers["Accept-Encoding"] = "identity"  # a compressed answer could be of any length
    client = httpx.Client(
        base_url=str(model.base_url).rstrip("/") + "/",
        headers=headers,
        timeout=model.timeout_s,
        limits=httpx.Limits(max_connections=None),  # who asks decides how many ask at once
    )
    meters.note("device", "endpoint")
    return Endpoint(client, name, max_new_tokens, prompt, model.timeout_s, chat=model.api == "chat")
