"""The broker door: what a message carries becomes accepted commands, or strays. Never raises.

While the database is away it waits; told to stop meanwhile, it asks for the message again.
"""

import json
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

import orjson
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from messages import InvalidCommand, parse
from worker.errors import explain, is_disconnect, storable
from worker.work.accept import accept_bodies, record_stray
from worker.work.tracing import UNTRACED, Tracing

log = structlog.get_logger()

CHUNK: Final = 1000
MOST: Final = 12_500
"""A mebibyte divided by the 84 bytes that the shortest command takes."""
WAIT_S: Final = 1.0

_Body = tuple[orjson.Fragment, str | None]
"""Of a command, and where in a trace it belongs."""


class Door:
    """Accepts the content of messages into one database."""

    def __init__(
        self,
        engine: Engine,
        *,
        stopping: threading.Event,
        requeue: Callable[[], None],
        tracing: Tracing = UNTRACED,
    ) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._stopping = stopping
        self._requeue = requeue
        self._accepting = threading.Lock()
        self._tracing = tracing
        self._waiting: deque[tuple[list[_Body], Future[None]]] = deque()

    def take(self, kind: str, content: object, traceparent: str | None = None) -> bool:
        """Accept one command or a chunk of them; False when the message was put back instead.

        A message has no room for more than `MOST` commands: a longer list is one stray, not one
        for each of its items.
        """
        items = content if isinstance(content, list) and len(content) <= MOST else [content]
        bodies = [_body(kind, item) for item in items]
        with self._tracing.accepting("broker", traceparent) as own:
            return self._patiently(lambda: self._together([(body, own) for body in bodies]))

    def stray(self, reason: str, body: str) -> bool:
        """List what the consumer could not make a message of."""
        # Whoever calls: what PostgreSQL cannot store would be tried for ever.
        words = storable(str(reason)), storable(str(body))
        return self._patiently(lambda: self._record(*words))

    def _patiently(self, write: Callable[[], None]) -> bool:
        """Write, waiting while the database is away; False when told to stop meanwhile."""
        while True:
            try:
                write()
            except SQLAlchemyError as error:
                log.warning("door_waits", reason=explain(error)[0])
                if self._stopping.wait(WAIT_S):
                    self._requeue()
                    return False
            else:
                return True

    def _together(self, bodies: list[_Body]) -> None:
        """Accept the bodies with those of the threads that came meanwhile: one statement and one
        commit for all of them, which is most of what a single command costs.
        """
        accepted: Future[None] = Future()
        self._waiting.append((bodies, accepted))
        # Who finds nobody at it does it for all; whoever comes now is seen before the lock is free.
        while self._waiting and self._accepting.acquire(blocking=False):
            try:
                self._accept_waiting()
            finally:
                self._accepting.release()
        accepted.result()

    def _accept_waiting(self) -> None:
        group = [self._waiting.popleft() for _ in range(len(self._waiting))]
        bodies = [body for some, _ in group for body in some]
        try:
            for start in range(0, len(bodies), CHUNK):
                self._accept(bodies[start : start + CHUNK])
        except BaseException as error:  # noqa: BLE001  # every thread of the group hears of it
            for _, accepted in group:
                accepted.set_exception(error)
        else:
            for _, accepted in group:
                accepted.set_result(None)

    def _accept(self, some: list[_Body]) -> None:
        bodies, traceparents = zip(*some, strict=True)
        try:
            # Each statement its own transaction: one round trip instead of three. A message that
            # is interrupted in between comes again, and what is accepted is known then.
            with self._engine.connect() as connection:
                receipts = accept_bodies(connection, bodies, traceparents=traceparents)
                for body, receipt in zip(bodies, receipts, strict=True):
                    if receipt.answer == "refused":
                        record_stray(connection, "invalid", _text(body), problem=receipt.problem)
        except SQLAlchemyError as error:
            if is_disconnect(error) or explain(error)[1]:
                raise
            # One of them is nothing that PostgreSQL can store; its neighbours are accepted.
            if len(some) > 1:
                for one in some:
                    self._accept([one])
            else:
                self._record("invalid", _text(bodies[0]), explain(error)[2])

    def _record(self, reason: str, body: str, problem: str | None = None) -> None:
        with self._engine.connect() as connection:
            record_stray(connection, reason, body, problem=problem)
        log.warning("stray", reason=reason)


def _body(kind: str, item: Any) -> orjson.Fragment:
    """The canonical body; what is no valid command is passed on as it is, made safe to store."""
    try:
        raw = json.dumps(item, allow_nan=False)
        command = parse(raw)
        if command.kind == kind:
            return orjson.Fragment(orjson.dumps(command.body()))
        item = {**item, "kind": f"{command.kind}, sent to {kind}"}
    except (InvalidCommand, ValueError, RecursionError):
        pass
    try:
        return orjson.Fragment(json.dumps(_storable(item), allow_nan=False).encode())
    except (ValueError, RecursionError):
        return orjson.Fragment(json.dumps({"unreadable": _shown(item)}).encode())


def _shown(item: Any) -> str:
    """The beginning of what is not even JSON, such as NaN or a thousand brackets."""
    try:
        return storable(repr(item)[:1000])
    except (ValueError, RecursionError):
        return type(item).__name__


def _storable(value: Any) -> Any:
    """The value with visible escapes for what PostgreSQL cannot store.

    A text that was escaped gets a control character that no field allows: the escapes alone would
    make a valid command of an invalid one.
    """
    match value:
        case str():
            escaped = storable(value)
            return value if escaped == value else f"{escaped}\x01"
        case dict():
            return {_storable(key): _storable(one) for key, one in value.items()}
        case list():
            return [_storable(one) for one in value]
        case _:
            return value


def _text(body: orjson.Fragment) -> str:
    return orjson.dumps(body).decode()
