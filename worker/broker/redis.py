"""The hardened Redis broker: whatever Redis does, no message is stranded and no thread dies.

It keeps dramatiq's own layout of keys; its producers and tools see nothing unusual. What it adds,
and which behaviour of dramatiq 2.2.1 made it necessary, is said at each place. It never interrupts
an actor: the async exception of `TimeLimit` cannot end a blocked database call and can end a worker
thread for ever (dramatiq #445); the database's own time-outs and the watchdog do that work.
"""

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, cast

import redis
import structlog
from dramatiq import Message, MessageProxy, Middleware
from dramatiq.broker import Consumer
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import CurrentMessage

from messages import wire
from worker.broker.admission import OPEN, Admission
from worker.broker.client import connect
from worker.broker.middleware import Stopping, is_requested_again
from worker.broker.reading import EXCERPT_BYTES, MAX_BYTES, read

SOCKET_TIMEOUT_S: Final = 3.0
CONNECT_TIMEOUT_S: Final = 1.0
BLOCK_S: Final = 1.0
"""How long a consumer waits for a message in one go; well below the socket's time-out."""
REFUSED_WAIT_S: Final = 0.1
"""The pause between looks where Redis refuses the blocking wait."""
HEARTBEAT_TIMEOUT_MS: Final = 5_000
"""A broker silent for so long counts as dead, its messages run elsewhere; twice is harmless."""
MAINTENANCE_S: Final = 1.0
"""dramatiq rolls dice (one command in 1,000): messages of a killed worker waited 13 minutes."""
DEAD_MESSAGE_TTL_MS: Final = 90 * 86_400_000
FETCH_BYTES: Final = 4 * MAX_BYTES
"""One fetch stops after so many bytes, so that its reply comes within the socket's time-out."""

Verb = Literal["ack", "requeue", "bury"]

log = structlog.get_logger()


def make_broker(
    redis_url: str,
    *,
    middleware: Sequence[Middleware] = (),
    namespace: str = wire.NAMESPACE,
    admission: Admission = OPEN,
) -> "HardenedRedisBroker":
    """The broker of a worker process or of a Python producer. Make it after the fork."""
    client = connect(redis_url, timeout_s=SOCKET_TIMEOUT_S, connect_timeout_s=CONNECT_TIMEOUT_S)
    return HardenedRedisBroker(
        client=client, middleware=middleware, namespace=namespace, admission=admission
    )


class HardenedRedisBroker(RedisBroker):
    """A `RedisBroker` whose consumers survive what Redis and producers do to them.

    Of dramatiq's middleware only `CurrentMessage` is here: retries, delays, pipelines and callbacks
    live in PostgreSQL.
    """

    def __init__(
        self,
        *,
        client: redis.Redis,
        middleware: Sequence[Middleware] = (),
        namespace: str = wire.NAMESPACE,
        block_s: float = BLOCK_S,
        admission: Admission = OPEN,
    ) -> None:
        stopping = Stopping()
        super().__init__(  # type: ignore[no-untyped-call]  # dramatiq leaves it untyped
            client=client,
            middleware=[CurrentMessage(), stopping, *middleware],
            namespace=namespace,
            heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
            dead_message_ttl=DEAD_MESSAGE_TTL_MS,
            maintenance_chance=0,  # ours is done by the consumers, by the clock
        )
        self.stopping = stopping.event
        """Set once the worker was told to stop; an actor that waits should then return."""
        self.turned: dict[str, float] = {}
        """When each queue's consumer last turned, on the monotonic clock."""
        self.block_s = block_s
        self.admission = admission
        self._holdings: dict[str, Holding] = {}
        self._holdings_lock = threading.Lock()
        self._fetch = client.register_script(_script("fetch.lua"))
        self._settle = client.register_script(_script("settle.lua"))

    @property
    def consumer_class(self) -> type["HardenedConsumer"]:
        return HardenedConsumer

    def holding(self, queue_name: str) -> "Holding":
        """What this process holds of a queue, whichever consumer took it."""
        with self._holdings_lock:
            return self._holdings.setdefault(queue_name, Holding())

    def do_enqueue(self, queue_name: str, redis_id: str, body: bytes) -> None:
        """Write a message. It leaves no heartbeat, as dramatiq's does: a producer holds nothing."""
        key = f"{self.namespace}:{queue_name}"
        with self.client.pipeline(transaction=True) as pipeline:
            pipeline.hset(f"{key}.msgs", redis_id, body)
            pipeline.rpush(key, redis_id)
            pipeline.execute()

    def fetch(
        self, queue_name: str, count: int, *, maintain: bool
    ) -> list[tuple[str, int, bytes | None]]:
        """Up to `count` messages as (id, length, body); a longer body than allowed is cut short."""
        entries = self._fetch(
            keys=[self.namespace],
            args=[
                queue_name,
                self.broker_id,
                count,
                MAX_BYTES,
                EXCERPT_BYTES,
                FETCH_BYTES,
                int(maintain),
                self.heartbeat_timeout,
                self.dead_message_ttl,
                *sorted(self.queues | self.delay_queues),
            ],
        )
        return [(_text(redis_id), length, body) for redis_id, length, body in entries]

    def settle(self, queue_name: str, verb: Verb, redis_ids: Iterable[str]) -> None:
        """Acknowledge, put back or bury messages; what is no longer ours is left alone."""
        ids = [_raw(redis_id) for redis_id in redis_ids]
        if ids:
            self._settle(keys=[self.namespace], args=[queue_name, self.broker_id, verb, *ids])

    def unsettled(self, queue_name: str) -> set[str]:
        """The ids that Redis believes to be with this process."""
        key = f"{self.namespace}:__acks__.{self.broker_id}.{queue_name}"
        members = cast("set[bytes]", self.client.smembers(key))  # never text: see `connect`
        return {_text(redis_id) for redis_id in members}

    def wait_for_message(self, queue_name: str) -> None:
        """Return when the queue has a message, or after a second.

        Moving the first element of a list onto its own place waits without taking anything: a lost
        reply loses nothing, an idle queue costs one command a second, a message is picked up at
        once. dramatiq polls, with sleeps that grow to a second: 0.38 s on average to pick up.
        """
        key = f"{self.namespace}:{queue_name}"
        try:
            self.client.blmove(key, key, cast("int", self.block_s), "LEFT", "LEFT")
        except redis.ResponseError:  # a full Redis refuses every command that might need memory
            time.sleep(REFUSED_WAIT_S)

    def close(self) -> None:
        super().close()
        self.client.close()


class HardenedConsumer(Consumer):
    """Takes the messages of one queue; to dramatiq, every failure of Redis is a lost connection.

    dramatiq makes a new one after each error, so what the process holds is kept in the broker.
    """

    def __init__(
        self, broker: HardenedRedisBroker, queue_name: str, prefetch: int, timeout: int
    ) -> None:
        del timeout  # the wait is ours, see `wait_for_message`
        self.broker = broker
        self.queue_name = queue_name
        self.prefetch = prefetch
        self.holding = broker.holding(queue_name)
        self._maintenance_at = time.monotonic()
        self.broker.turned[queue_name] = self._maintenance_at

    def __next__(self) -> MessageProxy | None:
        self.broker.turned[self.queue_name] = time.monotonic()
        try:
            message = self._next()
        except (redis.RedisError, OSError) as error:
            # dramatiq expects ConnectionError alone: READONLY or OOM while it closes the consumer
            # ended the thread for ever, and the worker looked healthy.
            raise _lost(error) from error
        return None if message is None else MessageProxy(message)

    def ack(self, message: MessageProxy) -> None:
        """Forget the message, or put it back when its actor asked for that."""
        if is_requested_again(message.options):
            try:
                self.requeue([message])
            except (
                ConnectionClosed
            ) as error:  # no longer held, so the next maintenance puts it back
                log.warning("requeue_postponed", queue=self.queue_name, error=str(error))
        elif message._exception is not None and (message.args or message.kwargs):  # noqa: SLF001 - no other way to see it
            # Actors do not raise. If one does, its content is not forgotten; a hint has none.
            self._settle_one("bury", message)
        else:
            self._settle_one("ack", message)

    def nack(self, message: MessageProxy) -> None:
        self._settle_one("bury", message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Put messages back for any worker to take."""
        ids = [_id_of(message) for message in messages]
        # Dropped first: once it is back this process may fetch it again, and must then hold it.
        self.holding.drop(ids)
        try:
            self.broker.settle(self.queue_name, "requeue", ids)
        except (redis.RedisError, OSError) as error:
            raise _lost(error) from error

    def close(self) -> None:
        """Give back what was fetched and not handed out; dramatiq strands it in the live worker."""
        try:
            self._settle_late()
        except (redis.RedisError, OSError) as error:
            raise _lost(error) from error
        ready = self.holding.take_ready()
        self.requeue(MessageProxy(message) for message in ready)

    def _next(self) -> Message[Any] | None:
        if message := self.holding.next_ready():
            return message

        self._settle_late()
        now = time.monotonic()
        is_maintenance = now >= self._maintenance_at
        is_stopping = self.broker.stopping.is_set()
        # Refilled at half, when as many wait as run: one fetch brings several, not each its own.
        low = self.prefetch // 2 + 1
        held = self.holding.count()
        room = 0 if is_stopping or held >= low else self.prefetch - held
        # With no room the fetch takes nothing and is the heartbeat: actors may wait long for the
        # database, and dramatiq's consumer is silent for as long, so others think it dead.
        if room > 0 or is_maintenance:
            self._fetch(max(room, 0), maintain=is_maintenance)
        if is_maintenance:
            self._reclaim()
            self._maintenance_at = now + MAINTENANCE_S

        if message := self.holding.next_ready():
            return message
        if room <= 0:
            self.holding.wait_for_room(0 if is_stopping else low, timeout_s=self.broker.block_s)
        elif self.queue_name.endswith(
            ".DQ"
        ):  # nothing should come, and nothing that comes is urgent
            self.broker.stopping.wait(self.broker.block_s)
        else:
            self.broker.wait_for_message(self.queue_name)
        return None

    def _fetch(self, count: int, *, maintain: bool) -> None:
        for redis_id, length, body in self.broker.fetch(self.queue_name, count, maintain=maintain):
            if body is None:
                log.warning(
                    "message_without_body", queue=self.queue_name, redis_message_id=redis_id
                )
                continue
            message = read(
                body,
                length,
                redis_id=redis_id,
                queue_name=self.queue_name,
                actors=self.broker.actors,
                admission=self.broker.admission,
            )
            if message.actor_name == wire.STRAY:
                log.warning("stray_message", queue=self.queue_name, reason=message.args[0])
            self.holding.add(redis_id, message)

    def _reclaim(self) -> None:
        """Put back what Redis believes to be here and is not: the reply that brought it was lost.

        Not only when a connection returns: a request that timed out may still be waiting in the
        server, and be carried out after the look of the next consumer.
        """
        lost = self.holding.missing_from(self.broker.unsettled(self.queue_name))
        if lost:
            log.warning("messages_reclaimed", queue=self.queue_name, count=len(lost))
            self.broker.settle(self.queue_name, "requeue", lost)

    def _settle_one(self, verb: Verb, message: MessageProxy) -> None:
        """Settle now or, while Redis is away, later: a worker thread never waits for Redis.

        dramatiq's tries again every 5 s, and keeps the thread from its next message meanwhile.
        """
        redis_id = _id_of(message)
        # With others in hand the consumer turns soon, and settles several in one go.
        if self.holding.count() > 1 or self.holding.has_late():
            self.holding.postpone(redis_id, verb)
            return
        try:
            self.broker.settle(self.queue_name, verb, [redis_id])
        except (redis.RedisError, OSError) as error:
            self.holding.postpone(redis_id, verb)
            log.warning("settle_postponed", queue=self.queue_name, verb=verb, error=str(error))
        else:
            self.holding.drop([redis_id])

    def _settle_late(self) -> None:
        for verb, ids in self.holding.late().items():
            self.broker.settle(self.queue_name, verb, ids)
            self.holding.settled(ids)


class Holding:
    """What one process holds of one queue, by Redis id: fetched, running, or finished unsettled.

    Thread-safe: the consumer adds, every worker thread removes.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ready: deque[Message[Any]] = deque()
        self._held: set[str] = set()
        self._late: dict[str, Verb] = {}

    def add(self, redis_id: str, message: Message[Any]) -> None:
        with self._changed:
            self._held.add(redis_id)
            self._ready.append(message)

    def next_ready(self) -> Message[Any] | None:
        with self._changed:
            return self._ready.popleft() if self._ready else None

    def take_ready(self) -> list[Message[Any]]:
        with self._changed:
            ready = list(self._ready)
            self._ready.clear()
            return ready

    def count(self) -> int:
        with self._changed:
            return len(self._held)

    def wait_for_room(self, limit: int, *, timeout_s: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._held) < limit, timeout_s)

    def drop(self, redis_ids: Iterable[str]) -> None:
        with self._changed:
            self._held.difference_update(redis_ids)
            self._changed.notify_all()

    def postpone(self, redis_id: str, verb: Verb) -> None:
        with self._changed:
            self._held.discard(redis_id)
            self._late[redis_id] = verb
            self._changed.notify_all()

    def has_late(self) -> bool:
        with self._changed:
            return bool(self._late)

    def late(self) -> dict[Verb, list[str]]:
        with self._changed:
            verbs: dict[Verb, list[str]] = {}
            for redis_id, verb in self._late.items():
                verbs.setdefault(verb, []).append(redis_id)
            return verbs

    def settled(self, redis_ids: Iterable[str]) -> None:
        with self._changed:
            for redis_id in redis_ids:
                self._late.pop(redis_id, None)

    def missing_from(self, redis_ids: set[str]) -> set[str]:
        """Those of `redis_ids` that are not held."""
        with self._changed:
            return redis_ids - self._held - self._late.keys()


def _lost(error: Exception) -> ConnectionClosed:
    return ConnectionClosed(error)  # type: ignore[no-untyped-call]  # dramatiq leaves it untyped


def _id_of(message: MessageProxy) -> str:
    return str(message.options["redis_message_id"])


# Ids are text to dramatiq and bytes to Redis, and another program may have written any bytes.
def _text(redis_id: bytes) -> str:
    return redis_id.decode("utf-8", "surrogateescape")


def _raw(redis_id: str) -> bytes:
    return redis_id.encode("utf-8", "surrogateescape")


def _script(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")
