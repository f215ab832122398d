"""Prompts: from a question and its passages to token ids that fit the context window."""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jinja2

from bench.core import meters
from bench.core.system import Prompt
from bench.core.vocabulary import Question

Message = dict[str, str]


class TooLong(ValueError):
    """The question alone does not fit the context window."""


@dataclass(frozen=True)
class Fitted:
    """Token ids of a prompt, and how many of its passages they show."""

    ids: list[int]
    shown: int
    truncated: bool


def messages(prompt: Prompt, question: Question, passages: Sequence[tuple[str, str]] | None) -> list[Message]:
    """The conversation up to the answer. `passages` are (title, text); None asks without any."""
    if passages is None:
        text = prompt.closed_book.replace("{question}", question.text)
    else:
        shown = "".join(
            prompt.passage.replace("{n}", str(n)).replace("{title}", title).replace("{text}", body)
            for n, (title, body) in enumerate(passages, 1)
        )
        before, _, after = prompt.open_book.partition("{passages}")
        text = before.replace("{question}", question.text) + shown + after.replace("{question}", question.text)
    if question.choices:
        text += prompt.choices.replace("{choices}", ", ".join(question.choices))
    start = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*start, {"role": "user", "content": text}]


_THOUGHT = re.compile(r"<think>.*?(</think>|$)", re.DOTALL)
_DAY = datetime.datetime(2025, 1, 1)  # that templates print as today's: a prompt is the same tomorrow
_NOW = re.compile(r"""strftime_now\(\s*(['"])(.*?)\1\s*\)""")
# templates that know no thinking, or print no date, ignore what they do not use
_FIXED = {"enable_thinking": False, "date_string": _DAY.strftime("%d %b %Y")}
_PLAIN = {"tokenize": True, "return_dict": False, **_FIXED}


def said(text: str) -> str:
    """The answer without what a reasoning model thought aloud."""
    return _THOUGHT.sub("", text).strip()


def fix_date(tokenizer: Any) -> None:
    """Make a chat template that prints today's date print the same one every day."""
    if isinstance(tokenizer.chat_template, str):
        tokenizer.chat_template = _NOW.sub(lambda m: repr(_DAY.strftime(m[2])), tokenizer.chat_template)


def encode(tokenizer: Any, conversation: Sequence[Message]) -> list[int]:
    """Token ids up to where the answer starts: by the chat template, or as plain text that ends in "Answer:"."""
    if tokenizer.chat_template:
        ids = tokenizer.apply_chat_template(_as_told(tokenizer, conversation), add_generation_prompt=True, **_PLAIN)
        return list(ids)
    return list(tokenizer.encode("\n\n".join(m["content"] for m in conversation) + "\nAnswer:"))


def _as_told(tokenizer: Any, conversation: Sequence[Message]) -> list[Message]:
    """The conversation as the template can tell it: where it has no system role, that text begins the user's turn."""
    first, *rest = conversation
    if first["role"] != "system" or _has_system_role(tokenizer):
        return list(conversation)
    meters.note("system_text", "in the first user turn: the chat template has no system role")
    return [{**rest[0], "content": f"{first['content']}\n\n{rest[0]['content']}"}, *rest[1:]]


@functools.lru_cache(8)
def _has_system_role(tokenizer: Any) -> bool:
    """Whether the chat template tells a system text, found by trying it."""
    mark = "systemrolemark"
    tried = [{"role": "system", "content": mark}, {"role": "user", "content": "?"}]
    try:
        return mark in tokenizer.apply_chat_template(tried, tokenize=False, **_FIXED)
    except (jinja2.TemplateError, ValueError, KeyError, TypeError):
        return False


def encode_answer(tokenizer: Any, conversation: Sequence[Message], answer: str) -> list[int]:
    """Token ids of the answer as it follows `encode`, the end mark included."""
    if tokenizer.chat_template:
        whole_talk = [*_as_told(tokenizer, conversation), {"role": "assistant", "content": answer}]
        whole = list(tokenizer.apply_chat_template(whole_talk, **_PLAIN))
        start = encode(tokenizer, conversation)
        if whole[: len(start)] == start:
            return whole[len(start) :]
    return [*tokenizer.encode(f" {answer}", add_special_tokens=False), tokenizer.eos_token_id]


def fit(
    tokenizer: Any, prompt: Prompt, question: Question, passages: Sequence[tuple[str, str]] | None, *, window: int
) -> Fitted:
    """The prompt in at most `window` tokens, dropping passages from the last. Raises TooLong."""
    count = len(passages) if passages is not None else 0
    for shown in range(count, -1, -1):
        part = passages[:shown] if passages is not None else None
        ids = encode(tokenizer, messages(prompt, question, part))
        if len(ids) <= window:
            return Fitted(ids, shown, truncated=shown < count)
    raise TooLong(f"the question takes {len(ids)} tokens and the context window leaves {window}")
