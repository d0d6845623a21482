"""A worker process without dramatiq: a runtime that drains by its ticker, and the watchdog's check.

Forked from a server that has imported everything, or starting would take most of a test's time.
Commands of some orders do what nobody should: KILL ends the process, LOOP never returns, RAISE
raises, HOLD says so and stands still.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

from worker.logs import configure
from worker.orders.rules import decide
from worker.runtime import Runtime
from worker.servers import Servers
from worker.settings import Settings

NOBODY = "redis://127.0.0.1:1"


class Rules:
    """The rules, and what some orders do to the process."""

    def __init__(self, words: Connection) -> None:
        self.words = words

    def __call__(self, order: Any, command: Any, world: Any) -> Any:
        match command.order_id:
            case "KILL":
                os._exit(9)
            case "RAISE":
                raise KeyError("planted")
            case "LOOP":
                while True:
                    time.sleep(0.01)
            case "HOLD":
                self.words.send("holding")
                time.sleep(600)
        return decide(order, command, world)


def main(database_url: str, settings: dict[str, Any], words: Connection) -> None:
    configure("error")
    runtime = Runtime(Settings(**settings), Servers(database_url, NOBODY), rules=Rules(words))
    runtime.ticker.start()
    words.send("ready")
    while not runtime.ticker.problem():
        time.sleep(0.05)
    os._exit(70)


class Worker:
    """A worker process in the test's hands."""

    def __init__(
        self, database_url: str, settings: dict[str, Any], run: Callable[..., None] = main
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._words, theirs = context.Pipe()
        self._process: ForkServerProcess = context.Process(
            target=run, args=(database_url, settings, theirs), daemon=True
        )
        self._process.start()
        theirs.close()

    def hear(self, word: str) -> None:
        """Wait until it has said so."""
        assert self._words.poll(30), "the process says nothing"
        assert self._words.recv() == word

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self._process.kill()
        self._process.join(10)

    def close(self) -> None:
        self.kill()
        self._process.close()
        self._words.close()


@contextmanager
def worker(database_url: str, run: Callable[..., None] = main, **settings: Any) -> Iterator[Worker]:
    """A worker that is ready; at the end it is killed, if it still runs."""
    one = Worker(database_url, settings, run)
    try:
        one.hear("ready")
        yield one
    finally:
        one.close()
