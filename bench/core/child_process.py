"""Work in a process of its own: what it returns, or why it failed. A fork, so that imports are not paid again."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.core.display import size
from bench.core.files import read_json, write_json
from bench.core.memory import exhausted
from bench.core.redact import redacted, scrubbed
from bench.core.vocabulary import JSON

EXHAUSTED = "out of memory"  # how the reason begins where memory ran out


class ChildFailed(RuntimeError):
    """The work failed in its own process; the message is its reason, and `found` what else it told."""

    def __init__(self, why: str, found: Mapping[str, JSON] | None = None) -> None:
        super().__init__(why)
        self.found = dict(found or {})


def attempt(work: Callable[[], dict[str, JSON]]) -> dict[str, JSON]:
    """What the work returns, or the reason why it failed: the one broad catch of the project."""
    try:
        return work()
    except Exception as e:  # noqa: BLE001
        traceback.print_exc()
        told = {"status": "failed", "reason": reason(e), "traceback": redacted(traceback.format_exc())}
        if isinstance(e, ChildFailed):
            return told | e.found
        return told | (_exhausted(told["reason"]) if told["reason"].startswith(EXHAUSTED) else {})


def _exhausted(why: str) -> dict[str, JSON]:
    """The reason with the highest memory, and where memory stood when it ran out."""
    memory = exhausted()
    highest = memory.get("peak_gpu_allocated_bytes") or memory["peak_rss_growth_bytes"]
    return {"reason": f"{why} The highest was {size(highest)}.", "memory": memory}


def reason(error: BaseException) -> str:
    """One line that says what happened, with what the user can do where that is known."""
    text = " ".join(redacted(str(error)).split())[:600] or "no message"
    if isinstance(error, MemoryError) or "out of memory" in text.lower():
        return f"{EXHAUSTED}: {text} Lower the batch size, or use precision nf4."
    return text if isinstance(error, ChildFailed) else f"{type(error).__name__}: {text}"


def in_child(work: Callable[[], dict[str, JSON]], *, path: Path) -> dict[str, Any]:
    """What the work returns in a child of this process, by way of a file at `path`, which is removed again.

    Raises ChildFailed with the child's reason. Where a signal ended the child, this process ends as it did.
    """
    child = os.fork()
    if child == 0:
        write_json(path, scrubbed(attempt(work)))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        os.kill(os.getpid(), -code)  # the run knows how to tell of a signal
    found: dict[str, Any] = read_json(path)
    path.unlink()
    if found.get("status") == "failed":
        raise ChildFailed(found["reason"], {"memory": found["memory"]} if "memory" in found else {})
    return found
