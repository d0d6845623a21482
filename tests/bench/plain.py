"""The plain way: one message, one transaction, one statement per table, on dramatiq's own broker.

It keeps the effect exactly once; it has no batches, no dead letters, no order of acceptance, and a
message lives in Redis alone until it is done.
"""

import os
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from sqlalchemy import create_engine

from messages import wire
from tests.bench.transaction import carry_out

broker = RedisBroker(url=os.environ["REDIS_URL"], namespace=wire.NAMESPACE)
dramatiq.set_broker(broker)
# Connects in the worker, on use.
engine = create_engine(os.environ["DATABASE_URL"], pool_size=int(os.environ["FULFILLMENT_THREADS"]))


@dramatiq.actor(queue_name=wire.INBOX, actor_name=wire.SHIP)
def ship(content: dict[str, Any]) -> None:
    """Carry one `ship` out."""
    carry_out(engine, content)
