"""What servers say, read with care, and how long to wait before one is asked again."""

from __future__ import annotations

import email.utils
import time
from datetime import UTC
from typing import Annotated

from pydantic import Field

LONGEST_WAIT_S = 60.0  # before another attempt, whatever `Retry-After` asks
Tokens = Annotated[int, Field(strict=True, ge=0, le=10**9)]  # a number of them that is believed


def wait_s(asked: float | None, *, longer: float) -> float:
    """As long as the server asks, within reason; else `longer`, which grows and never keeps step with others."""
    return longer if asked is None else min(asked, LONGEST_WAIT_S)


def retry_after_s(text: str | None) -> float | None:
    """`Retry-After`, a number or a date (RFC 9110, 10.2.3), in seconds from now; None for what is neither."""
    if not text:
        return None
    if text.isascii() and text.isdecimal() and len(text) < 7:
        return float(text)
    try:
        when = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, when.timestamp() - time.time())
