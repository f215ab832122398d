"""Secrets by their value: what the environment keeps secret reaches no file of a run, whoever tried to say it.

What systems, endpoints, judges and errors say is scrubbed where it is first written; scores and pages are made of that.
Inputs stay as they are: a corpus that holds a word which is also somebody's password is still that corpus.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import html
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.core.digest import plain
from bench.core.errors import UserError
from bench.core.vocabulary import JSON

HIDDEN = "[redacted]"
_SECRET = re.compile(
    r"(?!TOKENIZERS)(KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|BEARER|AUTH|PWD|COOKIE|SESSION|WEBHOOK|PRIVATE|"
    r"SIGNATURE|DATABASE_URL|CONN_?STR|CONNECTION_STRING|(?:^|_)DSN$|_PASS$|_PAT$)",
    re.I,
)
_USER = re.compile(r"(?<=://)[^/?#\s\"'<>]+(?=@)")  # user, password or token of a URL
_SHAPES = re.compile(  # secrets that are known by how they are written; after the rules of gitleaks
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|$)"
    r"|\bSG\.[\w-]{20,}\.[\w-]{20,}|\bya29\.[\w-]{20,}|\bdop_v1_[a-f0-9]{40,}|\bSK[a-f0-9]{32}\b|\bdapi[a-f0-9]{32}\b"
    r"|\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|\bhv[sb]\.[\w-]{20,}|\bAGE-SECRET-KEY-1[A-Z0-9]{50,}"
    r"|\bgl(?:rt|dt|cbt)-[\w-]{20,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{22,}|\bglpat-[\w-]{20,}"
    r"|\bxox[abeoprs]-[\w-]{10,}|\bAIza[\w-]{35}|\bhf_[A-Za-z0-9]{30,}|\bsk-(?:[a-z]+-)*[A-Za-z0-9_-]{20,}"
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]*"  # JSON Web Tokens
    r"|(?<=hooks\.slack\.com/)(?:services|workflows|triggers)/[\w/]+|(?<=/api/webhooks/)\d+/[\w-]+"
    r"|(?<=\.webhook\.office\.com/)\S+",
    re.S,
)
_TOLD = re.compile(  # in errors and logs: what follows such a word is a secret, whatever it looks like
    r"(?i)((?:set-)?cookie[\"']?\s*:\s*)(?!\[redacted\])[^\r\n\"']{4,}"  # the whole header
    r"|(\bbearer\s+)[\w.~+/-]{8,}=*"
    r"|((?:pass(?:word|wd|phrase)?|pwd|secret|api[_-]?key|access[_-]?key|account[_-]?key|auth[_-]?token|token|"
    r"client[_-]?secret|authorization|(?:set-)?cookie)[\"']?\s*[:=]\s*(?:(?:basic|bearer)\s+)?)"
    r"(?!\[redacted\])(?:\"[^\"\r\n]{3,}\"|'[^'\r\n]{3,}'|[\"']?[^\s\"',;&]{4,})"
)
_RANDOM = re.compile(r"(?<![\w/.-])[\w-]{32,}(?![\w/.-])")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
SHORTEST = 6  # characters: what is shorter stands elsewhere too, and so does a word of fewer than twelve letters
_named: set[str] = set()


def secret(variable: str | None, where: str) -> str | None:
    """The value of an environment variable, which is a secret from here on; None where none is named. Raises UserError
    where it is not set."""
    if variable is None:
        return None
    hide(variable)
    if variable not in os.environ:
        raise UserError(
            f"environment variable {variable} is not set.", where=where, remedy="Set it to the endpoint's key."
        )
    return os.environ[variable]


def hide(variable: str | None) -> None:
    """From here on this environment variable's value is a secret, whatever its name and whatever it looks like."""
    if variable:
        _named.add(variable)


def redacted(text: str) -> str:
    """The text of an error or a log without secrets: values of this process's environment, what is written as secrets
    are, what stands after words such as `password`, and long random strings.

    A value of the environment is found as it is, and as JSON, HTML, a URL or base64 would write it.
    """
    found = _without(text, _forms())
    return _RANDOM.sub(
        lambda m: HIDDEN if _is_random(m[0]) else m[0], _TOLD.sub(lambda m: f"{m[1] or m[2] or m[3]}{HIDDEN}", found)
    )


def _is_random(text: str) -> bool:
    """Whether a string of letters and digits is neither words nor a digest in hexadecimal."""
    kinds = (any(c.isupper() for c in text), any(c.islower() for c in text), sum(c.isdigit() for c in text) > 2)
    share = [count / len(text) for count in Counter(text).values()]
    return all(kinds) and -sum(p * math.log2(p) for p in share) > 4.2


def scrubbed(value: Any) -> JSON:
    """A value for JSON, each of its strings without values of the environment, passwords of URLs, and what is written
    as secrets are. An answer that says "password: 14" is an answer."""
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
    if forms and len(text) < LONGEST:
        text = _BASE64.sub(lambda m: HIDDEN if _holds(m[0], forms) else m[0], text)
    return _SHAPES.sub(HIDDEN, _USER.sub(HIDDEN, text) if "://" in text else text)


LONGEST = 100_000  # characters of a text that is looked through for base64


def _holds(encoded: str, forms: list[str]) -> bool:
    """Whether a string is base64 of what holds a secret, such as a user and a key."""
    padded = encoded.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        found = base64.b64decode(padded + "=" * (-len(padded) % 4)).decode()
    except ValueError:
        return False
    return any(form in found for form in forms)


def _forms() -> list[str]:
    """Every secret value in every form, the longest first."""
    values = [v for n, v in os.environ.items() if v and (n in _named or (_SECRET.search(n) and _telling(v)))]
    return sorted({form for v in values for form in _written(v)}, key=len, reverse=True)


def _telling(value: str) -> bool:
    """Whether a value is long and strange enough to be a secret, and is no file's path."""
    word = value.isalpha() and len(value) < 12
    strange = len(set(value)) > 3 and not (value.replace(".", "").isdecimal() and len(value) < 8)
    return len(value) >= SHORTEST and not word and strange and not (value[0] == "/" and Path(value).exists())


def _written(value: str) -> Iterator[str]:
    yield value
    yield from (line for line in value.splitlines() if len(line) >= 16)  # as a log writes it, a line at a time
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield html.escape(value)
    yield quote(value, safe="")
    yield base64.b64encode(value.encode()).decode()


WRITER = "ragtune-log"


def log_to(path: Path) -> int:
    """Send what this process says, and every process that it starts, to a log that is redacted while it is written: no
    kill leaves a secret behind. Returns the process that writes it, which ends when nobody can say more.

    Raises OSError where the log is a link, or cannot be written.
    """
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
    heard, said = os.pipe()
    writer = os.fork()
    if writer == 0:
        os.close(said)
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(15, WRITER.encode(), 0, 0, 0)  # PR_SET_NAME: whoever ends orphans knows it
        os.setsid()  # it outlives the group of the cell, to write its last words
        _copy(heard, log)
        os._exit(0)
    os.close(heard)
    os.close(log)
    for standard in (1, 2):
        os.dup2(said, standard)
    os.close(said)
    return writer


def _copy(heard: int, log: int) -> None:
    """Copy lines, redacted; of a private key nothing but that there was one."""
    inside = False
    with os.fdopen(heard, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            starts, ends = "PRIVATE KEY-----" in line and "BEGIN" in line, "PRIVATE KEY-----" in line and "END" in line
            if not inside or starts:
                os.write(log, redacted(line).encode("utf-8", errors="surrogateescape"))
            inside = (inside or starts) and not ends
