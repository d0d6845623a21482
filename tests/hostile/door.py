"""Messages as any program may write them, into the queue that the worker reads."""

import json
from uuid import uuid4

from messages import wire
from tests.work import rig

KEY = f"{wire.NAMESPACE}:{wire.INBOX}"


class Inbox:
    """The queue, from outside."""

    def __init__(self, client):
        self._client = client

    def put(self, *bodies: bytes):
        """Put bodies of messages as they are, and wait until the worker has taken them all."""
        ids = [uuid4().hex for _ in bodies]
        with self._client.pipeline() as pipeline:
            pipeline.hset(f"{KEY}.msgs", mapping=dict(zip(ids, bodies, strict=True)))
            pipeline.rpush(KEY, *ids)
            pipeline.execute()
        rig.until(lambda: not self._client.exists(f"{KEY}.msgs"))

    def left(self):
        """Keys of messages that nobody settled, or that were buried."""
        return [
            key.decode()
            for key in self._client.keys(f"{wire.NAMESPACE}:*")
            if b"heartbeats" not in key
        ]


def message(kind, content):
    """A message as dramatiq writes it."""
    return json.dumps(
        {
            "queue_name": wire.INBOX,
            "actor_name": kind,
            "args": [content],
            "kwargs": {},
            "options": {},
            "message_id": str(uuid4()),
            "message_timestamp": 1_790_000_000_000,
        }
    ).encode()
