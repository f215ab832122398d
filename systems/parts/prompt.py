"""Prompts: from a question and its passages to token ids that fit the context window."""

from __future__ import annotations

import contextlib
import datetime
import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import jinja2

from bench.core import meters
from bench.core.blocks import Prompt, Retrieval
from bench.core.vocabulary import Hit, Question
from bench.core.window import titled

Message = dict[str, str]


class TooLong(ValueError):
    """The question alone does not fit the context window."""


@dataclass(frozen=True)
class Fitted:
    """Token ids of a prompt, and how many of its passages they show."""

    ids: list[int]
    shown: int
    truncated: bool


Shot = tuple[Question, str]  # a question, and how it was answered


def shown(hits: Sequence[Hit], prompt: Prompt, retrieval: Retrieval | None) -> list[tuple[str, str]]:
    """(title, text) of passages as a prompt shows them: of chunks that are cut with their context, the title stands
    before the text where the template has no place for it."""
    in_text = retrieval is not None and retrieval.is_contextual and "{title}" not in prompt.passage
    return [(h.title, titled(h.title, h.text) if in_text else h.text) for h in hits]


def messages(
    prompt: Prompt, question: Question, passages: Sequence[tuple[str, str]] | None, shots: Sequence[Shot] = ()
) -> list[Message]:
    """The conversation up to the answer. `passages` are (title, text); None asks without any. `shots` stand before the
    question, as turns that were answered."""
    before = [{"role": "system", "content": prompt.system}] if prompt.system else []
    for asked, answer in shots:
        before += [
            {"role": "user", "content": _asked(prompt, asked, None)},
            {"role": "assistant", "content": answer},
        ]
    return [*before, {"role": "user", "content": _asked(prompt, question, passages)}]


def _asked(prompt: Prompt, question: Question, passages: Sequence[tuple[str, str]] | None) -> str:
    """What the user's turn says."""
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
    return text


_CONTROL = re.compile(r"<[^<>\s]+>|\[[A-Z_/]+\]")  # how tokens that steer a model are written, such as <tool_call>
_CLOSE = "</think>"
THOUGHTS = {  # the marks that models think between
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<reflection>": "</reflection>",
    "<seed:think>": "</seed:think>",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "[THINK]": "[/THINK]",
    "\u25c1think\u25b7": "\u25c1/think\u25b7",
}
_FINAL = re.compile(r"<\|channel\|>\s*final\s*<\|message\|>(.*?)(?=<\||$)", re.DOTALL)  # as in OpenAI's harmony
_DAY = datetime.datetime(2025, 1, 1)  # that templates print as today's: a prompt is the same tomorrow
# templates that know no thinking, or print no date, ignore what they do not use
_FIXED = {
    "enable_thinking": False,
    "date_string": _DAY.strftime("%d %b %Y"),
}
_PLAIN = {"tokenize": True, "return_dict": False, **_FIXED}


def said(tokenizer: Any, prompt: Sequence[int], ids: Sequence[int]) -> str:
    """The answer in what a model wrote after a prompt, without what it thought aloud: by the response template of its
    tokenizer, where it has one; else by channels or marks of thinking, also where the prompt opened them."""
    if getattr(tokenizer, "response_template", None):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            content = tokenizer.parse_response(list(ids), prefix=list(prompt)).get("content")
            return content.strip() if isinstance(content, str) else ""
    ids = _after_lead(tokenizer, ids)
    written = tokenizer.decode(ids, skip_special_tokens=False)
    if "<|channel|>" in written:
        return "".join(_FINAL.findall(written)[-1:]).strip()
    return without_thoughts(tokenizer.decode(ids, skip_special_tokens=True), opened=_thought(tokenizer, prompt))


def _after_lead(tokenizer: Any, ids: Sequence[int]) -> Sequence[int]:
    """What was written without what the chat template puts before every answer, such as to whom it goes."""
    lead = _lead(tokenizer)
    return ids[len(lead) :] if lead and tuple(ids[: len(lead)]) == lead else ids


@functools.lru_cache(8)
def _lead(tokenizer: Any) -> tuple[int, ...]:
    """The tokens between a prompt and the answer, as the chat template has them; thoughts and channels are none."""
    mark, asked = "answermark", [{"role": "user", "content": "?"}]
    prompt = _rendered(tokenizer, asked, add_generation_prompt=True)
    whole = _rendered(tokenizer, [*asked, {"role": "assistant", "content": mark}])
    if prompt is None or whole is None:
        return ()
    lead, found, _ = whole.removeprefix(prompt).partition(mark)
    if not found or not whole.startswith(prompt) or not lead.strip() or _CLOSE in lead or "<|channel|>" in lead:
        return ()
    return tuple(tokenizer.encode(lead, add_special_tokens=False))


def without_thoughts(text: str, *, opened: str = "") -> str:
    """The text without what stands between marks of thinking; `opened`: the mark that stands in the prompt."""
    for begin, end in THOUGHTS.items():
        if opened == begin or end in text.partition(begin)[0]:
            text = f"{begin}{text}"
        text = re.sub(rf"{re.escape(begin)}.*?({re.escape(end)}|$)", "", text, flags=re.DOTALL)
    return text.strip()


def _thought(tokenizer: Any, prompt: Sequence[int]) -> str:
    """The mark of the thought that a prompt ends inside; empty where it does not."""
    end = tokenizer.decode(prompt[-8:]).rstrip()
    return next((mark for mark in THOUGHTS if end.endswith(mark)), "")


class _Clock(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Self:
        return cls(_DAY.year, _DAY.month, _DAY.day)


def fix_date() -> None:
    """Make chat templates that print today's date print the same one every day: what transformers' `strftime_now` asks
    is another clock from now on."""
    from transformers.utils import chat_template_utils

    vars(chat_template_utils)["datetime"] = _Clock


def check_template(tokenizer: Any) -> None:
    """Raises ValueError where the chat template drops what a user says, as one made for images may."""
    mark = "usertextmark"
    told = _rendered(tokenizer, [{"role": "user", "content": mark}], add_generation_prompt=True)
    if told is not None and mark not in told:
        raise ValueError("the chat template drops what the user says: it is made for another kind of input")


def encode(tokenizer: Any, conversation: Sequence[Message]) -> list[int]:
    """Token ids up to where the answer starts: by the chat template, or as plain text that ends in "Answer:"."""
    if tokenizer.chat_template:
        ids = tokenizer.apply_chat_template(_as_told(tokenizer, conversation), add_generation_prompt=True, **_PLAIN)
        return list(ids)
    return list(tokenizer.encode(as_plain([{**m, "content": as_text(tokenizer, m["content"])} for m in conversation])))


def as_plain(conversation: Sequence[Message]) -> str:
    """A conversation as plain text, up to where the answer starts."""
    turns = [f"\nAnswer: {m['content']}" if m["role"] == "assistant" else f"\n\n{m['content']}" for m in conversation]
    return "".join(turns).removeprefix("\n\n") + "\nAnswer:"


def as_text(tokenizer: Any, text: str) -> str:
    """Text of users in which no special token is read: one that is written out, such as <end>, becomes `< end>`."""
    marks = _marks(tokenizer)
    return marks.sub(lambda m: f"{m[0][0]} {m[0][1:]}", text) if marks else text


@functools.lru_cache(8)
def _marks(tokenizer: Any) -> re.Pattern[str] | None:
    """What a tokenizer reads as special wherever it stands; None without any."""
    bare = hasattr(tokenizer, "get_added_tokens_decoder")  # of the tokenizers library, as static embedders have
    known = tokenizer.get_added_tokens_decoder() if bare else tokenizer.added_tokens_decoder
    added = [str(t.content) for t in known.values() if t.special or _CONTROL.fullmatch(t.content)]
    written = {*added, *(() if bare else tokenizer.all_special_tokens)}
    longest_first = sorted((re.escape(mark) for mark in written if len(mark) > 1), key=len, reverse=True)
    return re.compile("|".join(longest_first)) if longest_first else None


def _as_told(tokenizer: Any, conversation: Sequence[Message]) -> list[Message]:
    """The conversation as the template can tell it: where it has no system role, that text begins the user's turn."""
    first, *rest = ({**m, "content": as_text(tokenizer, m["content"])} for m in conversation)
    if first["role"] != "system" or _has_system_role(tokenizer):
        return [first, *rest]
    meters.note("system_text", "in the first user turn: the chat template has no system role")
    return [{**rest[0], "content": f"{first['content']}\n\n{rest[0]['content']}"}, *rest[1:]]


@functools.lru_cache(8)
def _has_system_role(tokenizer: Any) -> bool:
    """Whether the chat template tells a system text, found by trying it."""
    mark = "systemrolemark"
    tried = [{"role": "system", "content": mark}, {"role": "user", "content": "?"}]
    return mark in (_rendered(tokenizer, tried) or "")


def _rendered(tokenizer: Any, conversation: Sequence[Message], **asked: bool) -> str | None:
    """A conversation as the chat template writes it; None without one, and where it fails: what is wrong with it is
    said where it is used."""
    if not tokenizer.chat_template:
        return None
    try:
        return str(tokenizer.apply_chat_template(conversation, tokenize=False, **asked, **_FIXED))
    except (jinja2.TemplateError, ValueError, KeyError, TypeError):
        return None


def encode_answer(tokenizer: Any, conversation: Sequence[Message], answer: str) -> list[int]:
    """Token ids of the answer as it follows `encode`, with an end mark: the template's, or else the tokenizer's. A
    thought that the prompt opens is closed first."""
    lead = " "
    if tokenizer.chat_template:
        told = {"role": "assistant", "content": as_text(tokenizer, answer)}
        whole_talk = [*_as_told(tokenizer, conversation), told]
        whole = list(tokenizer.apply_chat_template(whole_talk, **_PLAIN))
        start = encode(tokenizer, conversation)
        if whole[: len(start)] == start:
            ids = whole[len(start) :]
            return ids if tokenizer.eos_token_id in ids else [*ids, tokenizer.eos_token_id]
        mark = _thought(tokenizer, start)
        lead = f"{THOUGHTS[mark]}\n\n" if mark else " "
    return [*tokenizer.encode(f"{lead}{as_text(tokenizer, answer)}", add_special_tokens=False), tokenizer.eos_token_id]


def fit(
    tokenizer: Any,
    prompt: Prompt,
    question: Question,
    passages: Sequence[tuple[str, str]] | None,
    *,
    window: int,
    shots: Sequence[Shot] = (),
) -> Fitted:
    """The prompt in at most `window` tokens, dropping as few shots from the first, or else passages from the last, as
    will do. Raises TooLong."""

    def with_shots(dropped: int) -> list[int]:
        return encode(tokenizer, messages(prompt, question, passages, shots[dropped:]))

    count = len(passages) if passages is not None else 0

    def with_passages(dropped: int) -> list[int]:
        part = passages[: count - dropped] if passages is not None else None
        return encode(tokenizer, messages(prompt, question, part))

    if shots and (found := _fewest(with_shots, len(shots) - 1, window)):
        return Fitted(found[1], count, truncated=found[0] > 0)
    if found := _fewest(with_passages, count, window):
        return Fitted(found[1], count - found[0], truncated=found[0] > 0 or bool(shots))
    least = len(with_passages(count))
    raise TooLong(f"the question takes {least} tokens and the context window leaves {window}")


def _fewest(ids: Callable[[int], list[int]], most: int, window: int) -> tuple[int, list[int]] | None:
    """(how many are dropped, the tokens) of the longest prompt that fits; None where dropping `most` does not do. By
    halving: each try writes and reads the whole prompt."""
    whole = ids(0)
    if len(whole) <= window:
        return 0, whole
    low, high, best = 1, most, None
    while low <= high:
        middle = (low + high) // 2
        found = ids(middle)
        if len(found) <= window:
            best, high = (middle, found), middle - 1
        else:
            low = middle + 1
    return best
