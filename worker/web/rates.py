"""How many requests a key may make in a minute; counted by each process of the door for itself.

`RateLimit-Policy` and `RateLimit` as in draft-ietf-httpapi-ratelimit-headers.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 60


@dataclass(frozen=True, slots=True)
class Taken:
    """A request that was counted, or one too many."""

    is_allowed: bool
    quota: int
    left: int
    reset_s: int

    @property
    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Policy": f'"key";q={self.quota};w={WINDOW_S}',
            "RateLimit": f'"key";r={self.left};t={self.reset_s}',
        }


class Rates:
    """Counts by key, from the first request of a minute on."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[float, int]] = {}

    def take(self, key_id: str, quota: int) -> Taken:
        """Count a request of the key, unless it is one too many."""
        now = self._clock()
        with self._lock:
            begun_at, count = self._windows.get(key_id, (now, 0))
            if now - begun_at >= WINDOW_S:
                begun_at, count = now, 0
            is_allowed = count < quota
            count += is_allowed
            self._windows[key_id] = (begun_at, count)
        reset_s = max(1, math.ceil(begun_at + WINDOW_S - now))
        return Taken(is_allowed, quota, max(0, quota - count), reset_s)
