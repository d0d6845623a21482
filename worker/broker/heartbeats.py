"""How many worker processes are alive: each says so in Redis with every look for messages."""

import threading

import redis

from messages.wire import NAMESPACE
from worker.broker.client import connect
from worker.broker.redis import HEARTBEAT_TIMEOUT_MS


def count_alive(client: redis.Redis) -> int:
    """How many processes have been heard of lately.

    Raises:
      redis.RedisError: Redis does not answer.
    """
    seconds, microseconds = client.time()
    now_ms = seconds * 1000 + microseconds // 1000
    return int(client.zcount(f"{NAMESPACE}:__heartbeats__", now_ms - HEARTBEAT_TIMEOUT_MS, "+inf"))


def workers_alive(redis_url: str, *, timeout_s: float = 1.0) -> int | None:
    """How many processes have been heard of lately; None when Redis does not say so in time."""
    found: list[int] = []

    def ask() -> None:
        try:
            client = connect(redis_url, timeout_s=timeout_s, connect_timeout_s=timeout_s)
            try:
                found.append(count_alive(client))
            finally:
                client.close()
                client.connection_pool.disconnect()
        except (redis.RedisError, ValueError, OSError):
            pass

    # Looking up a host's name cannot be bounded; waiting for a thread can.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(2 * timeout_s)
    return found[0] if found else None
