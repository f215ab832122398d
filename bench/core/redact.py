"""Secrets by their value: what the environment keeps secret reaches no file of a run, whoever tried to say it.

What systems, endpoints, judges and errors say is scrubbed where it is first written; scores and pages are made of that.
Inputs stay as they are: a corpus that holds a word which is also somebody's password is still that corpus.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.core.digest import plain
from bench.core.vocabulary import JSON

HIDDEN = "[redacted]"
_SECRET = re.compile(r"(?!TOKENIZERS)(KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|BEARER|AUTH|PWD|_PASS$|_PAT$)", re.I)
_USER = re.compile(r"(?<=://)[^/?#\s\"'<>]+(?=@)")  # user, password or token of a URL
SHORTEST = 8  # characters: what is shorter, or a plain word, stands elsewhere too
_named: set[str] = set()


def hide(variable: str | None) -> None:
    """From here on this environment variable's value is a secret, whatever its name and whatever it looks like."""
    if variable:
        _named.add(variable)


def redacted(text: str) -> str:
    """The text without secret values of this process's environment, and without the passwords of URLs.

    A value is found as it is, and as JSON, HTML, a URL or base64 would write it.
    """
    return _without(text, _forms())


def scrubbed(value: Any) -> JSON:
    """A value for JSON, each of its strings redacted."""
    return _scrubbed(plain(value), _forms())


def _scrubbed(value: JSON, forms: list[str]) -> JSON:
    if isinstance(value, str):
        return _without(value, forms)
    if isinstance(value, dict):
        return {_without(k, forms): _scrubbed(v, forms) for k, v in value.items()}
    return [_scrubbed(v, forms) for v in value] if isinstance(value, list) else value


def _without(text: str, forms: list[str]) -> str:
    for form in forms:
        text = text.replace(form, HIDDEN)
    return _USER.sub(HIDDEN, text) if "://" in text else text


def _forms() -> list[str]:
    """Every secret value in every form, the longest first."""
    values = [v for n, v in os.environ.items() if v and (n in _named or (_SECRET.search(n) and _telling(v)))]
    return sorted({form for v in values for form in _written(v)}, key=len, reverse=True)


def _telling(value: str) -> bool:
    """Whether a value is long and strange enough to be a secret, and is no file's path."""
    word = value.isalpha() and value.islower()
    return (
        len(value) >= SHORTEST and not word and len(set(value)) > 3 and not (value[0] == "/" and Path(value).exists())
    )


def _written(value: str) -> Iterator[str]:
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield html.escape(value)
    yield quote(value, safe="")
    yield base64.b64encode(value.encode()).decode()


def clean(path: Path) -> None:
    """Take secrets out of a file that another process has written, such as a log."""
    try:
        before = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return
    if (after := redacted(before)) != before:
        path.write_text(after, encoding="utf-8", errors="surrogateescape")
