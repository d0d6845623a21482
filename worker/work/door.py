"""The broker door: what a message carries becomes accepted commands, or strays. Never raises.

While the database is away it waits; told to stop meanwhile, it asks for the message again.
"""

import json
import threading
from collections.abc import Callable
from typing import Any, Final

import orjson
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from messages import InvalidCommand, parse
from worker.errors import explain, is_disconnect
from worker.work.accept import accept_bodies, record_stray

log = structlog.get_logger()

CHUNK: Final = 1000
WAIT_S: Final = 1.0


class Door:
    """Accepts the content of messages into one database."""

    def __init__(
        self, engine: Engine, *, stopping: threading.Event, requeue: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._stopping = stopping
        self._requeue = requeue

    def take(self, kind: str, content: object) -> bool:
        """Accept one command or a chunk of them; False when the message was put back instead."""
        items = content if isinstance(content, list) else [content]
        bodies = [_body(kind, item) for item in items]
        return all(
            self._patiently(lambda chunk=bodies[start : start + CHUNK]: self._accept(chunk))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            for start in range(0, len(bodies), CHUNK)
        )

    def stray(self, reason: str, body: str) -> bool:
        """List what the consumer could not make a message of."""
        return self._patiently(lambda: self._record(reason, body))

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

    def _accept(self, bodies: list[orjson.Fragment]) -> None:
        try:
            with self._engine.begin() as connection:
                for body, receipt in zip(bodies, accept_bodies(connection, bodies), strict=True):
                    if receipt.answer == "refused":
                        record_stray(connection, "invalid", _text(body), problem=receipt.problem)
        except SQLAlchemyError as error:
            if is_disconnect(error) or explain(error)[1]:
                raise
            # One of them is nothing that PostgreSQL can store; its neighbours are accepted.
            if len(bodies) > 1:
                for body in bodies:
                    self._accept([body])
            else:
                self._record("invalid", _text(bodies[0]), explain(error)[2])

    def _record(self, reason: str, body: str, problem: str | None = None) -> None:
        with self._engine.begin() as connection:
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
        return orjson.Fragment(json.dumps({"unreadable": repr(item)[:1000]}).encode())


def _storable(value: Any) -> Any:
    """The value with visible escapes for what PostgreSQL cannot store: NUL and lone surrogates."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
        case dict():
            return {_storable(key): _storable(one) for key, one in value.items()}
        case list():
            return [_storable(one) for one in value]
        case _:
            return value


def _text(body: orjson.Fragment) -> str:
    return orjson.dumps(body).decode()
