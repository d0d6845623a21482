"""Reading messages: bytes that anybody may have written become a message that can run.

Pure, and refuses nothing: what cannot run becomes a message for the stray actor, in its place.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, Literal

from dramatiq import Actor, Message

from messages import wire
from worker.broker.admission import OPEN, Admission, Refusal, is_signed

MAX_BYTES: Final = 1024 * 1024
"""Bodies above this do not run: 16 of 10 MB each took 300 MB of a worker's memory."""
EXCERPT_BYTES: Final = 64 * 1024
"""What a stray keeps of its body."""
MAX_ID_LENGTH: Final = 100

Reason = Literal["undecodable", "unknown_actor", "too_large", "delayed"] | Refusal

_FIELDS: Final[Mapping[str, type]] = {
    "queue_name": str,
    "actor_name": str,
    "args": list,
    "kwargs": dict,
    "options": dict,
}
_DOORS: Final = frozenset(wire.KINDS)
_OPTIONAL: Final[Mapping[str, type]] = {"message_id": str, "message_timestamp": int}


class Unreadable(Exception):
    """The body cannot become a message for an actor of this worker."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def read(
    body: bytes,
    length: int,
    *,
    redis_id: str,
    queue_name: str,
    actors: Mapping[str, Actor[..., Any]],
    admission: Admission = OPEN,
) -> Message[Any]:
    """The message in `body`, or the stray that stands for it."""
    options = {"redis_message_id": redis_id}
    try:
        fields = _fields(body, length, queue_name=queue_name, actors=actors, admission=admission)
    except Unreadable as error:
        return Message(
            queue_name=queue_name,
            actor_name=wire.STRAY,
            args=(error.reason, readable(body)),
            kwargs={},
            options=options,
        )
    # The producer's options and queue are not ours to obey: the first could make dramatiq retry,
    # run another actor or interrupt this one, the second would acknowledge at the wrong queue.
    traceparent = fields["options"].get(wire.TRACEPARENT)
    if isinstance(traceparent, str) and len(traceparent) == wire.TRACEPARENT_LENGTH:
        options[wire.TRACEPARENT] = traceparent
    return Message(**(fields | {"options": options, "queue_name": queue_name}))


def readable(body: bytes) -> str:
    """The beginning of `body` as text that PostgreSQL takes: what it would refuse is escaped."""
    text = body[:EXCERPT_BYTES].decode("utf-8", "backslashreplace")
    return text.replace("\0", "\\x00")


def _fields(
    body: bytes,
    length: int,
    *,
    queue_name: str,
    actors: Mapping[str, Actor[..., Any]],
    admission: Admission,
) -> dict[str, Any]:
    if length > MAX_BYTES:
        raise Unreadable("too_large")
    fields: dict[str, Any] = _json(body)
    if not _is_message(fields):
        raise Unreadable("undecodable" if admission.is_open else "unsigned")
    name, args, says = fields["actor_name"], fields["args"], fields["kwargs"]
    # Before anything else: a person who takes in what was only delayed, or had its actor's name
    # misspelt, should not thereby let in what nobody has signed.
    if name in _DOORS or ((args or says) and not admission.is_open):
        if refusal := admission.refusal(name, args, says):
            raise Unreadable(refusal)
        if says and is_signed(args, says):  # the actor gets the content as if it came plainly
            fields |= {"args": [_json(args[0])], "kwargs": {}}
    if queue_name.endswith(".DQ") or fields["options"].get("eta") is not None:
        raise Unreadable("delayed")
    actor = actors.get(name)
    if actor is None or actor.actor_name == wire.STRAY:  # strays are found, not sent
        raise Unreadable("unknown_actor")
    try:
        _signature(actor.fn).bind(*fields["args"], **fields["kwargs"])
    except TypeError:  # the call would fail: nobody would see the message again
        raise Unreadable("undecodable") from None
    return fields


def _json(text: bytes | str) -> Any:
    try:
        # RecursionError: 100,000 brackets. ValueError: not UTF-8, not JSON, an int of 5,000 digits.
        return json.loads(text.decode("utf-8") if isinstance(text, bytes) else text)
    except (ValueError, RecursionError):
        raise Unreadable("undecodable") from None


def _is_message(fields: object) -> bool:
    return (
        isinstance(fields, dict)
        and fields.keys() >= _FIELDS.keys()
        and all(
            # `type`, not isinstance: true is no time stamp
            type(value) is _FIELDS.get(name, _OPTIONAL.get(name))
            for name, value in fields.items()
        )
        and _is_loggable(fields.get("message_id", "-"))
    )


def _is_loggable(message_id: str) -> bool:
    return message_id.isprintable() and 0 < len(message_id) <= MAX_ID_LENGTH


@lru_cache(maxsize=256)
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)
