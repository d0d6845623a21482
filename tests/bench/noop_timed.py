"""The no-op that says when it ran: a line in a file for each message, which takes microseconds."""

import os
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=os.environ["REDIS_URL"])
dramatiq.set_broker(broker)
RUNS = os.open(os.environ["BENCH_RUNS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


@dramatiq.actor
def noop(number: int) -> None:
    """Say that this message ran, and when."""
    os.write(RUNS, b"%d %.6f\n" % (number, time.time()))
