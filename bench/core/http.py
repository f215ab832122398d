"""What servers say in their headers, read with care."""

from __future__ import annotations

import email.utils
import time
from datetime import UTC


def retry_after_s(text: str | None) -> float | None:
    """`Retry-After` in seconds from now, given as a number or as a date (RFC 9110, 10.2.3); None where it is neither."""
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
