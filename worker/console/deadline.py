"""For how long one request goes on with what could take longer."""

import time


class Deadline:
    """Is set once its time is over, as an event that somebody sets."""

    def __init__(self, within_s: float) -> None:
        self._until_s = time.monotonic() + within_s

    def is_set(self) -> bool:
        return time.monotonic() >= self._until_s

    def wait(self, timeout: float) -> bool:
        """Wait so many seconds, or until the time is over; whether it is."""
        left_s = self._until_s - time.monotonic()
        time.sleep(max(0.0, min(timeout, left_s)))
        return self.is_set()
