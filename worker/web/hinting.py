"""Hints off the request's path: a thread sends them, and however many are wanted meanwhile are one.

An answer never waits for Redis. A hint that is lost costs a second: tickers find the work.
"""

import threading

from messages.wire import COMMANDS
from worker.work.accept import Hints


class Hinting:
    """Sends the hints of one process."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self._wanted = threading.Event()
        self._routes: set[str] = set()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="hinting", daemon=True)
        self._thread.start()

    def send(self, route: str = COMMANDS) -> bool:
        """Have a hint sent soon; returns at once."""
        self._routes.add(route)
        self._wanted.set()
        return True

    def close(self) -> None:
        """End the thread, once it has sent what it is sending."""
        self._is_over = True
        self._wanted.set()
        self._thread.join(1)

    def _run(self) -> None:
        while self._wanted.wait() and not self._is_over:
            self._wanted.clear()
            while self._routes:
                self._hints.send(self._routes.pop())
