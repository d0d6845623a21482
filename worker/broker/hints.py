"""Hints: empty messages that tell a route's workers to look into PostgreSQL.

A hint may be lost: the ticker finds the work within a second or two. So sending one never raises,
never takes longer than 250 ms, and leaves a Redis that does not answer alone for a while.
"""

import os
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Final, NamedTuple

import structlog
from dramatiq import Message

from messages import wire
from worker.broker.client import connect

BUDGET_S: Final = 0.25
SOCKET_TIMEOUT_S: Final = 0.1
QUIET_S: Final = 5.0

# One round trip, sent as text: EVALSHA needs three where the server does not know the script.
_PUSH: Final = """
if redis.call("llen", KEYS[1]) >= tonumber(ARGV[1]) then
    return 0
end
redis.call("hset", KEYS[2], ARGV[2], ARGV[3])
redis.call("rpush", KEYS[1], ARGV[2])
return 1
"""

log = structlog.get_logger()


class Hints:
    """Sends hints to one Redis. Thread-safe; a forked child opens a connection of its own."""

    def __init__(
        self,
        redis_url: str,
        *,
        namespace: str = wire.NAMESPACE,
        limit: int | Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis_url = redis_url
        self._namespace = namespace
        self._limit = limit
        self._clock = clock
        self._quiet_until = float("-inf")
        self._lines: dict[int, _Line] = {}

    def send(self, route: str) -> bool:
        """Hint that `route` has due work; True if a hint waits there now, ours or enough others."""
        if self._clock() < self._quiet_until:
            return False
        told: Future[None] | None = None
        try:
            limit = self._limit() if callable(self._limit) else self._limit
            told = self._line().tell(route, limit)
            told.result(BUDGET_S)
        except Exception as error:  # noqa: BLE001 - whatever it is, the work is in PostgreSQL
            if told:
                told.cancel()
            self._quiet_until = self._clock() + QUIET_S
            log.warning("hint_failed", route=route, error=repr(error), quiet_s=QUIET_S)
            return False
        return True

    def close(self) -> None:
        """End the thread and close the connection of this process."""
        if line := self._lines.pop(os.getpid(), None):
            line.close()

    def _line(self) -> "_Line":
        # By pid and without a lock: a lock may be held by another thread at the moment of a fork.
        pid = os.getpid()
        line = self._lines.get(pid)
        if line is None:
            made = _Line(self._redis_url, self._namespace)
            line = self._lines.setdefault(pid, made)
            if line is not made:
                made.close()
        return line


class _Hint(NamedTuple):
    route: str
    limit: int
    told: "Future[None]"


class _Line:
    """A thread with a connection. Time-outs of a socket bound each step, not their sum, and looking
    up a host's name cannot be bounded at all; waiting for a thread can.
    """

    def __init__(self, redis_url: str, namespace: str) -> None:
        self._client = connect(
            redis_url, timeout_s=SOCKET_TIMEOUT_S, connect_timeout_s=SOCKET_TIMEOUT_S
        )
        self._namespace = namespace
        self._hints: SimpleQueue[_Hint | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
        self._thread.start()

    def tell(self, route: str, limit: int) -> "Future[None]":
        told: Future[None] = Future()
        self._hints.put(_Hint(route, limit, told))
        return told

    def close(self) -> None:
        self._hints.put(None)
        self._thread.join(BUDGET_S)

    def _run(self) -> None:
        while hint := self._hints.get():
            if not hint.told.set_running_or_notify_cancel():
                continue  # its sender has given up
            try:
                self._push(hint.route, hint.limit)
            except Exception as error:  # noqa: BLE001 - handed to the sender
                hint.told.set_exception(error)
            else:
                hint.told.set_result(None)
        self._client.close()

    def _push(self, route: str, limit: int) -> None:
        redis_id = str(uuid.uuid4())
        message: Message[None] = Message(
            queue_name=route,
            actor_name=wire.drain_actor(route),
            args=(),
            kwargs={},
            options={"redis_message_id": redis_id},
        )
        key = f"{self._namespace}:{route}"
        self._client.eval(_PUSH, 2, key, f"{key}.msgs", limit, redis_id, message.encode())
