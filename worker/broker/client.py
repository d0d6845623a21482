"""Redis clients as this project makes them: bytes, short time-outs, and no silent retry."""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry


def connect(url: str, *, timeout_s: float, connect_timeout_s: float) -> redis.Redis:
    """A client for `url`; it opens its first connection with its first command."""
    # RESP3 costs more to connect, switches on what we do not use, and gives nothing that we need.
    pool = redis.ConnectionPool.from_url(url, protocol=2)
    # Set afterwards, because options in the URL win over arguments, and these are not negotiable:
    # a retry after a lost reply would send a message twice (dramatiq's "found 'None' message").
    pool.connection_kwargs.update(
        socket_timeout=timeout_s,
        socket_connect_timeout=connect_timeout_s,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        retry_on_timeout=False,
        retry_on_error=[],
        decode_responses=False,
    )
    return redis.Redis(connection_pool=pool)
