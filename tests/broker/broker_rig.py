"""A rig: dramatiq's worker on a broker, actors that note, and a look into Redis from outside."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import CurrentMessage

NAMESPACE = "test"
QUEUE = "q"


def until(fact: Callable[[], object], *, within_s: float = 20) -> None:
    """Wait until `fact` is true."""
    deadline = time.monotonic() + within_s
    while not fact():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.005)


class Rig:
    """Dramatiq's worker on a broker, actors that note what reached them, and a look into Redis.

    Actors: `note(value)` and `stray(reason, body)` note; `hold(value)` notes and waits for `go`;
    `fail(*args)` raises.
    """

    def __init__(self, broker: RedisBroker, admin: redis.Redis) -> None:
        self.broker = broker
        self.admin = admin
        self.seen: list[Any] = []
        self.strays: list[tuple[str, str]] = []
        self.options: list[dict[str, Any]] = []
        self.go = threading.Event()
        self.worker: dramatiq.Worker | None = None
        self._declare()

    def _declare(self) -> None:
        def note(value: Any) -> None:
            message = CurrentMessage.get_current_message()
            assert message is not None
            self.options.append(dict(message.options))
            self.seen.append(value)

        def hold(value: Any) -> None:
            self.seen.append(value)
            assert self.go.wait(30)

        def stray(reason: str, body: str) -> None:
            self.strays.append((reason, body))

        def fail(*args: Any) -> None:
            self.seen.append("failing")
            raise RuntimeError("an actor that raises")

        for function in (note, hold, stray, fail):
            self.actor(function)

    def actor(self, function: Callable[..., None], name: str | None = None) -> None:
        make = dramatiq.actor(broker=self.broker, queue_name=QUEUE, actor_name=name, max_retries=0)
        make(function)

    def note_as(self, name: str) -> None:
        """Declare another actor that only notes."""

        def note(value: Any) -> None:
            self.seen.append(value)

        self.actor(note, name)

    def start(self, *, threads: int = 4) -> dramatiq.Worker:
        self.worker = dramatiq.Worker(self.broker, worker_threads=threads, worker_timeout=20)
        self.worker.start()
        return self.worker

    def stop_worker(self) -> None:
        if self.worker:
            self.worker.stop(timeout=10_000)
            self.worker = None

    def stop(self) -> None:
        self.go.set()
        self.stop_worker()
        self.broker.client.close()

    def put(self, body: bytes, redis_id: str = "id", *, queue: str = QUEUE) -> None:
        """Put a body as it is, as any program with access to Redis can."""
        with self.admin.pipeline() as pipeline:
            pipeline.hset(f"{NAMESPACE}:{queue}.msgs", redis_id, body)
            pipeline.rpush(f"{NAMESPACE}:{queue}", redis_id)
            pipeline.execute()

    def note(self, value: Any, *, actor: str = "note", **options: Any) -> None:
        """Put a good message, as dramatiq itself would write it."""
        options = {"redis_message_id": f"id-{value}"} | options
        self.put(body(value, actor=actor, options=options), f"id-{value}")

    def held(self, queue: str = QUEUE) -> set[str]:
        """Ids that Redis believes to be with this broker."""
        key = f"{NAMESPACE}:__acks__.{self.broker.broker_id}.{queue}"
        return {redis_id.decode() for redis_id in self.admin.smembers(key)}

    def waiting(self, queue: str = QUEUE) -> list[str]:
        return [redis_id.decode() for redis_id in self.admin.lrange(f"{NAMESPACE}:{queue}", 0, -1)]

    def bodies(self, queue: str = QUEUE) -> set[str]:
        return {key.decode() for key in self.admin.hkeys(f"{NAMESPACE}:{queue}.msgs")}

    def buried(self) -> set[str]:
        return {key.decode() for key in self.admin.zrange(f"{NAMESPACE}:{QUEUE}.XQ", 0, -1)}

    def threads_alive(self) -> bool:
        assert self.worker
        threads = [*self.worker.workers, *self.worker.consumers.values()]
        return all(thread.is_alive() for thread in threads)


def body(value: Any = None, *, actor: str = "note", **fields: Any) -> bytes:
    """A message's body; `fields` override."""
    message = {
        "queue_name": QUEUE,
        "actor_name": actor,
        "args": [] if value is None else [value],
        "kwargs": {},
        "options": {},
        "message_id": "2f6c4d2e-7e11-4b7e-9a57-6f0f7b4cf6a1",
        "message_timestamp": 1_700_000_000_000,
    }
    return json.dumps(message | fields).encode()
