"""`Retry-After`: how long the other side asks us to wait (RFC 9110, 10.2.3)."""

import time
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST_S: Final = 3600.0
"""No answer keeps us away for longer: it may be wrong, and whoever asks again hears it again."""


def retry_after_s(given: str | None) -> float | None:
    """Seconds from now, an hour at most; None if it is missing or makes no sense.

    It is a whole number of seconds or an HTTP date.
    """
    text = (given or "").strip()
    if text.isascii() and text.isdigit():
        wait_s = float(text)
    else:
        try:
            wait_s = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(max(wait_s, 0.0), LONGEST_S)
