"""Publishing through Redis: for producers that do not reach the database.

A message is as durable as that Redis until a worker has accepted it. Publish again with the same
`command_id` when in doubt; that is always safe.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from dramatiq import Message

from messages.commands import Command
from messages.signing import SigningKey
from messages.wire import INBOX, TRACEPARENT

CHUNK_COMMANDS = 200
CHUNK_BYTES = 512 * 1024
"""Half of what the worker takes in one message."""
MAX_COMMAND_BYTES = 1000 * 1024
"""What one command may take; the rest of the worker's mebibyte is the message around it."""


class Enqueues(Protocol):
    """What publishing needs of a dramatiq broker."""

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]: ...


def publish(
    broker: Enqueues,
    command: Command,
    *,
    key: SigningKey | None = None,
    traceparent: str | None = None,
) -> None:
    """Send one command, signed where a key is given; `traceparent` says to which trace it belongs
    (W3C Trace Context).

    Raises:
      ValueError: It is larger than one message can be; give it to the worker in another way.
      dramatiq.errors.ConnectionError, redis.RedisError: It may or may not have arrived.
    """
    body = command.body()
    _length(body, key)
    broker.enqueue(_message(command.kind, body, key, traceparent))


def publish_many(
    broker: Enqueues,
    commands: Iterable[Command],
    *,
    key: SigningKey | None = None,
    traceparent: str | None = None,
) -> None:
    """Send many commands in few messages, each kind in the order given; the rest as in `publish`.

    Between kinds the order is not kept; where it matters, use `after`.

    Raises:
      ValueError: One is larger than one message can be; what came before may have been sent.
      dramatiq.errors.ConnectionError, redis.RedisError: A part may have arrived.
    """
    waiting: dict[str, list[Command]] = {}
    for command in commands:
        waiting.setdefault(command.kind, []).append(command)
    for kind, group in waiting.items():
        for chunk in _chunks(group, key):
            broker.enqueue(_message(kind, chunk, key, traceparent))


def _message(
    kind: str, content: Any, key: SigningKey | None, traceparent: str | None
) -> Message[Any]:
    says: dict[str, str] = {}
    if key:
        content = _text(content)
        says = {"key_id": key.key_id, "signature": key.sign(kind, content)}
    options = {TRACEPARENT: traceparent} if traceparent else {}
    return Message(queue_name=INBOX, actor_name=kind, args=(content,), kwargs=says, options=options)


def _text(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _length(body: dict[str, Any], key: SigningKey | None) -> int:
    """Bytes of the body as dramatiq writes it: in ASCII, so "é" takes six; in a text, `"` two."""
    length = len(json.dumps(_text(body) if key else body))
    if length > MAX_COMMAND_BYTES:
        raise ValueError(f"a command of {length} bytes; {MAX_COMMAND_BYTES} fit into a message")
    return length


def _chunks(commands: list[Command], key: SigningKey | None) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    size = 0
    for command in commands:
        body = command.body()
        length = _length(body, key)
        if chunk and (len(chunk) == CHUNK_COMMANDS or size + length > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(body)
        size += length
    if chunk:
        yield chunk
