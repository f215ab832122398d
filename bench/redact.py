"""Secrets by their value: what the environment keeps secret reaches no file, whoever tried to write it."""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

HIDDEN = "[redacted]"
_SECRET = re.compile(r"(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|AUTH|BEARER)(?:_|$)", re.I)
_USER = re.compile(r"(?<=://)[^/\s:@\"'<>]+:[^/\s@\"'<>]+(?=@)")  # user:password@ of a URL
_named: set[str] = set()
SHORTEST = 8  # characters: what is shorter is a word that stands elsewhere too


def hide(variable: str) -> None:
    """From here on this environment variable's value is a secret, whatever its name."""
    _named.add(variable)


def redacted(text: str) -> str:
    """The text without secret values of this process's environment and without the passwords of URLs.

    A value is found as it is, and as JSON, HTML, a URL or base64 would write it.
    """
    for name, value in os.environ.items():
        if len(value) >= SHORTEST and (name in _named or _SECRET.search(name)) and not value.startswith("/"):
            for form in dict.fromkeys(_written(value)):
                text = text.replace(form, HIDDEN)
    return _USER.sub(HIDDEN, text) if "://" in text else text


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
