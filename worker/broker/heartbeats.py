"""How many worker processes are alive: each says so in Redis with every look for messages."""

import redis

from messages.wire import NAMESPACE
from worker.broker.redis import HEARTBEAT_TIMEOUT_MS


def count_alive(client: redis.Redis) -> int:
    """How many processes have been heard of lately.

    Raises:
      redis.RedisError: Redis does not answer.
    """
    seconds, microseconds = client.time()
    now_ms = seconds * 1000 + microseconds // 1000
    return int(client.zcount(f"{NAMESPACE}:__heartbeats__", now_ms - HEARTBEAT_TIMEOUT_MS, "+inf"))
