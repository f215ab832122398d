"""Text of a run, for each medium that it is told in: nothing that a dataset, a model or a name says is markup there."""

from __future__ import annotations

import re

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_COMMAND = re.compile(r"^(\s*)::", re.M)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and their full-width forms


def printable(text: str) -> str:
    """Text without control characters, escape sequences and marks that turn its direction; lines stay lines."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def terminal(text: str) -> str:
    """Text for a terminal or a log of CI: no line of it is a command of the runner."""
    marked = printable(text).replace("##[", "##\u200b[")  # which the runner of GitHub finds anywhere in a line
    return _COMMAND.sub("\\1\u200b::", marked)


def one_line(text: str) -> str:
    """Text without line ends, for a row of a table."""
    return " ".join(printable(text).split())


def markdown(text: str) -> str:
    """Text that Markdown reads as nothing else, in a cell of a table."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|@~&-])", r"\\\1", one_line(text)).replace("http", "ht\u200btp")


def csv(text: str) -> str:
    """Text that a spreadsheet does not compute: a formula is shown, after an apostrophe (OWASP, CSV injection)."""
    flat = printable(text)
    return f"'{flat}" if flat.startswith(_FORMULA) or flat.lstrip().startswith(_FORMULA) else flat


def workflow(text: str) -> str:
    """Text as a value of a workflow command of GitHub."""
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
