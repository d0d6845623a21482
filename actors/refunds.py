"""The drain of refunds: each part is taken to the payment provider."""

import dramatiq

from messages import wire
from worker.runtime import runtime


@dramatiq.actor(
    queue_name=wire.REFUNDS,
    actor_name=wire.drain_actor(wire.REFUNDS),
    max_retries=0,
    priority=1,  # a free thread goes to commands first
)
def drain_refunds() -> None:
    """Settle every refund part that is due; a hint that finds none is harmless."""
    runtime().drains[wire.REFUNDS]()
