"""dramatiq as it comes: its own Redis broker, its own middleware, an actor that does nothing."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=os.environ["REDIS_URL"])
dramatiq.set_broker(broker)


@dramatiq.actor
def noop() -> None:
    """Do nothing: what is measured is dramatiq."""
